//! How long a word is good for: as sent, or stamped from the settings, and recorded.

use crate::harness::{Server, pipeline_report, with};
use serde_json::{Value, json};

fn ages(server: &Server) -> Vec<Value> {
    server.lines().iter().map(|line| line["max_age"].clone()).collect()
}

#[test]
fn max_age_is_as_sent_else_by_group_else_by_default() {
    let server =
        Server::with(&["--stale-after", "2h", "--stale-after-groups", "rsyslog-*=10m,r*=1h"]);
    for group in ["rsyslog-prod", "redis", "web"] {
        server.pipeline(&pipeline_report(group, "h", "2026-04-26T11:00:00Z"));
    }
    server.pipeline(&with(
        pipeline_report("web", "h", "2026-04-26T11:01:00Z"),
        &json!({"max_age":5}),
    ));
    assert_eq!(ages(&server), [600, 3600, 7200, 5]);
}

#[test]
fn without_settings_a_word_is_good_for_26_hours() {
    let server = Server::start();
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T12:00:00Z"));
    server.clock.set("2026-04-27T14:00:00Z");
    assert_eq!(server.row("g", "h")["stale"], 0);
    server.clock.set("2026-04-27T14:00:00.000001Z");
    assert_eq!(server.row("g", "h")["stale"], 1);
    assert_eq!(server.json("/status")[0]["stale"], 1, "the prepared body follows the clock too");
}

#[test]
fn a_max_age_out_of_range_is_refused() {
    let server = Server::start();
    for age in [json!(0), json!(-1), json!(315_360_001), json!(1.5), json!("60"), json!(2.0)] {
        let report =
            with(json!({"server_group":"g","host":"h","status":"synced"}), &json!({"max_age":age}));
        let refused = server.post("/status/pipeline", &report);
        assert_eq!(refused.wrong_fields(), ["max_age"], "{age}");
    }
    for age in [1, 315_360_000] {
        let report =
            with(json!({"server_group":"g","host":"h","status":"synced"}), &json!({"max_age":age}));
        server.pipeline(&report);
    }
    assert_eq!(ages(&server), [1, 315_360_000]);
}

#[test]
fn the_newest_word_decides_what_is_stale() {
    let server = Server::start();
    let report = pipeline_report("g", "h", "2026-04-26T12:00:00Z");
    server.pipeline(&with(report, &json!({"max_age":60})));
    server.clock.advance(60);
    assert_eq!(server.json("/status")[0]["stale"], 0);
    server.clock.advance(1);
    assert_eq!(server.json("/status")[0]["stale"], 1);
    assert_eq!(server.json("/summary")["stale"], 1);
    server.cron(&json!({"server_group":"g","host":"h"}));
    assert_eq!(server.json("/status")[0]["stale"], 0);
    assert_eq!(server.json("/summary")["synced"], 1);
}

#[test]
fn the_age_of_a_drift_is_cut_to_whole_minutes() {
    let server = Server::start();
    server.pipeline(&json!({"server_group":"g","host":"h","status":"out_of_sync"}));
    for (seconds, shown) in [(0, 0), (59, 0), (1, 60), (59, 60), (3541, 3660)] {
        server.clock.advance(seconds);
        assert_eq!(server.json("/status")[0]["drift_age_seconds"], shown);
        assert_eq!(server.row("g", "h")["drift_age_seconds"], shown);
    }
}
