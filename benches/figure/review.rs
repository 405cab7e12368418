//! The review of a quarter: 1,000 hosts with the segments and episodes of a real one, and the same
//! drifts reported ten and a hundred times as often; and other looks back.

use crate::support::book::{Book, Line, Plot, Target};
use crate::support::load::{Load, get};
use crate::support::plan::{Plan, power};
use crate::support::process::{Service, body_of};
use crate::support::{data, median, ratios, server};

const GROUPINGS: [&str; 3] = ["server_group", "host", "file"];
const TARGET_MS: f64 = 300.0;
/// Fewer rounds than that have other drifts.
const LEAST_ROWS: usize = 1_000_000;

pub fn run(plan: &Plan) {
    let mut book = Book::new("review", "GET /reviews/2026-Q1, 1,000 hosts, one at a time");
    let wanted = plan.sizes.iter().filter(|rows| **rows >= LEAST_ROWS);
    let sides: Vec<_> = wanted.map(|rows| (*rows, server::start(&data::quarter(*rows)))).collect();
    let mut times = vec![[vec![], vec![], vec![]]; sides.len()];
    for round in 0..=plan.rounds {
        for ((_, server), times) in sides.iter().zip(&mut times) {
            for (grouping, times) in GROUPINGS.iter().zip(times) {
                let time = ask(server, &format!("/reviews/2026-Q1?group_by={grouping}"), plan);
                if round > 0 {
                    times.push(time);
                }
            }
        }
    }
    for ((rows, server), times) in sides.iter().zip(&times) {
        let totals = totals(server);
        let (reports, episodes) = (&totals["reports"], &totals["episodes"]);
        book.note(format!("{} rows: {reports} reports, {episodes} episodes.", power(*rows)));
        for (grouping, own) in GROUPINGS.iter().zip(times) {
            book.row(format!("by {grouping}, {} rows", power(*rows)), "ms", own);
        }
        let label = format!("review of a quarter, 1,000 hosts, {} rows, by host", power(*rows));
        book.verdict(label, "", "ms", &times[1], Target::at_most(TARGET_MS));
    }
    if let [(first, _), .., (last, _)] = &sides[..] {
        let label = format!("{} / {} rows with the same drifts", power(*last), power(*first));
        let (most, least) = (times.last().unwrap(), &times[0]);
        book.row(label, "×", &ratios(&most[1], &least[1]));
    }
    let (rows, server) = sides.last().unwrap();
    for path in [
        "/status?at=2026-02-14T12:34:56Z".to_owned(),
        "/episodes?limit=100".to_owned(),
        "/timeline?from=2026-02-01&to=2026-02-08&server_group=rsyslog-01".to_owned(),
        format!("/reviews/2026-01?as_of={}", rows / 2),
    ] {
        let times: Vec<_> = (0..plan.rounds).map(|_| ask(server, &path, plan)).collect();
        book.row(format!("{path}, {} rows", power(*rows)), "ms", &times);
    }
    book.plot(plot(&sides, &times));
    for (_, server) in sides {
        server.stop();
    }
    book.close(&plan.out);
}

/// The median of the times of an answer in milliseconds, one at a time.
fn ask(server: &Service, path: &str, plan: &Plan) -> f64 {
    let run = Load::new(server.port, 1, plan.time / 4).run(|_, out| get(path, out));
    median(&run.latencies) / 1e3
}

fn totals(server: &Service) -> serde_json::Value {
    let body = body_of(server.port, "/reviews/2026-Q1");
    let review: serde_json::Value = serde_json::from_slice(&body).unwrap();
    review["totals"].clone()
}

fn plot(sides: &[(usize, Service)], times: &[[Vec<f64>; 3]]) -> Plot {
    let mut lines = Vec::new();
    for (at, grouping) in GROUPINGS.iter().enumerate() {
        let mut line = Line::new(format!("by {grouping}"));
        for ((rows, _), times) in sides.iter().zip(times) {
            line.points.push((power(*rows), times[at].clone()));
        }
        lines.push(line);
    }
    Plot {
        file: "review",
        title: "The review of a quarter, 1,000 hosts".into(),
        x: "rows in the quarter",
        y: "milliseconds",
        stacked: false,
        lines,
    }
}
