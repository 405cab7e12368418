//! Whether writing gets slower as the history grows: a copy of a large database against an empty one.

use super::ingest::{CONNECTIONS, RECORD, send};
use crate::support::book::{Book, Target};
use crate::support::plan::{Plan, power};
use crate::support::{data, ratios, server};
use std::path::PathBuf;

pub fn run(plan: &Plan) {
    let rows = power(plan.large);
    let mut book = Book::new("growth", format!("write rate at {rows} rows and on an empty table"));
    let folder = data::scratch();
    let large = server::start(&copy_of(plan.large, &folder));
    for array in [1, 100] {
        let (mut full, mut empty) = (vec![], vec![]);
        for round in 0..=plan.rounds {
            // Empty at the beginning of each round, but for the hosts.
            let new = folder.path().join(format!("empty-{array}-{round}.db"));
            let fresh = server::start(&new);
            send(&fresh, RECORD, 100, CONNECTIONS, plan.time / 8);
            let mut sides = [(&large, &mut full), (&fresh, &mut empty)];
            if round % 2 == 1 {
                sides.reverse();
            }
            for (server, rates) in sides {
                let run = send(server, RECORD, array, CONNECTIONS, plan.time);
                if round > 0 {
                    rates.push(run.per_second * array as f64);
                }
            }
            fresh.stop();
            std::fs::remove_file(new).unwrap();
        }
        let how = if array == 1 { "one report per POST" } else { "arrays of 100" };
        book.row(format!("{how}, {rows} rows"), "reports/s", &full);
        book.row(format!("{how}, empty table"), "reports/s", &empty);
        let label = format!("write rate at {rows} rows, {how}");
        let target = Target::at_least(0.8);
        book.verdict(label, "the same on an empty table", "×", &ratios(&full, &empty), target);
    }
    large.stop();
    if let Some(rate) = data::fill_rate(plan.large) {
        let hours = 1e8 / rate / 3600.0;
        book.note(format!(
            "Filling the database of {rows} rows through the recorder (1,000 reports a commit) made {rate:.0} rows per second; 10⁸ rows take {hours:.1} hours and about 8 GiB at that rate."
        ));
    }
    book.close(&plan.out);
}

/// A copy of a kept database, which itself is never written to.
pub fn copy_of(rows: usize, folder: &tempfile::TempDir) -> PathBuf {
    let (from, to) = (data::quarter(rows), folder.path().join("copy.db"));
    // A clean start and stop leave nothing in the log.
    server::start(&from).stop();
    std::fs::copy(&from, &to).unwrap();
    // The signing key, and what was signed.
    for ending in ["key", "checkpoints"] {
        let beside = format!("{}.{ending}", from.display());
        if std::fs::exists(&beside).unwrap() {
            std::fs::copy(beside, format!("{}.{ending}", to.display())).unwrap();
        }
    }
    to
}
