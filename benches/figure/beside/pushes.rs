//! Pushes of a Pushgateway's client that each name other stacks: as many appear as go.

use super::Beside;
use super::ask_on;
use crate::support::{load, server};
use std::fmt::Write;

/// As many as one push may hold.
const STACKS: u64 = 5000;

pub fn run(beside: &mut Beside) {
    let name = "5,000 new stacks in every push";
    let server = server::start_logged(&beside.database("pushes"));
    let (noticed, answers) = beside.stretches(name, &server, &[], |end| {
        ask_on(1, server.port, end, |n, out| {
            let mut body = String::new();
            for stack in n * STACKS..(n + 1) * STACKS {
                let _ = writeln!(body, "drift_stack_state{{stack=\"stack-{stack:08}\"}} 0");
            }
            let kind = "text/plain; version=0.0.4";
            load::send("PUT", "/metrics/job/nightly", kind, body.as_bytes(), out);
        })
    });
    server.stop();
    beside.row_of_excess(name, 200, &answers);
    beside.judge_others(name, &noticed);
}
