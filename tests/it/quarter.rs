//! A quarter of 50 hosts, whose review was worked out by a plain script over the raw reports
//! (`tests/quarter/review.py`): the server agrees, whatever the order of arrival.

use crate::courses::verdict;
use crate::harness::Server;
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};

/// The reports in the order of arrival: route and body.
fn reports() -> Vec<(String, Value)> {
    let packed: &[u8] = include_bytes!("../quarter/reports.ndjson.gz");
    let lines = BufReader::new(GzDecoder::new(packed)).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

fn expected() -> Vec<Value> {
    serde_json::from_str(include_str!("../quarter/review.json")).unwrap()
}

fn micros(seconds: &Value) -> i64 {
    (seconds.as_f64().unwrap() * 1e6).round() as i64
}

/// Sends them in arrays, as few as the change of routes allows.
fn send(server: &Server, reports: &[(String, Value)]) {
    for (route, of_route) in [("/status/pipeline", true), ("/status/cron?create=true", false)] {
        let picked: Vec<&Value> = reports
            .iter()
            .filter(|(path, _)| (path == "/status/pipeline") == of_route)
            .map(|(_, body)| body)
            .collect();
        for array in picked.chunks(1000) {
            server.post(route, &json!(array)).ok();
        }
    }
}

fn quarter() -> Server {
    let server = Server::start();
    server.clock.set("2026-10-05T00:00:00Z");
    for part in reports().chunks(2000) {
        send(&server, part);
    }
    server
}

#[test]
fn the_review_is_what_a_plain_script_makes_of_the_raw_reports() {
    let server = quarter();
    let review = server.json("/reviews/2026-Q3?group_by=host");
    assert_eq!(review["complete"], true);
    let items = review["items"].as_array().unwrap();
    let expected = expected();
    assert_eq!((items.len(), expected.len()), (50, 50));
    for (item, expected) in items.iter().zip(&expected) {
        for (name, value) in expected.as_object().unwrap() {
            match name.strip_suffix("_micros") {
                Some(name) if value.is_null() => {
                    assert_eq!(&item[format!("{name}_seconds")], value);
                }
                Some(name) => {
                    let found = micros(&item[format!("{name}_seconds")]);
                    assert_eq!(found, value.as_i64().unwrap(), "{name} of {expected}");
                }
                None => assert_eq!(&item[name], value, "{name} of {expected}"),
            }
        }
    }
    let verdict = verdict(&server);
    assert_eq!(verdict.differences, vec![]);
    totals_add_up(&server, &review);
    months_add_up(&server, &review["totals"]);
    the_signed_off_review_stays(&server);
}

/// Whatever a review is grouped by, its totals are the same; the items of partitions add up to them.
fn totals_add_up(server: &Server, review: &Value) {
    for key in ["server_group", "environment", "server_type", "repo_name", "file"] {
        let other = server.json(&format!("/reviews/2026-Q3?group_by={key}"));
        assert_eq!(other["totals"], review["totals"], "{key}");
        let items = other["items"].as_array().unwrap();
        if key != "file" {
            for sum in ["in_sync_seconds", "drifted_seconds", "not_measured_seconds"] {
                let added: i64 = items.iter().map(|item| micros(&item[sum])).sum();
                assert_eq!(added, micros(&review["totals"][sum]), "{sum} by {key}");
            }
        }
    }
}

/// Seconds, reports and episodes of the months add up to those of the quarter.
fn months_add_up(server: &Server, totals: &Value) {
    let months =
        ["2026-07", "2026-08", "2026-09"].map(|month| server.json(&format!("/reviews/{month}")));
    // Also between odd edges.
    let edges =
        ["2026-07-01", "2026-07-13T05:06:07.891Z", "2026-08-31T23:59:59.999999Z", "2026-10-01"];
    let odd = [0, 1, 2]
        .map(|at| server.json(&format!("/reviews?from={}&to={}", edges[at], edges[at + 1])));
    for parts in [months, odd] {
        for sum in ["in_sync_seconds", "drifted_seconds", "not_measured_seconds"] {
            let added: i64 = parts.iter().map(|part| micros(&part["totals"][sum])).sum();
            assert_eq!(added, micros(&totals[sum]), "{sum}");
        }
        for count in ["reports", "episodes"] {
            let added: u64 = parts.iter().map(|part| part["totals"][count].as_u64().unwrap()).sum();
            assert_eq!(json!(added), totals[count], "{count}");
        }
    }
}

/// A review by `as_of` is the same for ever, whatever comes late.
fn the_signed_off_review_stays(server: &Server) {
    let signed = server.json("/reviews/2026-Q3?group_by=file");
    let as_of = signed["as_of"].as_str().unwrap().to_owned();
    let path = format!("/reviews/2026-Q3?group_by=file&as_of={as_of}");
    assert_eq!(server.json(&path), signed);
    let late = json!([
        {"server_group":"web-prod","host":"web-00","status":"out_of_sync","changed_files":["late"],
            "last_cron_check":"2026-08-08T08:08:08Z"},
        {"server_group":"web-prod","host":"web-05","status":"synced",
            "last_cron_check":"2026-07-02T00:00:00Z"},
    ]);
    server.post("/status/cron", &late).ok();
    assert_ne!(server.json("/reviews/2026-Q3?group_by=file")["items"], signed["items"]);
    assert_eq!(server.json(&path), signed);
}
