//! `GET /status` with 1,000 hosts against the same bytes served from memory, also while reports come
//! in; and 304 answers against a route that answers nothing.

use super::ingest::{CONNECTIONS, RECORD, send};
use super::latency::OPEN;
use crate::support::bodies::Reports;
use crate::support::book::{Book, Target};
use crate::support::load::{Load, Run, get};
use crate::support::plan::Plan;
use crate::support::process::{Service, body_of};
use crate::support::server::{EMPTY, FIXED};
use crate::support::{data, ratios, server};
use std::io::Write;
use std::time::Duration;

/// Reports per second while `/status` is asked.
const WRITES: f64 = 1000.0;

pub fn run(plan: &Plan) {
    let mut book = Book::new("status", "GET /status with 1,000 hosts, 32 connections");
    let folder = data::scratch();
    let path = folder.path().join("status.db");
    // The bytes to compare with are the ones this very server answers.
    let server = server::start(&path);
    send(&server, RECORD, 1, CONNECTIONS, Duration::from_millis(500));
    let body = body_of(server.port, "/status");
    server.stop();
    book.note(format!("The body has {} bytes.", body.len()));
    std::fs::write(format!("{}.fixed", path.display()), body).unwrap();
    let server = server::start(&path);
    let mut sides = [vec![], vec![], vec![], vec![], vec![]];
    let mut written = Vec::new();
    for round in 0..=plan.rounds {
        let (fixed, status) = (ask(&server, FIXED, plan), ask(&server, "/status", plan));
        let (empty, unchanged) = (ask(&server, EMPTY, plan), ask_unchanged(&server, plan));
        let (amid, writes) = ask_amid_writes(&server, plan);
        if round == 0 {
            continue; // warms everything
        }
        let runs = [fixed, status, empty, unchanged, amid];
        for (side, run) in sides.iter_mut().zip(runs) {
            side.push(run.per_second);
        }
        written.push(writes.per_second);
    }
    let [fixed, status, empty, unchanged, amid] = &sides;
    book.row("the same bytes from memory", "/s", fixed);
    book.row("GET /status", "/s", status);
    book.row("GET /status while reports come in", "/s", amid);
    book.row("reports that came in meanwhile", "/s", &written);
    book.row("an empty route", "/s", empty);
    book.row("GET /status, answered 304", "/s", unchanged);
    let against = "the same bytes from memory";
    let target = Target::at_least(0.9);
    book.verdict("GET /status, 1,000 hosts", against, "×", &ratios(status, fixed), target);
    let label = "GET /status while 1,000 reports/s come in";
    book.verdict(label, against, "×", &ratios(amid, fixed), Target::at_least(0.3));
    book.verdict("304 answers", "an empty route", "×", &ratios(unchanged, empty), target);
    server.stop();
    book.close(&plan.out);
}

fn ask(server: &Service, path: &str, plan: &Plan) -> Run {
    Load::new(server.port, CONNECTIONS, plan.time).run(|_, out| get(path, out))
}

fn ask_unchanged(server: &Service, plan: &Plan) -> Run {
    let answer = ureq::get(format!("http://127.0.0.1:{}/status", server.port)).call().unwrap();
    let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    let request = move |_, out: &mut Vec<u8>| {
        write!(out, "GET /status HTTP/1.1\r\nHost: bench\r\nIf-None-Match: {tag}\r\n\r\n").unwrap();
    };
    Load::new(server.port, CONNECTIONS, plan.time).answered(304).run(request)
}

fn ask_amid_writes(server: &Service, plan: &Plan) -> (Run, Run) {
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut reports = Reports::new(RECORD, 1, OPEN);
            let load = Load::new(server.port, OPEN, plan.time).at_rate(WRITES);
            load.run(move |_, out| reports.write(out))
        });
        let reads = ask(server, "/status", plan);
        (reads, writer.join().unwrap())
    })
}
