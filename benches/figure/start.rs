//! From start to ready after a clean stop, and idle memory.

use crate::support::book::{Book, Line, Plot, Target};
use crate::support::plan::{Plan, power};
use crate::support::{data, server};
use std::time::Duration;

pub fn run(plan: &Plan) {
    let mut book = Book::new("start", "from start to the first 200 of /ready, 1,000 hosts");
    let mut line = Line::new("start to ready");
    for rows in &plan.sizes {
        let path = data::quarter(*rows);
        // Whatever was left of an earlier run is cleaned up by this one.
        server::start_product(&path).stop();
        let (mut times, mut memory) = (vec![], vec![]);
        for _ in 0..plan.rounds {
            let server = server::start_product(&path);
            times.push(server.ready_after.as_secs_f64() * 1e3);
            std::thread::sleep(Duration::from_millis(700));
            memory.push(server.memory("VmRSS"));
            server.stop();
        }
        let rows = power(*rows);
        book.row(format!("{rows} rows, start to ready"), "ms", &times);
        book.row(format!("{rows} rows, resident memory when idle"), "MiB", &memory);
        line.points.push((rows.clone(), times.clone()));
        let label = format!("start-up after a clean stop, {rows} rows");
        book.verdict(label, "", "ms", &times, Target::at_most(100.0));
        book.verdict(
            format!("idle memory, {rows} rows"),
            "",
            "MiB",
            &memory,
            Target::at_most(24.0),
        );
    }
    book.plot(Plot {
        file: "start",
        title: "Start to ready, after a clean stop".into(),
        x: "rows in the history",
        y: "milliseconds",
        stacked: false,
        lines: vec![line],
    });
    book.close(&plan.out);
}
