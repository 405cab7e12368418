//! Questions that take long: thousands of filters in one URL, and wide ones, many at once.

use super::{Beside, Noticed, ask_on, millis, names};
use crate::figure::growth::copy_of;
use crate::support::book::Target;
use crate::support::{load, server};

/// What needs the database, and is small.
const SMALL: &str = "/checkpoint";
/// Filters of one URL.
const FILTERS: usize = 5000;
const FILTERING: usize = 4;
const WIDE: usize = 24;
const WIDE_PATHS: [&str; 4] = [
    "/reviews/2026-Q1",
    "/status?at=2026-02-14T12:34:56Z",
    "/history?file=*nothing*&limit=1000",
    "/timeline?from=2026-01-01&to=2026-04-01&server_group=rsyslog-01",
];
/// Milliseconds that may be missing on a worker.
const WORKER_MILLIS: f64 = 10.0;

pub fn many_hosts(beside: &mut Beside) {
    let name = "5,000 host= in one URL, 10,000 hosts";
    let server = server::start_logged(&beside.database("filters"));
    names::create(server.port, names::known);
    let filters: Vec<_> = (0..FILTERS).map(|n| format!("host=h{n:05}")).collect();
    let path = format!("/status?{}", filters.join("&"));
    let (noticed, answers) = beside.stretches(name, &server, &[SMALL], |end| {
        ask_on(FILTERING, server.port, end, |_, out| load::get(&path, out))
    });
    server.stop();
    beside.row_of_others_than(200, name, &answers);
    // Nothing of it waits for a disk: what it takes is taken from a worker.
    let (label, target) = (format!("{name}: an answer"), Target::at_most(WORKER_MILLIS));
    beside.book.verdict(label, "", "ms", &millis(&answers), target);
    judge_small(beside, name, &noticed);
}

pub fn wide(beside: &mut Beside) {
    let name = "24 wide questions at once";
    let server = server::start_logged(&copy_of(beside.plan.middle, &beside.folder));
    let (noticed, answers) = beside.stretches(name, &server, &[SMALL], |end| {
        ask_on(WIDE, server.port, end, |n, out| load::get(WIDE_PATHS[n as usize % 4], out))
    });
    server.stop();
    beside.row_of_excess(name, 200, &answers);
    let (label, target) = (format!("{name}: p99 of /health"), Target::at_most(WORKER_MILLIS));
    beside.book.verdict(label, "", "ms", &[noticed.of("/health").1.p99], target);
    judge_small(beside, name, &noticed);
}

fn judge_small(beside: &mut Beside, name: &str, noticed: &Noticed) {
    let label = format!("{name}: p50 of {SMALL}");
    let (quiet, loud) = noticed.of(SMALL);
    let target = Target::at_most(super::OTHERS);
    beside.book.verdict(label, "the same in quiet", "×", &[loud.p50 / quiet.p50], target);
}
