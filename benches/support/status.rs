//! `GET /status` with 1,000 hosts against the same bytes served from memory.

use super::load;
use super::server::{FIXED, Server};
use super::{data, median, row, verdict};
use std::time::Duration;

const CONNECTIONS: usize = 32;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(2);

pub fn run() {
    println!("\nstatus: GET /status with {} hosts, {CONNECTIONS} connections", data::HOSTS);
    let folder = data::scratch();
    let path = folder.path().join("status.db");
    data::fill(&path, 2 * data::HOSTS, false);
    // The bytes to compare with are the ones this very server answers.
    let server = Server::start(&path);
    let url = format!("http://127.0.0.1:{}/status", server.port);
    let body = ureq::get(&url).call().unwrap().body_mut().read_to_vec().unwrap();
    server.stop();
    println!("  body: {} bytes", body.len());
    std::fs::write(format!("{}.fixed", path.display()), body).unwrap();
    let server = Server::start(&path);
    let (mut fixed, mut status, mut ratios) = (vec![], vec![], vec![]);
    for round in 0..=ROUNDS {
        let get =
            |path| load::run(server.port, CONNECTIONS, ROUND, move |_, out| load::get(path, out));
        let (plain, prepared) = (get(FIXED), get("/status"));
        if round > 0 {
            fixed.push(plain.per_second);
            status.push(prepared.per_second);
            ratios.push(prepared.per_second / plain.per_second);
        }
    }
    row("the same bytes from memory", "/s", &fixed);
    row("GET /status", "/s", &status);
    row("ratio within a round", "", &ratios);
    let ratio = median(&ratios);
    verdict("GET /status / fixed bytes", ratio, ratio >= 0.8, "at least 0.80");
    server.stop();
}
