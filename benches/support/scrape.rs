//! `GET /metrics` of 10,000 hosts, as Prometheus asks: one at a time, gzipped; after every report a
//! body of its own.

use super::server::Server;
use super::{data, median, row, verdict};
use std::time::Instant;

const HOSTS: usize = 10_000;
const ROUNDS: usize = 15;
/// Hosts in one request.
const ARRAY: usize = 1000;

pub fn run() {
    println!("\nscrape: GET /metrics with {HOSTS} hosts");
    let folder = data::scratch();
    let server = Server::start(&folder.path().join("scrape.db"));
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", server.port);
    for first in (0..HOSTS).step_by(ARRAY) {
        let hosts: Vec<String> = (first..first + ARRAY).map(report).collect();
        let body = format!("[{}]", hosts.join(","));
        let post = ureq::post(url("/status/pipeline")).content_type("application/json");
        post.send(body).unwrap();
    }
    let mut bytes = 0;
    for (name, encoding) in [("plain", "identity"), ("gzipped, as Prometheus asks", "gzip")] {
        let mut times = Vec::new();
        for round in 0..ROUNDS {
            let post = ureq::post(url("/status/pipeline")).content_type("application/json");
            post.send(report(round)).unwrap();
            let begun = Instant::now();
            let get = ureq::get(url("/metrics")).header("Accept-Encoding", encoding);
            let body = get.call().unwrap().body_mut().with_config().limit(1 << 26).read_to_vec();
            times.push(begun.elapsed().as_secs_f64() * 1e3);
            bytes = body.unwrap().len();
        }
        println!("  {name}: {bytes} bytes");
        row(name, "ms", &times);
        let time = median(&times);
        verdict(&format!("a scrape, {name}"), time, time < 50.0, "under 50 ms");
    }
    server.stop();
}

fn report(host: usize) -> String {
    let group = host % 20;
    let (status, files) =
        if host.is_multiple_of(10) { ("out_of_sync", "[\"/etc/x\"]") } else { ("synced", "[]") };
    format!(
        "{{\"server_group\":\"group-{group:02}\",\"host\":\"host-{host:05}.example.org\",\
         \"environment\":\"prod\",\"status\":\"{status}\",\"changed_files\":{files}}}"
    )
}
