//! A page of history: 100 rows of one host, on 100,000 and on 10 million rows, at any depth.

use super::load;
use super::server::Server;
use super::{data, median, row, verdict};
use gitops_status_server::domain::time::Timestamp;
use std::time::Duration;

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(700);
/// The databases' clock, as `data` moves it.
const BEGIN: i64 = 1_767_225_600_000_000;
const CADENCE: i64 = 120_000_000;

pub fn run() {
    println!("\nhistory: a page of 100 rows of one host, one connection, median latency");
    let (small, large) =
        (Server::start(&data::filled(100_000)), Server::start(&data::filled(10_000_000)));
    let newest = |_: i64| String::new();
    let depth = |rounds: i64| format!("&to={}", Timestamp(BEGIN + rounds * CADENCE));
    let oldest = depth(101);
    let cases: [(&str, String); 3] =
        [("newest", newest(0)), ("middle", depth(5_000)), ("oldest", oldest)];
    let ask = |server: &Server, query: &str| {
        let query = query.to_owned();
        let run = load::run(server.port, 1, ROUND, move |n, out| {
            let host = n as usize * 7 % data::HOSTS;
            let path =
                format!("/history/rsyslog-{:02}/rsyslog-{host:04}?limit=100{query}", host % 20);
            load::get(&path, out);
        });
        median(&run.latencies)
    };
    let (mut base, mut deep) = (vec![], vec![vec![]; cases.len()]);
    let mut ratios = vec![vec![]; cases.len()];
    for round in 0..=ROUNDS {
        let plain = ask(&small, "");
        let times: Vec<f64> = cases.iter().map(|(_, query)| ask(&large, query)).collect();
        if round == 0 {
            continue; // warms the page cache
        }
        base.push(plain);
        for (at, time) in times.into_iter().enumerate() {
            ratios[at].push(time / plain);
            deep[at].push(time);
        }
    }
    row("100,000 rows, newest page", "us", &base);
    for (at, (name, _)) in cases.iter().enumerate() {
        row(&format!("10,000,000 rows, {name} page"), "us", &deep[at]);
    }
    for (at, (name, _)) in cases.iter().enumerate() {
        let ratio = median(&ratios[at]);
        verdict(&format!("10^7 / 10^5, {name} page"), ratio, ratio <= 1.3, "at most 1.30");
    }
    small.stop();
    large.stop();
}
