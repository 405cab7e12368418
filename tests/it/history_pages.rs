//! `GET /history` in pages: a walk sees each row once, in order, whatever arrives meanwhile.

use crate::harness::{Server, check, pipeline_report, with};
use crate::process::rows;
use serde_json::{Value, json};
use std::collections::HashSet;

/// Ids of a page's items.
fn ids(page: &Value) -> Vec<u64> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|item| item["id"].as_str().unwrap().parse().unwrap()).collect()
}

/// Ids of all pages of a walk; `between` runs after each page.
fn walk(server: &Server, path: &str, mut between: impl FnMut()) -> Vec<u64> {
    let mut all = Vec::new();
    let mut page = server.json(path);
    loop {
        all.extend(ids(&page));
        let Some(cursor) = page["next_cursor"].as_str() else { return all };
        between();
        page = server.json(&format!("{path}&cursor={cursor}"));
        assert!(!ids(&page).is_empty(), "a cursor promises another row");
    }
}

/// Entries 1 to 7; their order by (time, id) is 2 5 1 3 4 7 6.
fn seven() -> Server {
    let server = Server::start();
    for (host, time) in [
        ("a", "10:03:00"),
        ("a", "10:01:00"),
        ("b", "10:03:00"),
        ("a", "10:03:00.000001"),
        ("b", "10:02:00"),
        ("b", "11:00:00"),
        ("a", "10:59:59"),
    ] {
        let report = pipeline_report("g", host, &format!("2026-04-26T{time}Z"));
        server.pipeline(&report);
    }
    server
}

