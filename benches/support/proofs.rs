//! `verify` on 1 million rows, and proofs out of 10 million.

use super::export::{server_binary, timed};
use super::load;
use super::server::Server;
use super::{data, median, row, verdict};
use std::process::Command;
use std::time::Duration;

/// The path of the n-th request.
type Path = fn(u64) -> String;

const ROWS: usize = 1_000_000;
const LARGE: usize = 10_000_000;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(700);

pub fn run() {
    println!("\nproofs: verify on {ROWS} rows, {} hosts", data::HOSTS);
    let path = data::filled(ROWS);
    let folder = data::scratch();
    let forms: [(&str, &[&str]); 3] =
        [("file, tree and projections", &[]), ("tree", &["--tree"]), ("refold", &["--refold"])];
    let mut rates = vec![vec![]; forms.len()];
    let mut memory = vec![];
    for _ in 0..ROUNDS {
        for (at, (_, form)) in forms.iter().enumerate() {
            let mut verify = Command::new(server_binary());
            let url = format!("sqlite://{}", path.display());
            verify.args(["verify", "--database-url", &url]).args(*form);
            let (time, peak) = timed(verify, &folder.path().join("said"));
            rates[at].push(ROWS as f64 / time);
            memory.push(peak);
        }
    }
    for ((name, _), rates) in forms.iter().zip(&rates) {
        row(&format!("verify: {name}"), "rows/s", rates);
    }
    row("peak memory", "MiB", &memory);
    let rate = median(&rates[0]);
    verdict("verify, rows per second", rate, rate >= 300_000.0, "at least 300000");

    println!("  one connection, {LARGE} rows:");
    let server = Server::start(&data::filled(LARGE));
    // Sizes of no power of two: their right edge is made of many parts.
    let asked: [(&str, Path); 3] = [
        ("GET /checkpoint", |_| "/checkpoint".to_owned()),
        ("GET /proof/{id}", |n| format!("/proof/{}", 1 + n * 7919 % LARGE as u64)),
        ("GET /proof?from_size=&to_size=", |n| {
            let from = 1 + n * 7919 % (LARGE as u64 - 1);
            format!("/proof?from_size={from}&to_size={}", LARGE - 1)
        }),
    ];
    for (name, path) in asked {
        let ask = || load::run(server.port, 1, ROUND, move |n, out| load::get(&path(n), out));
        let medians: Vec<f64> = (0..ROUNDS).map(|_| median(&ask().latencies)).collect();
        row(name, "us", &medians);
    }
    server.stop();
}
