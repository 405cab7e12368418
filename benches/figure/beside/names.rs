//! Checks of hosts that are not there, where 10,000 are: near names are looked for.

use super::{ARRAY, Beside, array, ask_on};
use crate::support::book::Target;
use crate::support::client::Client;
use crate::support::{load, server};
use std::time::{Duration, Instant};

/// Hosts that are there.
pub const HOSTS: usize = 10_000;
const CONNECTIONS: usize = 4;
/// One by one before the stretches: so many, or as many as this time allows.
const SINGLE: usize = 20;
const SINGLE_TIME: Duration = Duration::from_secs(5);

/// A group and a host.
type Names = (String, String);

pub fn long(beside: &mut Beside) {
    let name = "checks of an unknown host among 10,000 with long names";
    let known = |n: usize| (format!("{}-{:02}", "group".repeat(50), n % 20), long_name("host", n));
    checks(beside, name, 100.0, known, |n| ("group".repeat(50), long_name("else", n)));
}

pub fn ordinary(beside: &mut Beside) {
    let name = "checks of an unknown host among 10,000 with ordinary names";
    checks(beside, name, 5.0, known, |n| ("rsyslog-01".into(), format!("rsyslgo-{n:05}")));
}

/// An ordinary name.
pub fn known(n: usize) -> Names {
    (format!("rsyslog-{:02}", n % 20), format!("rsyslog-{n:05}"))
}

/// 250 characters.
fn long_name(word: &str, n: usize) -> String {
    format!("{}-{n:09}", word.repeat(60))
}

/// Creates the hosts.
pub fn create(port: u16, known: impl Fn(usize) -> Names) {
    let mut client = Client::new(port);
    for from in (0..HOSTS).step_by(ARRAY) {
        let report = |(group, host): Names| {
            format!(r#"{{"server_group":"{group}","host":"{host}","status":"synced"}}"#)
        };
        let reports = (from..from + ARRAY).map(|n| report(known(n)));
        client.must(&array("/status/pipeline", reports));
    }
}

fn checks(
    beside: &mut Beside,
    name: &str,
    bound: f64,
    known: impl Fn(usize) -> Names,
    unknown: impl Fn(usize) -> Names + Sync,
) {
    let file = if bound > 10.0 { "long" } else { "ordinary" };
    let server = server::start_logged(&beside.database(file));
    create(server.port, known);
    let write = |n: u64, out: &mut Vec<u8>| {
        let (group, host) = unknown(n as usize);
        let body = format!(r#"{{"server_group":"{group}","host":"{host}","status":"synced"}}"#);
        load::post("/status/cron", body.as_bytes(), out);
    };
    let (mut client, begun, mut single) = (Client::new(server.port), Instant::now(), Vec::new());
    for n in 0..SINGLE {
        let mut out = Vec::new();
        write(1_000_000 + n as u64, &mut out);
        let answer = client.ask(&out).expect("an answer");
        assert_eq!(answer.status, 404, "the host must be unknown");
        single.push(answer.millis);
        if begun.elapsed() > SINGLE_TIME {
            break;
        }
    }
    let (noticed, answers) =
        beside.stretches(name, &server, &[], |end| ask_on(CONNECTIONS, server.port, end, write));
    server.stop();
    beside.row_of_excess(name, 404, &answers);
    let label = name.replacen("checks", "a check", 1);
    beside.book.verdict(label, "", "ms", &single, Target::at_most(bound));
    beside.judge_others(name, &noticed);
}
