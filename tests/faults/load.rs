//! Clients that report as fast as they are answered: single reports and arrays, pipelines and checks, on time
//! and late, with and without a key, half of them the same as ever, and now and then one that must be refused.

use crate::http::Connection;
use crate::ledger::{Ledger, Next, Report, Request};
use crate::run::Chance;
use gitops_status_server::domain::time::Timestamp;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Hosts reported on.
const HOSTS: usize = 7;
/// How long a client rests that was refused for the moment.
const PAUSE: Duration = Duration::from_millis(20);
/// 2026-01-01, in seconds since 1970: before any report comes.
const TIMES_BEGIN: i64 = 1_767_225_600;
/// In seconds.
const MINUTE: i64 = 60;
/// What is said of hosts.
pub const STATUSES: &[&str] = &["synced", "out_of_sync", "out_of_sync", "failed", "unknown"];
/// The same of a host that never comes out of its drift.
pub const DRIFTING: &[&str] = &["out_of_sync", "out_of_sync", "failed", "unknown"];

/// Lets clients report while something happens; answers what that says.
pub fn during<T>(
    address: SocketAddr,
    ledger: &Ledger,
    clients: usize,
    chance: &mut Chance,
    happening: impl FnOnce() -> T,
) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for client in 0..clients {
            let (stop, mut chance) = (&stop, Chance(chance.next()));
            scope.spawn(move || client_reports(address, ledger, client, &mut chance, stop));
        }
        let result = happening();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

/// Reports until told to stop, or until the server is gone. The first client only says the same as ever.
fn client_reports(
    address: SocketAddr,
    ledger: &Ledger,
    client: usize,
    chance: &mut Chance,
    stop: &AtomicBool,
) {
    let mut connection = Connection::new(address);
    while !stop.load(Ordering::Relaxed) {
        let same = client == 0 || chance.once_in(2);
        let request = if same { beat(ledger, client) } else { request(ledger, chance) };
        // Who is refused for the moment tries again, as `curl --retry` does, or gives up.
        loop {
            match send(&mut connection, ledger, &request) {
                Next::GoOn => break,
                Next::End => return,
                Next::Pause => std::thread::sleep(PAUSE),
            }
            let gives_up = chance.once_in(8) || stop.load(Ordering::Relaxed);
            if gives_up || !ledger.may_repeat(&request) {
                break;
            }
        }
    }
}

/// Lets clients report for a time.
pub fn for_a_while(
    address: SocketAddr,
    ledger: &Ledger,
    clients: usize,
    chance: &mut Chance,
    time: Duration,
) {
    during(address, ledger, clients, chance, || std::thread::sleep(time));
}

/// Sends a request and notes what came back.
pub fn send(connection: &mut Connection, ledger: &Ledger, request: &Request) -> Next {
    let answer = connection.post(request.path, request.key.as_deref(), &request.body);
    ledger.note(request, &answer)
}

/// One report of a pipeline, as plain as can be.
pub fn plain(ledger: &Ledger, host: &str, keyed: bool) -> Arc<Request> {
    ledger.enter("/status/pipeline", keyed, |number| {
        vec![Report { number, host: host.to_owned(), status: "synced", more: json!({}) }]
    })
}

/// Reports of one request with so many bytes of message each.
pub fn bulky(ledger: &Ledger, reports: u64, bytes: usize) -> Arc<Request> {
    ledger.enter("/status/pipeline", false, |first| {
        let message = |number: u64| format!("{number} ").repeat(bytes / 8);
        let report = |number: u64| Report {
            number,
            host: "bulky".to_owned(),
            status: "failed",
            more: json!({"validation_message": message(number)}),
        };
        (first..first + reports).map(report).collect()
    })
}

