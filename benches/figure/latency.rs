//! How long a POST takes at half the rate that the server holds, counted from the moment it was due,
//! against bare commits of SQLite of the same size at the same pace.

use super::ingest::{CONNECTIONS, RECORD, batch_since, send};
use crate::peers::sqlite::{Pages, Rows};
use crate::support::bodies::Reports;
use crate::support::book::{Book, Target};
use crate::support::load::Load;
use crate::support::plan::Plan;
use crate::support::{data, median, quantile, ratios, server};
use std::time::Duration;

/// More than are ever in flight, so that requests leave when they are due.
pub const OPEN: usize = 128;

pub fn run(plan: &Plan) {
    let mut book = Book::new("latency", "a POST at half the top rate, open loop");
    let folder = data::scratch();
    let path = folder.path().join("latency.db");
    let server = server::start(&path);
    let top: Vec<_> = (0..4)
        .map(|_| send(&server, RECORD, 1, CONNECTIONS, plan.time).per_second)
        .skip(1)
        .collect();
    let rate = median(&top) / 2.0;
    book.row("top rate, closed loop, 32 connections", "/s", &top);
    let mut bare = Rows::create(&folder.path().join("bare.db"));
    let time = plan.time * 2;
    let (mut ours, mut ours_median, mut reached) = (vec![], vec![], vec![]);
    let (mut theirs, mut theirs_median, mut batches) = (vec![], vec![], vec![]);
    for round in 0..=plan.rounds {
        let before = Pages::open(&path).newest();
        let mut reports = Reports::new(RECORD, 1, OPEN);
        let run =
            Load::new(server.port, OPEN, time).at_rate(rate).run(move |_, out| reports.write(out));
        let batch = batch_since(&path, before);
        let gap = Duration::from_secs_f64(batch as f64 / rate);
        let mut commits = bare.commits(batch, time, Some(gap));
        commits.sort_by(f64::total_cmp);
        if round == 0 {
            continue; // warms both
        }
        ours.push(run.quantile(0.99) / 1e3);
        ours_median.push(run.quantile(0.5) / 1e3);
        reached.push(run.per_second / rate);
        theirs.push(quantile(&commits, 0.99) * 1e3);
        theirs_median.push(quantile(&commits, 0.5) * 1e3);
        batches.push(batch as f64);
    }
    server.stop();
    book.row("answers / requests due", "×", &reached);
    book.row("reports in a commit", "", &batches);
    book.row("median of a POST", "ms", &ours_median);
    book.row("p99 of a POST", "ms", &ours);
    book.row("median of a bare commit of that size, at that pace", "ms", &theirs_median);
    book.row("p99 of a bare commit of that size, at that pace", "ms", &theirs);
    let against = "p99 of SQLite's bare commit";
    let target = Target::at_most(2.0);
    book.verdict(
        "p99 of a POST at half the top rate",
        against,
        "×",
        &ratios(&ours, &theirs),
        target,
    );
    book.close(&plan.out);
}
