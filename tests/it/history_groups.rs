//! Pages of some of many hosts: the walk by windows must show the very rows that a naive filter of
//! the whole export shows, however unevenly the hosts report.

use crate::harness::{Server, pipeline_report, with};
use serde_json::{Value, json};

/// Five groups of very different habits: busy, rare, silent for years, bursts at one instant.
fn uneven() -> Server {
    let server = Server::start();
    let mut reports = Vec::new();
    let mut add = |group: &str, host: usize, time: String, environment: &str| {
        let report = pipeline_report(group, &format!("h{host}"), &time);
        let at = reports.len();
        let status = ["synced", "failed", "unknown"][at % 3];
        reports.push(with(
            report,
            &json!({"status":status,"environment":environment,"run_id":at.to_string()}),
        ));
    };
    for at in 0..400 {
        let (hour, minute) = (at / 60, at % 60);
        add("busy", at % 4, format!("2026-04-26T{hour:02}:{minute:02}:00Z"), "prod");
    }
    for day in 1..=20 {
        add("rare", day % 3, format!("2026-01-{day:02}T12:00:00.5Z"), "prod");
    }
    for year in [1970, 1971, 1999, 2020] {
        add("silent", 0, format!("{year}-01-01T00:00:00Z"), "test");
    }
    for at in 0..150 {
        add("burst", at % 7, "2026-02-28T23:59:59.999999Z".into(), "test");
    }
    for at in 0..30 {
        add("mixed", at, format!("2026-04-26T03:{at:02}:00Z"), "test");
    }
    // Arrival is not the order of time.
    let count = reports.len();
    let shuffled: Vec<Value> = (0..count).map(|at| reports[at * 307 % count].clone()).collect();
    server.pipeline(&json!(shuffled));
    server
}

/// Whether a line passes a filter, judged naively.
type Passes = fn(&Value) -> bool;

fn walk(server: &Server, query: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server.json(&format!("/history?{query}{cursor}"));
        let items = page["items"].as_array().unwrap();
        ids.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}

#[test]
fn pages_of_some_hosts_are_the_filtered_walk_of_all() {
    let server = uneven();
    let mut lines = server.lines();
    assert_eq!(lines.len(), 604);
    lines.sort_by_key(|line| {
        let id: u64 = line["id"].as_str().unwrap().parse().unwrap();
        (line["time"].as_str().unwrap().trim_end_matches('Z').to_owned(), id)
    });
    let filters: [(&str, Passes); 9] = [
        ("server_group=busy", |line| line["server_group"] == "busy"),
        ("server_group=rare", |line| line["server_group"] == "rare"),
        ("server_group=silent&server_group=rare", |line| {
            line["server_group"] == "silent" || line["server_group"] == "rare"
        }),
        ("server_group=burst&server_group=busy", |line| {
            line["server_group"] == "burst" || line["server_group"] == "busy"
        }),
        ("host=h0", |line| line["host"] == "h0"),
        ("host=h1&host=h2&server_group=rare&server_group=burst", |line| {
            (line["host"] == "h1" || line["host"] == "h2")
                && (line["server_group"] == "rare" || line["server_group"] == "burst")
        }),
        ("environment=test", |line| line["environment"] == "test"),
        ("environment=test&status=failed", |line| {
            line["environment"] == "test" && line["status"] == "failed"
        }),
        ("server_group=busy&server_group=silent&from=1999-01-01&to=2026-04-26T02:00:00Z", |line| {
            let time = line["time"].as_str().unwrap();
            (line["server_group"] == "busy" || line["server_group"] == "silent")
                && ("1999".."2026-04-26T02:00:00Z").contains(&time)
        }),
    ];
    for (query, passes) in filters {
        let mut expected: Vec<&str> = Vec::new();
        expected
            .extend(lines.iter().filter(|line| passes(line)).map(|l| l["id"].as_str().unwrap()));
        for limit in [17, 100, 604] {
            let walked = walk(&server, &format!("{query}&order=asc&limit={limit}"));
            assert!(walked == expected, "{query} asc {limit}: {walked:?} not {expected:?}");
        }
        expected.reverse();
        for limit in [13, 604] {
            let walked = walk(&server, &format!("{query}&limit={limit}"));
            assert!(walked == expected, "{query} desc {limit}: {walked:?} not {expected:?}");
        }
        let stream = server.get(&format!("/history?format=ndjson&{query}")).text();
        let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].clone();
        assert!(stream.lines().map(id).eq(expected.iter().copied()), "{query} as a stream");
    }
}
