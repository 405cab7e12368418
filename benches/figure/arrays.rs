//! Durable ingest in arrays of 100 reports, against parsing the same arrays.

use super::ingest::{CONNECTIONS, RECORD, bare_rates, batch_since, send, sides};
use crate::peers::sqlite::Pages;
use crate::support::bodies::MANY_HOSTS;
use crate::support::book::{Book, Target};
use crate::support::load::Run;
use crate::support::plan::Plan;
use crate::support::{data, ratios, server};

const ARRAY: usize = 100;

pub fn run(plan: &Plan) {
    let title = format!(
        "arrays of {ARRAY} reports per POST, {MANY_HOSTS} hosts, {CONNECTIONS} connections"
    );
    let mut book = Book::new("arrays", title);
    let folder = data::scratch();
    let path = folder.path().join("arrays.db");
    let server = server::start(&path);
    send(&server, RECORD, ARRAY, CONNECTIONS, plan.time / 4); // creates the hosts
    let before = Pages::open(&path).newest();
    let (parsed, stored) = sides(&server, ARRAY, CONNECTIONS, plan.rounds, plan.time);
    let rates =
        |runs: &[Run]| runs.iter().map(|run| run.per_second * ARRAY as f64).collect::<Vec<_>>();
    let (parse, durable) = (rates(&parsed), rates(&stored));
    book.row("parse only", "reports/s", &parse);
    book.row("recorded and synced", "reports/s", &durable);
    let p99: Vec<_> = stored.iter().map(|run| run.quantile(0.99) / 1e3).collect();
    book.row("p99 of an array at full load", "ms", &p99);
    let target = Target::at_least(0.1).stretch(0.3);
    let ratio = ratios(&durable, &parse);
    book.verdict("durable ingest, arrays of 100", "parse-only arrays of 100", "×", &ratio, target);
    let batch = batch_since(&path, before);
    server.stop();
    // More values than that one statement does not take.
    let bare_batch = batch.min(2_500);
    let bare = bare_rates(folder.path(), bare_batch, plan);
    book.row(format!("SQLite by itself, {bare_batch} rows a commit"), "rows/s", &bare);
    book.row("recorded / SQLite by itself", "×", &ratios(&durable, &bare));
    book.note(format!("A commit held {batch} reports in the mean."));
    book.close(&plan.out);
}
