//! From start to ready, and idle memory, on 10 million rows.

use super::server::Server;
use super::{data, median, row, verdict};
use std::time::Duration;

const ROUNDS: usize = 9;

pub fn run() {
    println!("\nstart: 10,000,000 rows, {} hosts", data::HOSTS);
    let path = data::filled(10_000_000);
    let (mut times, mut memory) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        let server = Server::start(&path);
        times.push(server.ready_after.as_secs_f64() * 1000.0);
        std::thread::sleep(Duration::from_secs(1));
        memory.push(server.memory("VmRSS"));
        server.stop();
    }
    row("start to the first 200 of /ready", "ms", &times);
    row("resident memory when idle", "MiB", &memory);
    let time = median(&times);
    verdict("start in ms", time, time < 200.0, "under 200");
    let idle = median(&memory);
    verdict("idle memory in MiB", idle, idle < 32.0, "under 32");
}