#[test]
fn pages_are_ordered_by_time_and_id_newest_first() {
    let server = seven();
    assert_eq!(ids(&server.json("/history")), [6, 7, 4, 3, 1, 5, 2]);
    assert_eq!(ids(&server.json("/history?order=desc")), [6, 7, 4, 3, 1, 5, 2]);
    assert_eq!(ids(&server.json("/history?order=asc")), [2, 5, 1, 3, 4, 7, 6]);
    assert_eq!(ids(&server.json("/history?sort=id")), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(ids(&server.json("/history?sort=id&order=desc")), [7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(ids(&server.json("/history/g/b")), [6, 3, 5]);
    assert_eq!(ids(&server.json("/history/g/b?order=asc&limit=2")), [5, 3]);
}

#[test]
fn a_walk_sees_each_row_once_although_rows_arrive_meanwhile() {
    for (query, expected) in [
        ("limit=2", vec![6, 7, 4, 3, 1, 5, 2]),
        ("limit=2&order=asc", vec![2, 5, 1, 3, 4, 7, 6]),
        ("limit=1&sort=id", vec![1, 2, 3, 4, 5, 6, 7]),
        ("limit=3&sort=id&order=desc", vec![7, 6, 5, 4, 3, 2, 1]),
        ("limit=2&host=a", vec![7, 4, 1, 2]),
        ("limit=1&server_group=g&host=a&host=b&order=asc", vec![2, 5, 1, 3, 4, 7, 6]),
    ] {
        let server = seven();
        let mut minute = 0;
        let walked = walk(&server, &format!("/history?{query}"), || {
            // Late, in between, and newest; of a known and of a new host.
            for time in ["2026-04-26T09:0", "2026-04-26T10:3", "2026-04-26T11:3"] {
                for host in ["a", "c"] {
                    let time = format!("{time}{minute}:00Z");
                    server.pipeline(&pipeline_report("g", host, &time));
                }
            }
            minute += 1;
        });
        assert_eq!(walked, expected, "{query}");
    }
}

/// The index of times takes entries in runs: pages are the same wherever it ends.
#[test]
fn pages_by_time_have_what_the_index_of_times_does_not_have_yet() {
    let server = Server::start();
    let mut places: Vec<(String, u64, &str)> = Vec::new();
    let (mut ends, mut behind) = (HashSet::new(), 0);
    for part in 0..9 {
        // Late, early, and of one time, so that each part belongs everywhere among those before.
        let report = |n: u64| {
            let minute = (part * 37 + n * 23) % 60;
            let status = if n.is_multiple_of(5) { "failed" } else { "synced" };
            (format!("2026-04-26T10:{minute:02}:00Z"), part * 90 + n, status)
        };
        let reports: Vec<_> = (1..=90).map(report).collect();
        let body = reports.iter().map(|(time, id, status)| {
            with(check("g", "h", status, time), &json!({"run_id": id.to_string()}))
        });
        server.post("/status/cron?create=true", &json!(body.collect::<Vec<_>>())).ok();
        places.extend(reports);
        places.sort_unstable();
        let index = rows(&server.database(), "SELECT timed, size - timed FROM head");
        let index: Vec<u64> = index[0].split(' ').map(|n| n.parse().unwrap()).collect();
        ends.insert(index[0]);
        behind = behind.max(index[1]);
        for (query, from, to, status) in [
            ("limit=100", "", "Z", None),
            ("limit=61&status=failed", "", "Z", Some("failed")),
            ("limit=7&from=2026-04-26T10:20:00Z&to=2026-04-26T10:30:00Z", "10:20", "10:30", None),
        ] {
            let within = |(time, _, said): &&(String, u64, &str)| {
                let minute = &time[11..];
                minute >= from && minute < to && status.is_none_or(|status| *said == status)
            };
            let mut expected: Vec<u64> =
                places.iter().filter(within).map(|(_, id, _)| *id).collect();
            let oldest_first = walk(&server, &format!("/history?order=asc&{query}"), || {});
            assert_eq!(oldest_first, expected, "{query}");
            expected.reverse();
            assert_eq!(walk(&server, &format!("/history?{query}"), || {}), expected, "{query}");
        }
    }
    assert!(ends.len() > 2 && behind > 0, "nothing is tested: {ends:?}, {behind} behind");
}

#[test]
fn a_relative_window_stands_still_during_a_walk() {
    let server = seven();
    let walked = walk(&server, "/history?limit=1&from=now-117m", || server.clock.advance(1800));
    assert_eq!(walked, [6, 7, 4, 3, 1]);
}

#[test]
fn next_cursor_is_null_on_an_exact_fit() {
    let server = seven();
    for query in ["limit=7", "limit=8", "host=a&limit=4", "host=none", "host=a&host=b&limit=7"] {
        let page = server.json(&format!("/history?{query}"));
        assert!(page.as_object().unwrap().contains_key("next_cursor"), "{query}");
        assert_eq!(page["next_cursor"], json!(null), "{query}");
    }
    assert!(server.json("/history?limit=6")["next_cursor"].is_string());
    assert_eq!(Server::start().json("/history"), json!({"items":[],"next_cursor":null}));
}

#[test]
fn a_cursor_belongs_to_its_filters_and_order() {
    let server = seven();
    let page = server.json("/history?host=a&host=b&limit=2");
    let cursor = page["next_cursor"].as_str().unwrap();
    for query in [
        "",
        "host=a",
        "host=a&host=b&order=asc",
        "host=a&host=b&status=synced",
        "host=a&host=b&sort=id",
        "host=a&host=b&from=2026-04-26",
    ] {
        let refused = server.get(&format!("/history?{query}&cursor={cursor}"));
        assert_eq!(refused.wrong_fields(), ["cursor"], "{query}");
    }
    server.get(&format!("/history/g/a?cursor={cursor}")).problem(400);
}

#[test]
fn a_cursor_goes_on_with_the_same_filters_in_another_order_and_another_page_size() {
    let server = seven();
    let page = server.json("/history?host=a&server_group=g&limit=2");
    let cursor = page["next_cursor"].as_str().unwrap();
    let page = server.json(&format!("/history?cursor={cursor}&limit=5&server_group=g&host=a"));
    assert_eq!(ids(&page), [1, 2]);
    let page = server.json("/history?host=a&host=b&limit=2");
    let cursor = page["next_cursor"].as_str().unwrap();
    let page = server.json(&format!("/history?host=b&host=a&limit=5&cursor={cursor}"));
    assert_eq!(ids(&page), [4, 3, 1, 5, 2]);
}

#[test]
fn a_malformed_cursor_is_400() {
    let server = seven();
    let page = server.json("/history?limit=2");
    let good = page["next_cursor"].as_str().unwrap();
    let (cut, doubled) = (&good[..good.len() - 1], format!("{good}{good}"));
    for cursor in ["x", "AAAA", "null", "%00", "%F0%9F%98%80", cut, &doubled, "false"] {
        let refused = server.get(&format!("/history?limit=2&cursor={cursor}"));
        assert_eq!(refused.wrong_fields(), ["cursor"], "{cursor}");
    }
    assert_eq!(ids(&server.json("/history?limit=2&cursor=")), [6, 7], "empty: from the beginning");
}

#[test]
fn the_limit_is_1_to_10000_and_100_by_default() {
    let server = Server::start();
    let report = json!({"server_group":"g","host":"h","status":"synced"});
    server.pipeline(&json!(vec![report; 101]));
    assert_eq!(ids(&server.json("/history")).len(), 100);
    assert_eq!(ids(&server.json("/history?limit=10000")).len(), 101);
    for limit in ["0", "10001", "-1", "1.5", "many", "99999999999999999999"] {
        let refused = server.get(&format!("/history?limit={limit}"));
        assert_eq!(refused.wrong_fields(), ["limit"], "{limit}");
    }
}

#[test]
fn ids_bound_tails_and_copies() {
    let server = seven();
    for (query, expected) in [
        ("sort=id&after_id=5", vec![6, 7]),
        ("sort=id&from_id=5", vec![5, 6, 7]),
        ("sort=id&to_id=2", vec![1, 2]),
        ("sort=id&from_id=2&to_id=3", vec![2, 3]),
        ("sort=id&after_id=7", vec![]),
        ("sort=id&after_id=2&host=b", vec![3, 5, 6]),
        ("sort=id&after_id=0&limit=1", vec![1]),
    ] {
        assert_eq!(ids(&server.json(&format!("/history?{query}"))), expected, "{query}");
    }
    assert_eq!(server.get("/history?sort=id&after_id=x").wrong_fields(), ["after_id"]);
}

#[test]
fn an_item_is_the_line_and_four_more_fields() {
    let server = Server::start();
    let check = with(
        check("g", "h", "out_of_sync", "2026-04-26T11:00:00Z"),
        &json!({"changed_files":["/a",{"path":"/b","kind":"extra"}]}),
    );
    let answer = server.post("/status/cron?create=true", &check).ok();
    server.cron(&json!({"server_group":"g","host":"h"}));
    let lines = server.lines();
    let items = server.json("/history?sort=id")["items"].clone();
    let hash = &answer["report"]["hash"];
    let spoken =
        json!({"status_code":1,"changed_files_count":2,"changed_files_text":"/a, /b","hash":hash});
    assert_eq!(items[0], with(lines[0].clone(), &spoken));
    let silent = json!({"status_code":null,"changed_files_count":null,"changed_files_text":null,
        "hash":items[1]["hash"]});
    assert_eq!(items[1], with(lines[1].clone(), &silent));
}
