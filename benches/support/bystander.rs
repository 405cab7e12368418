//! Somebody who asks little and wants an answer: small reports of one host, and GETs, each at a steady
//! rate on connections of its own. Latency counts from when a request was due.

use super::load::{self, Load, Run};
use std::time::Duration;

/// What a bystander asks: [`POST`], or the path of a GET.
pub const ASKED: &[&str] = &[POST, "/health", "/ready"];
/// A report of one host without a time, so that it is always stored.
pub const POST: &str = "POST";
/// Requests of each kind per second.
const RATE: f64 = 100.0;
/// Connections of each kind.
const CONNECTIONS: usize = 16;
const REPORT: &str = r#"{"server_group":"bystanders","host":"bystander-1","status":"synced"}"#;

/// What one kind of request met with, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Waited {
    /// Half of the answers took no longer.
    pub p50: f64,
    /// All but one in a hundred.
    pub p99: f64,
    /// The longest.
    pub worst: f64,
    /// Percent of the answers that were not 200.
    pub refused: f64,
}

/// Asks for a while; what each of `asked` met with.
pub fn watch(port: u16, time: Duration, asked: &[&'static str]) -> Vec<Waited> {
    let ask = |what: &'static str| {
        let load = Load::new(port, CONNECTIONS, time).at_rate(RATE).answered_anyhow();
        load.run(|_, out| match what {
            POST => load::post("/status/pipeline", REPORT.as_bytes(), out),
            path => load::get(path, out),
        })
    };
    std::thread::scope(|scope| {
        let asking: Vec<_> = asked.iter().map(|what| scope.spawn(move || ask(what))).collect();
        let waited = |run: Run| Waited {
            p50: run.quantile(0.5) / 1e3,
            p99: run.quantile(0.99) / 1e3,
            worst: run.quantile(1.0) / 1e3,
            refused: run.refused as f64 * 100.0 / run.latencies.len() as f64,
        };
        asking.into_iter().map(|run| waited(run.join().expect("the bystander failed"))).collect()
    })
}
