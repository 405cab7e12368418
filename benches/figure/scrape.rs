//! `GET /metrics` of 10,000 hosts, as Prometheus asks: one at a time; after every report a body of
//! its own.

use crate::support::book::{Book, Target};
use crate::support::plan::Plan;
use crate::support::{data, server};
use std::time::Instant;

const HOSTS: usize = 10_000;
/// Hosts in one request.
const ARRAY: usize = 1000;

pub fn run(plan: &Plan) {
    let mut book = Book::new("scrape", format!("GET /metrics with {HOSTS} hosts, after a report"));
    let folder = data::scratch();
    let server = server::start(&folder.path().join("scrape.db"));
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", server.port);
    let post = |body: String| {
        ureq::post(url("/status/pipeline")).content_type("application/json").send(body).unwrap();
    };
    for first in (0..HOSTS).step_by(ARRAY) {
        let hosts: Vec<String> = (first..first + ARRAY).map(report).collect();
        post(format!("[{}]", hosts.join(",")));
    }
    for (name, encoding) in [("plain", "identity"), ("gzipped, as Prometheus asks", "gzip")] {
        let (mut times, mut bytes) = (Vec::new(), 0);
        for round in 0..2 * plan.rounds {
            post(report(round));
            let begun = Instant::now();
            let get = ureq::get(url("/metrics")).header("Accept-Encoding", encoding);
            let body = get.call().unwrap().body_mut().with_config().limit(1 << 26).read_to_vec();
            times.push(begun.elapsed().as_secs_f64() * 1e3);
            bytes = body.unwrap().len();
        }
        book.note(format!("A scrape, {name}: {bytes} bytes."));
        let label = format!("a scrape of 10,000 hosts, {name}");
        book.verdict(label, "", "ms", &times, Target::at_most(50.0));
    }
    server.stop();
    book.close(&plan.out);
}

fn report(host: usize) -> String {
    let group = host % 20;
    let (status, files) =
        if host.is_multiple_of(10) { ("out_of_sync", "[\"/etc/x\"]") } else { ("synced", "[]") };
    format!(
        "{{\"server_group\":\"group-{group:02}\",\"host\":\"host-{host:05}.example.org\",\
         \"environment\":\"prod\",\"status\":\"{status}\",\"changed_files\":{files}}}"
    )
}
