//! Durable ingest, one report per POST, against the same server parsing the same POST and storing
//! nothing; and against SQLite taking the same rows by itself.

use crate::peers::sqlite::{Pages, Rows};
use crate::support::bodies::Reports;
use crate::support::book::{Book, Line, Plot, Target};
use crate::support::load::{Load, Run};
use crate::support::plan::Plan;
use crate::support::process::Service;
use crate::support::server::{self, PARSE_ONLY};
use crate::support::{data, median, ratios};
use std::path::Path;
use std::time::Duration;

/// The route that records.
pub const RECORD: &str = "/status/pipeline";
/// The number of connections that targets speak of.
pub const CONNECTIONS: usize = 32;
const ALL_CONNECTIONS: [usize; 6] = [1, 8, CONNECTIONS, 64, 128, 256];

pub fn run(plan: &Plan) {
    let mut book = Book::new("ingest", "one report per POST, 1,000 hosts in turn");
    let folder = data::scratch();
    let path = folder.path().join("ingest.db");
    let server = server::start(&path);
    send(&server, RECORD, 1, CONNECTIONS, plan.time); // creates the hosts
    let (mut parse_line, mut durable_line) = (Line::new("parse only"), Line::new("durable"));
    let mut batch = 0;
    for connections in ALL_CONNECTIONS {
        let asked = connections == CONNECTIONS;
        let rounds = if asked { plan.rounds } else { plan.rounds.div_ceil(2) };
        let before = Pages::open(&path).newest();
        let (parsed, stored) = sides(&server, 1, connections, rounds, plan.time);
        let rates = |runs: &[Run]| runs.iter().map(|run| run.per_second).collect::<Vec<_>>();
        let (parse, durable) = (rates(&parsed), rates(&stored));
        book.row(format!("parse only, {connections} connections"), "/s", &parse);
        book.row(format!("recorded and synced, {connections} connections"), "/s", &durable);
        parse_line.points.push((connections.to_string(), parse.clone()));
        durable_line.points.push((connections.to_string(), durable.clone()));
        if asked {
            let target = Target::at_least(0.4).stretch(0.6);
            let (label, ratio) = ("durable ingest, 32 connections", ratios(&durable, &parse));
            book.verdict(label, "the parse-only POST", "×", &ratio, target);
            let p99: Vec<_> = stored.iter().map(|run| run.quantile(0.99) / 1e3).collect();
            book.row("p99 at full load, 32 connections", "ms", &p99);
            let busy: Vec<_> = parsed.iter().map(|run| run.busy * 100.0).collect();
            book.row("the generator's own share of a processor while parsing only", "%", &busy);
            batch = batch_since(&path, before);
            let bare = bare_rates(folder.path(), batch, plan);
            book.row(format!("SQLite by itself, {batch} rows a commit"), "rows/s", &bare);
            book.row("recorded / SQLite by itself", "×", &ratios(&durable, &bare));
        }
    }
    book.note(format!("A commit held {batch} reports in the mean, at 32 connections."));
    book.plot(Plot {
        file: "ingest",
        title: "Reports per second, one per POST".into(),
        x: "connections",
        y: "reports per second",
        stacked: false,
        lines: vec![parse_line, durable_line],
    });
    server.stop();
    book.close(&plan.out);
}

/// Parse-only and durable runs that take turns, each first in every second round.
pub fn sides(
    server: &Service,
    array: usize,
    connections: usize,
    rounds: usize,
    time: Duration,
) -> (Vec<Run>, Vec<Run>) {
    let (mut parsed, mut stored) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let mut parse = || parsed.push(send(server, PARSE_ONLY, array, connections, time));
        let mut store = || stored.push(send(server, RECORD, array, connections, time));
        if round % 2 == 0 {
            parse();
            store();
        } else {
            store();
            parse();
        }
    }
    (parsed, stored)
}

/// Sends reports to a route for a while.
pub fn send(
    server: &Service,
    path: &'static str,
    array: usize,
    connections: usize,
    time: Duration,
) -> Run {
    let mut reports = Reports::new(path, array, connections);
    Load::new(server.port, connections, time).run(move |_, out| reports.write(out))
}

/// Reports in a commit, in the mean, behind a row.
pub fn batch_since(database: &Path, seq: i64) -> usize {
    let (rows, commits) = Pages::open(database).commits_behind(seq);
    (rows as f64 / commits.max(1) as f64).round().max(1.0) as usize
}

/// Rows per second of SQLite by itself, as fast as it goes.
pub fn bare_rates(folder: &Path, batch: usize, plan: &Plan) -> Vec<f64> {
    let mut bare = Rows::create(&folder.join(format!("bare-{batch}.db")));
    bare.commits(batch, plan.time, None);
    let mut round = || {
        let times = bare.commits(batch, plan.time, None);
        (times.len() * batch) as f64 / times.iter().sum::<f64>()
    };
    let rates: Vec<_> = (0..plan.rounds).map(|_| round()).collect();
    assert!(median(&rates) > 0.0);
    rates
}
