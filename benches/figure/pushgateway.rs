//! A host's state against Debian's Pushgateway, with 1,000 groups there; and what a scrape costs both.

use super::ingest::{CONNECTIONS, RECORD, send};
use crate::peers::pushgateway::{GROUPS, push, start, status};
use crate::support::book::{Book, Target};
use crate::support::load::{Load, Run};
use crate::support::plan::Plan;
use crate::support::process::{Service, body_of};
use crate::support::{data, ratios, server};
use std::time::{Duration, Instant};

pub fn run(plan: &Plan) {
    let title = format!("one host's state, {GROUPS} groups, {CONNECTIONS} connections");
    let mut book = Book::new("pushgateway", title);
    let folder = data::scratch();
    let ours = server::start(&folder.path().join("reports.db"));
    let pushed = server::start(&folder.path().join("pushes.db"));
    let (checked, unchecked) = (start(true), start(false));
    send(&ours, RECORD, 1, CONNECTIONS, plan.time / 2);
    fill(&pushed, 200);
    fill(&checked, status(true));
    fill(&unchecked, status(false));
    let mut rates = [vec![], vec![], vec![], vec![]];
    for _ in 0..plan.rounds {
        let time = plan.time;
        rates[0].push(send(&ours, RECORD, 1, CONNECTIONS, time).per_second);
        rates[1].push(puts(&checked, status(true), 0, time).per_second);
        rates[2].push(puts(&unchecked, status(false), 0, time).per_second);
        rates[3].push(puts(&pushed, 200, 0, time).per_second);
    }
    let [report, defaults, loose, push] = &rates;
    book.row("POST of a report, ours, durable", "/s", report);
    book.row("PUT, Pushgateway with its default settings", "/s", defaults);
    book.row("PUT, Pushgateway with --push.disable-consistency-check", "/s", loose);
    book.row("the same PUT, to our Pushgateway-compatible endpoint, durable", "/s", push);
    let of = |theirs| ratios(report, theirs);
    let label = "one host's state, 1,000 groups";
    let target = Target::at_least(50.0);
    book.verdict(label, "Pushgateway, default settings (in memory)", "×", &of(defaults), target);
    let against = "Pushgateway, consistency check off (in memory)";
    book.verdict(label, against, "×", &of(loose), Target::at_least(1.0));
    book.row("the same PUT: ours / default settings", "×", &ratios(push, defaults));
    book.row("the same PUT: ours / consistency check off", "×", &ratios(push, loose));
    scrapes(&mut book, plan, &ours, &unchecked);
    for service in [ours, pushed, checked, unchecked] {
        service.stop();
    }
    book.close(&plan.out);
}

fn puts(service: &Service, status: u16, first: u64, time: Duration) -> Run {
    let load = Load::new(service.port, CONNECTIONS, time).answered(status);
    load.run(move |n, out| push(first + n, out))
}

/// Pushes until every group is there.
fn fill(service: &Service, status: u16) {
    let mut sent = 0;
    while sent < GROUPS {
        sent += puts(service, status, sent as u64, Duration::from_millis(300)).latencies.len();
    }
}

/// `/metrics` of both, each time after a change.
fn scrapes(book: &mut Book, plan: &Plan, ours: &Service, theirs: &Service) {
    let (mut our_times, mut their_times, mut bytes) = (vec![], vec![], (0, 0));
    let once = Duration::from_millis(1);
    for round in 0..3 * plan.rounds {
        send(ours, RECORD, 1, 1, once);
        puts(theirs, status(false), round as u64, once);
        // What was only queued gets in.
        std::thread::sleep(Duration::from_millis(5));
        let timed = |service: &Service| {
            let asked = Instant::now();
            let length = body_of(service.port, "/metrics").len();
            (asked.elapsed().as_secs_f64() * 1e3, length)
        };
        let (our_time, our_bytes) = timed(ours);
        let (their_time, their_bytes) = timed(theirs);
        our_times.push(our_time);
        their_times.push(their_time);
        bytes = (our_bytes, their_bytes);
    }
    book.row(format!("GET /metrics, ours, {} bytes", bytes.0), "ms", &our_times);
    book.row(format!("GET /metrics, Pushgateway, {} bytes", bytes.1), "ms", &their_times);
    book.row("GET /metrics: Pushgateway / ours", "×", &ratios(&their_times, &our_times));
}
