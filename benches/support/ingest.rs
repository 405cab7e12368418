//! Durable ingest against the same server parsing the same POST and storing nothing.

use super::load::{self, Run};
use super::server::{PARSE_ONLY, Server};
use super::{data, median, row, verdict};
use gitops_status_server::domain::time::Timestamp;
use std::time::Duration;

const CONNECTIONS: usize = 32;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(3);

pub fn run() {
    println!("\ningest: one report per POST, {CONNECTIONS} connections, {} hosts", data::HOSTS);
    let folder = data::scratch();
    let server = Server::start(&folder.path().join("ingest.db"));
    let (mut durable, mut parse_only, mut ratios, mut p99) = (vec![], vec![], vec![], vec![]);
    for round in 0..=ROUNDS {
        let parsed = send(&server, PARSE_ONLY, round);
        let stored = send(&server, "/status/pipeline", round);
        if round == 0 {
            continue; // warm-up: creates the hosts
        }
        ratios.push(stored.per_second / parsed.per_second);
        p99.push(stored.latencies[stored.latencies.len() * 99 / 100] / 1000.0);
        parse_only.push(parsed.per_second);
        durable.push(stored.per_second);
    }
    row("parse and validate only", "/s", &parse_only);
    row("recorded, committed and synced", "/s", &durable);
    row("p99 of a recorded POST", "ms", &p99);
    row("ratio within a round", "", &ratios);
    let ratio = median(&ratios);
    verdict("durable / parse-only", ratio, ratio >= 0.25, "at least 0.25");
    let rate = median(&durable);
    verdict("durable reports per second", rate, rate >= 10_000.0, "at least 10000");
    row("server's memory after the load", "MiB", &[server.memory("VmRSS")]);
    server.stop();
}

fn send(server: &Server, path: &'static str, round: usize) -> Run {
    // Every report has a time of its own, later than its host's last one.
    let begin = 1_767_225_600_000_000 + round as i64 * 10_000_000_000;
    load::run(server.port, CONNECTIONS, ROUND, move |n, out| {
        let time = Timestamp(begin + n as i64 * 1000);
        load::post(path, &data::pipeline_body(n as usize % data::HOSTS, time), out);
    })
}
