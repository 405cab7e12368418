//! A retry stores nothing: by its time and content, or by its Idempotency-Key.

use crate::harness::{Server, check, pipeline_report, with};
use serde_json::{Value, json};

const KEY: (&str, &str) = ("Idempotency-Key", "run-42");

/// The receipt without what a retry may change.
fn lasting(answer: &Value) -> Vec<Value> {
    let receipt = &answer["report"];
    ["id", "origin", "hash", "late", "transition"]
        .iter()
        .map(|name| receipt[name].clone())
        .collect()
}

#[test]
fn the_same_report_with_its_time_is_stored_once() {
    let server = Server::start();
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    let drift = with(
        check("g", "h", "out_of_sync", "2026-04-26T11:10:00Z"),
        &json!({"changed_files":["/a"],"run_id":"7","labels":{"a":"b"}}),
    );
    let first = server.cron(&drift);
    server.cron(&check("g", "h", "synced", "2026-04-26T11:20:00Z"));
    server.clock.advance(3600);
    let again = server.cron(&drift);
    assert_eq!(lasting(&again), lasting(&first));
    assert_eq!(
        (&first["report"]["duplicate"], &again["report"]["duplicate"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(again["status"], server.row("g", "h"), "the current row");
    assert_eq!(again["status"]["status"], "synced");
    assert_eq!(server.lines().len(), 3);
}

#[test]
fn the_same_time_spelled_otherwise_is_the_same_report() {
    let server = Server::start();
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    let again = server.pipeline(&with(
        pipeline_report(" g", "h", "2026-04-26 14:00:00.000 +03:00"),
        &json!({"status":"SYNCED","branch":null,"unknown_field":1}),
    ));
    assert_eq!(again["report"]["duplicate"], true);
    assert_eq!(server.lines().len(), 1);
}

#[test]
fn another_content_source_host_or_time_is_another_report() {
    let server = Server::start();
    let report = with(
        pipeline_report("g", "h", "2026-04-26T11:00:00Z"),
        &json!({"commit_sha":"a","max_age":60}),
    );
    server.pipeline(&report);
    for differing in [
        json!({"commit_sha":"b"}),
        json!({"status":"failed"}),
        json!({"changed_files":[]}),
        json!({"max_age":61}),
        json!({"run_id":"1"}),
        json!({"run_url":"u"}),
        json!({"labels":{"a":"b"}}),
        json!({"host":"i"}),
        json!({"last_pipeline_run":"2026-04-26T11:00:00.000001Z"}),
    ] {
        let answer = server.pipeline(&with(report.clone(), &differing));
        assert_eq!(answer["report"]["duplicate"], false, "{differing}");
    }
    let check = server.cron(&check("g", "h", "synced", "2026-04-26T11:00:00Z"));
    assert_eq!(check["report"]["duplicate"], false);
    assert_eq!(server.lines().len(), 11);
}

#[test]
fn reports_without_a_time_are_never_retries() {
    let server = Server::start();
    let report = json!({"server_group":"g","host":"h","status":"synced"});
    server.pipeline(&report);
    assert_eq!(server.pipeline(&report)["report"]["duplicate"], false);
}

#[test]
fn a_retry_within_one_array_is_noticed() {
    let server = Server::start();
    let report = pipeline_report("g", "h", "2026-04-26T11:00:00Z");
    let answer = server.pipeline(&json!([report, report]));
    assert_eq!(answer["reports"][0]["duplicate"], false);
    assert_eq!(
        answer["reports"][1],
        with(answer["reports"][0].clone(), &json!({"duplicate":true}))
    );
    assert_eq!(server.lines().len(), 1);
}

#[test]
fn a_retry_with_its_key_is_answered_from_the_first_time() {
    let server = Server::start();
    let report = json!({"server_group":"g","host":"h","status":"failed"});
    let first = server.post_with("/status/pipeline", &[KEY], &report).ok();
    server.clock.advance(60);
    let again = server.post_with("/status/pipeline", &[KEY], &report).ok();
    assert_eq!(again["report"]["duplicate"], true);
    assert_eq!(lasting(&again), lasting(&first));
    assert_eq!(server.lines().len(), 1);
}

#[test]
fn a_key_with_another_body_or_route_is_409_and_stores_nothing() {
    let server = Server::start();
    let report = json!({"server_group":"g","host":"h","status":"failed"});
    server.post_with("/status/pipeline", &[KEY], &report).ok();
    let other = with(report.clone(), &json!({"status":"synced"}));
    server.post_with("/status/pipeline", &[KEY], &other).problem(409);
    server.post_with("/status/cron", &[KEY], &report).problem(409);
    assert_eq!(server.lines().len(), 1);
}

#[test]
fn one_key_covers_an_array() {
    let server = Server::start();
    let reports = json!([{"server_group":"g","host":"a","status":"failed"},
        {"server_group":"g","host":"b","status":"out_of_sync"}]);
    let first = server.post_with("/status/pipeline", &[KEY], &reports).ok();
    let again = server.post_with("/status/pipeline", &[KEY], &reports).ok();
    for at in 0..2 {
        let expected = with(first["reports"][at].clone(), &json!({"duplicate":true}));
        assert_eq!(again["reports"][at], expected);
    }
    assert_eq!(again["statuses"], first["statuses"]);
    assert_eq!(server.lines().len(), 2);
}

#[test]
fn a_key_is_kept_for_seven_days() {
    let server = Server::start();
    let report = json!({"server_group":"g","host":"h","status":"failed"});
    let other = with(report.clone(), &json!({"status":"synced"}));
    server.post_with("/status/pipeline", &[KEY], &report).ok();
    server.clock.advance(7 * 24 * 3600 - 1);
    server.post_with("/status/pipeline", &[KEY], &other).problem(409);
    server.clock.advance(2);
    let answer = server.post_with("/status/pipeline", &[KEY], &other).ok();
    assert_eq!(answer["report"]["duplicate"], false);
    assert_eq!(server.lines().len(), 2);
}

#[test]
fn a_refused_request_does_not_use_up_its_key() {
    let server = Server::start();
    let check = json!({"server_group":"g","host":"h","status":"failed"});
    server.post_with("/status/cron", &[KEY], &check).problem(404);
    server.pipeline(&json!({"server_group":"g","host":"h","status":"synced"}));
    let answer = server.post_with("/status/cron", &[KEY], &check).ok();
    assert_eq!(answer["report"]["duplicate"], false);
    let long = "k".repeat(256);
    for key in ["", " ", long.as_str()] {
        server.post_with("/status/cron", &[("Idempotency-Key", key)], &check).problem(400);
    }
}

#[test]
fn retries_at_once_from_many_clients_store_one_row() {
    let server = Server::start();
    let report = pipeline_report("g", "h", "2026-04-26T11:00:00Z");
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let send = || scope.spawn(|| server.pipeline(&report));
        let clients: Vec<_> = (0..8).map(|_| send()).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let stored = answers.iter().filter(|answer| answer["report"]["duplicate"] == false).count();
    assert_eq!(stored, 1);
    assert!(answers.iter().all(|answer| lasting(answer) == lasting(&answers[0])));
    assert_eq!(server.lines().len(), 1);
}
