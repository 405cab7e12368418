//! Resident memory while everything is asked at once of a server with a long history.

use super::growth::copy_of;
use super::ingest::{RECORD, send};
use crate::support::book::{Book, Target};
use crate::support::load::{Load, get};
use crate::support::plan::{Plan, power};
use crate::support::process::body_of;
use crate::support::{data, server};

pub fn run(plan: &Plan) {
    let title = format!("peak memory under full load, {} rows, 1,000 hosts", power(plan.large));
    let mut book = Book::new("memory", title);
    let folder = data::scratch();
    let database = copy_of(plan.large, &folder);
    let mut peaks = Vec::new();
    for _ in 0..plan.rounds.min(3) {
        // Its highest memory is counted from its start.
        let server = server::start_product(&database);
        let (port, time) = (server.port, plan.time * 3);
        let ask = |path: &'static str, connections| {
            let load = Load::new(port, connections, time).answered_anyhow();
            move || drop(load.run(|_, out| get(path, out)))
        };
        std::thread::scope(|scope| {
            scope.spawn(|| send(&server, RECORD, 1, 64, time));
            scope.spawn(|| send(&server, RECORD, 100, 8, time));
            scope.spawn(ask("/status", 16));
            scope.spawn(ask("/history?limit=1000", 8));
            scope.spawn(ask("/history/rsyslog-07/rsyslog-0147?limit=100", 8));
            scope.spawn(ask("/reviews/2026-Q1", 2));
            scope.spawn(ask("/metrics", 2));
            scope.spawn(move || {
                body_of(port, "/history?format=csv&from=2026-02-01&to=2026-02-04").len()
            });
        });
        peaks.push(server.memory("VmHWM"));
        server.stop();
    }
    book.note(
        "At once: reports one by one (64 connections) and in arrays of 100 (8), /status (16), pages of 1,000 and of 100 rows (8 each), reviews (2), /metrics (2), and a CSV stream of three days.",
    );
    let label = format!("memory under full load, {} rows", power(plan.large));
    book.verdict(label, "", "MiB", &peaks, Target::at_most(96.0));
    book.close(&plan.out);
}
