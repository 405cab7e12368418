//! The review of a quarter: 1,000 hosts with the segments and episodes of a real one, on 10 million
//! raw rows; and the same drifts reported a tenth as often.

use super::server::Server;
use super::{data, load, median, row, verdict};
use std::time::Duration;

/// How long each answer is asked for again and again.
const TIME: Duration = Duration::from_secs(4);
const TARGET_MS: f64 = 1000.0;

pub fn run() {
    println!("\nreview: a quarter, {} hosts, 10,000,000 and 1,000,000 rows", data::HOSTS);
    let dense = Server::start(&data::quarter(10_000_000));
    let sparse = Server::start(&data::quarter(1_000_000));
    for group_by in ["server_group", "host", "file"] {
        let path = format!("/reviews/2026-Q1?group_by={group_by}");
        let totals = totals(dense.port, &path);
        let (many, few) = (times(dense.port, &path), times(sparse.port, &path));
        let other = self::totals(sparse.port, &path);
        println!(
            "  {} reports and {} episodes; {} reports and {} episodes",
            totals["reports"], totals["episodes"], other["reports"], other["episodes"]
        );
        row(&format!("by {group_by}, 10 million rows"), "ms", &many);
        row(&format!("by {group_by}, 1 million rows, same drifts"), "ms", &few);
        let (many, ratio) = (median(&many), median(&many) / median(&few));
        verdict("review of a quarter in ms", many, many < TARGET_MS, "< 1000");
        verdict("ten times the reports", ratio, ratio < 1.3, "about 1");
    }
    for path in [
        "/status?at=2026-02-14T12:34:56Z",
        "/episodes?limit=100",
        "/timeline?from=2026-02-01&to=2026-02-08&server_group=rsyslog-01",
        "/reviews/2026-01?as_of=5000000",
    ] {
        row(path, "ms", &times(dense.port, path));
    }
    dense.stop();
    sparse.stop();
}

/// Times of an answer in milliseconds, one at a time.
fn times(port: u16, path: &str) -> Vec<f64> {
    let path = path.to_owned();
    let run = load::run(port, 1, TIME, move |_, out| load::get(&path, out));
    run.latencies.iter().map(|micros| micros / 1000.0).collect()
}

fn totals(port: u16, path: &str) -> serde_json::Value {
    let mut answer = ureq::get(format!("http://127.0.0.1:{port}{path}")).call().unwrap();
    let review: serde_json::Value =
        serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
    review["totals"].clone()
}
