//! A page of history: 100 rows of one host, on 100,000 and on 10 million rows, at any depth.

use super::load;
use super::server::Server;
use super::{data, median, row, verdict};
use std::time::Duration;

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(700);
/// Hosts whose pages are asked for.
const ASKED: usize = 20;

pub fn run() {
    println!("\nhistory: a page of 100 rows of one host, one connection, median latency");
    let (small, large) =
        (Server::start(&data::filled(100_000)), Server::start(&data::filled(10_000_000)));
    // Deep pages by cursor, as a walk would reach them: nothing but the cursor bounds them.
    let cases: [(&str, Vec<String>); 3] = [
        ("newest", (0..ASKED).map(|_| String::new()).collect()),
        ("middle", cursors(&large, 5_000)),
        ("oldest", cursors(&large, 9_890)),
    ];
    let ask = |server: &Server, cursors: &[String]| {
        let cursors = cursors.to_vec();
        let run = load::run(server.port, 1, ROUND, move |n, out| {
            let at = n as usize % ASKED;
            load::get(&format!("{}?limit=100{}", path(at), cursors[at]), out);
        });
        median(&run.latencies)
    };
    let (mut base, mut deep) = (vec![], vec![vec![]; cases.len()]);
    let mut ratios = vec![vec![]; cases.len()];
    for round in 0..=ROUNDS {
        let plain = ask(&small, &cases[0].1);
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

fn path(at: usize) -> String {
    let host = at * 49;
    format!("/history/rsyslog-{:02}/rsyslog-{host:04}", host % 20)
}

/// For each host asked for, the cursor behind its newest `rows` rows, as a parameter.
fn cursors(server: &Server, rows: usize) -> Vec<String> {
    let cursor = |at| {
        let url = format!("http://127.0.0.1:{}{}?limit={rows}", server.port, path(at));
        let page = ureq::get(&url)
            .call()
            .unwrap()
            .body_mut()
            .with_config()
            .limit(1 << 30)
            .read_to_string();
        let page: serde_json::Value = serde_json::from_str(&page.unwrap()).unwrap();
        format!("&cursor={}", page["next_cursor"].as_str().unwrap())
    };
    (0..ASKED).map(cursor).collect()
}