/// A history of a host, in the order of time, as one array; each element a minute behind the one before.
pub fn history(
    ledger: &Ledger,
    host: &str,
    reports: u64,
    statuses: &[&'static str],
    chance: &mut Chance,
) -> Arc<Request> {
    ledger.enter("/status/pipeline", false, |first| {
        let at = |number: u64| TIMES_BEGIN + MINUTE * number as i64;
        (first..first + reports)
            .map(|n| report_at(n, host, at(n), state(statuses, chance)))
            .collect()
    })
}

/// A drift before every history.
pub fn earliest(ledger: &Ledger, host: &str) -> Arc<Request> {
    ledger.enter("/status/pipeline", false, |number| {
        vec![report_at(number, host, TIMES_BEGIN - MINUTE, ("out_of_sync", json!({})))]
    })
}

/// Reports on hosts with a history, each somewhere in it, until told to stop or until the server is gone.
pub fn late_reports(
    address: SocketAddr,
    ledger: &Ledger,
    hosts: &[String],
    chance: &mut Chance,
    stop: &AtomicBool,
) {
    let mut connection = Connection::new(address);
    while !stop.load(Ordering::Relaxed) {
        let host = &hosts[chance.below(hosts.len())];
        let request = ledger.enter("/status/pipeline", false, |number| {
            let time = TIMES_BEGIN + chance.below(MINUTE as usize * number as usize) as i64;
            vec![report_at(number, host, time, state(STATUSES, chance))]
        });
        match send(&mut connection, ledger, &request) {
            Next::GoOn => std::thread::sleep(PAUSE),
            Next::Pause => {}
            Next::End => return,
        }
    }
}

fn report_at(
    number: u64,
    host: &str,
    seconds: i64,
    (status, mut more): (&'static str, Value),
) -> Report {
    more["last_pipeline_run"] = json!(time(seconds));
    Report { number, host: host.to_owned(), status, more }
}

/// A check that says the same as ever, in time order for each client: what most reports are, and what the
/// server writes in the shortest way. Its number travels as its time.
fn beat(ledger: &Ledger, client: usize) -> Arc<Request> {
    ledger.enter("/status/cron?create=true", false, |number| {
        let more =
            json!({"commit_sha": null, "last_cron_check": time(TIMES_BEGIN + number as i64)});
        vec![Report { number, host: format!("beat-{client}"), status: "synced", more }]
    })
}

/// The number of the report that a line of the history is of, unless no client of the load sent it.
pub fn number_of(line: &Value) -> Option<u64> {
    if line["source"] == "import" {
        return None;
    }
    if let Some(commit) = line["commit_sha"].as_str() {
        return commit.parse().ok();
    }
    let time = Timestamp::parse(line["reported_at"].as_str()?).ok()?;
    u64::try_from(time.0 / 1_000_000 - TIMES_BEGIN).ok()
}

/// A request by chance.
fn request(ledger: &Ledger, chance: &mut Chance) -> Arc<Request> {
    let count = if chance.once_in(3) { 3 } else { 1 };
    let keyed = chance.once_in(2);
    if chance.once_in(25) {
        // Refused whole, for the sake of its last element.
        return ledger.enter("/status/pipeline", keyed, |first| {
            let mut reports: Vec<_> = (first..first + 2).map(|n| report(n, chance)).collect();
            reports[1].status = "no such status";
            reports
        });
    }
    let path = if chance.once_in(3) { "/status/cron?create=true" } else { "/status/pipeline" };
    ledger.enter(path, keyed, |first| (first..first + count).map(|n| report(n, chance)).collect())
}

/// Hosts with an even number are reported as of now, the others as of a time, now and then an old one.
fn report(number: u64, chance: &mut Chance) -> Report {
    let host = chance.below(HOSTS);
    let (status, mut more) = state(STATUSES, chance);
    if host % 2 == 1 {
        let late = if chance.once_in(4) { chance.below(3600) as i64 } else { 0 };
        let time = time(TIMES_BEGIN + number as i64 - late);
        more["last_pipeline_run"] = json!(time);
        more["last_cron_check"] = json!(time);
    }
    Report { number, host: format!("host-{host}"), status, more }
}

/// A status by chance, and the fields that belong to it.
fn state(statuses: &[&'static str], chance: &mut Chance) -> (&'static str, Value) {
    let status = statuses[chance.below(statuses.len())];
    let mut more = json!({});
    if status == "out_of_sync" {
        more["changed_files"] = json!([format!("file-{}", chance.below(4))]);
    }
    (status, more)
}

fn time(seconds: i64) -> String {
    let time = chrono::DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
