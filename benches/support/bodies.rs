//! Requests that carry reports, put together from prepared bytes: the generator must not be what
//! is measured.

use super::data::{HOSTS, QUARTER_END, pipeline_body};
use super::load;
use gitops_status_server::domain::time::Timestamp;
use std::sync::atomic::{AtomicI64, Ordering};

/// The place in a prepared report that its time takes.
const PLACE: &str = "2000-01-01T00:00:00.000000Z";

/// Milliseconds behind the quarter that all reports of this run have come to: every report has a
/// time of its own, later than its host's last one.
static NEWEST: AtomicI64 = AtomicI64::new(0);

/// Hosts, where more requests are in flight than would each have hosts of their own otherwise: the
/// reports of a host come in order.
pub const MANY_HOSTS: usize = 4 * HOSTS;

/// Makes requests of `array` reports each (1: a bare object), of all hosts in turn.
pub struct Reports {
    path: &'static str,
    array: usize,
    /// Every host's report, up to its time.
    hosts: Vec<Vec<u8>>,
    next: usize,
    /// The second that was written out last, and how.
    second: (i64, Vec<u8>),
    body: Vec<u8>,
}

impl Reports {
    /// For a route, with so many requests in flight at most.
    pub fn new(path: &'static str, array: usize, in_flight: usize) -> Self {
        let host = |host| {
            let body = pipeline_body(host, PLACE);
            let at = body.find(PLACE).expect("the report has a time");
            assert_eq!(&body[at + PLACE.len()..], "\"}", "the time comes last");
            body.as_bytes()[..at].to_vec()
        };
        let hosts = if array * in_flight <= HOSTS { HOSTS } else { MANY_HOSTS };
        let hosts = (0..hosts).map(host).collect();
        Self { path, array, hosts, next: 0, second: (-1, Vec::new()), body: Vec::new() }
    }

    /// Appends a request.
    pub fn write(&mut self, out: &mut Vec<u8>) {
        let mut body = std::mem::take(&mut self.body);
        body.clear();
        if self.array == 1 {
            self.report(&mut body);
        } else {
            for at in 0..self.array {
                body.push(if at == 0 { b'[' } else { b',' });
                self.report(&mut body);
            }
            body.push(b']');
        }
        load::post(self.path, &body, out);
        self.body = body;
    }

    fn report(&mut self, out: &mut Vec<u8>) {
        let millis = NEWEST.fetch_add(1, Ordering::Relaxed);
        let (second, rest) = (millis / 1000, millis % 1000);
        if self.second.0 != second {
            let text = Timestamp(QUARTER_END + second * 1_000_000).to_string();
            self.second = (second, text.trim_end_matches('Z').as_bytes().to_vec());
        }
        out.extend_from_slice(&self.hosts[self.next % self.hosts.len()]);
        self.next += 1;
        out.extend_from_slice(&self.second.1);
        let digit = |value: i64| b'0' + (value % 10) as u8;
        out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
        out.extend_from_slice(b"000Z\"}");
    }
}
