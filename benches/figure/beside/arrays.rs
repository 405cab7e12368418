//! A thousand hosts in one array, with times: the same again, and ever older ones. Each array follows
//! one with new times, which is what it is compared to.

use super::{ARRAY, Beside, array};
use crate::support::book::Target;
use crate::support::client::Client;
use crate::support::data::{QUARTER_END, pipeline_body};
use crate::support::{ratios, server};
use gitops_status_server::domain::time::{SECOND, Timestamp};
use std::time::Instant;

pub fn repeated(beside: &mut Beside) {
    pairs(beside, "the same array of 1,000 hosts again", 2.0, |pair| pair);
}

pub fn older(beside: &mut Beside) {
    pairs(beside, "an older array of 1,000 hosts", 4.0, |pair| -pair);
}

/// Pairs of arrays: one at a new second, and one at the second that `second` says.
fn pairs(beside: &mut Beside, name: &str, bound: f64, second: fn(i64) -> i64) {
    let server =
        server::start_logged(&beside.database(if second(1) > 0 { "same" } else { "older" }));
    let mut client = Client::new(server.port);
    client.must(&of_second(0)); // creates the hosts
    let (_, (fresh, other)) = beside.stretches(name, &server, &[], |end| {
        let (mut fresh, mut other) = (Vec::new(), Vec::new());
        for pair in 1.. {
            let (first, then) = (of_second(pair), of_second(second(pair)));
            fresh.push(client.must(&first));
            other.push(client.must(&then));
            if Instant::now() >= end {
                break;
            }
        }
        (fresh, other)
    });
    server.stop();
    beside.book.row(format!("an array of 1,000 hosts with new times, before {name}"), "ms", &fresh);
    beside.book.row(name, "ms", &other);
    let target = Target::at_most(bound);
    beside.book.verdict(name, "an array with new times", "×", &ratios(&other, &fresh), target);
}

fn of_second(second: i64) -> Vec<u8> {
    let time = Timestamp(QUARTER_END + second * SECOND).to_string();
    array("/status/pipeline", (0..ARRAY).map(|host| pipeline_body(host, &time)))
}
