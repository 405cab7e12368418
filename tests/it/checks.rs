//! `POST /status/cron`: what a drift check saw. Drift fields only, of hosts that exist.

use crate::harness::{Server, check, pipeline_report, row, with};
use serde_json::json;

#[test]
fn a_check_changes_drift_fields_only() {
    let server = Server::start();
    let deployed = with(
        pipeline_report("g", "h", "2026-04-26T10:00:00Z"),
        &json!({"commit_sha":"deployed","branch":"main","environment":"prod",
            "validation_status":"passed","updated_by":"woodpecker"}),
    );
    server.pipeline(&deployed);
    let answer = server.cron(&with(
        check("g", "h", "out_of_sync", "2026-04-26T11:00:00Z"),
        &json!({"commit_sha":"measured","changed_files":["/a","/b"],"branch":"evil",
            "environment":"evil","validation_status":"failed","updated_by":"evil",
            "last_pipeline_run":"2026-04-26T11:30:00Z","project_name":"evil"}),
    ));
    let expected = row(
        "g",
        "h",
        "2026-04-26T11:00:00Z",
        &json!({"commit_sha":"deployed","branch":"main","environment":"prod",
            "validation_status":"passed","updated_by":"woodpecker","checked_commit_sha":"measured",
            "last_pipeline_run":"2026-04-26T10:00:00Z","last_cron_check":"2026-04-26T11:00:00Z",
            "status":"out_of_sync","status_code":1,"cron_status":"out_of_sync","changed_files":["/a","/b"],
            "changed_files_count":2,"changed_files_text":"/a, /b",
            "drift_since":"2026-04-26T11:00:00Z","drift_age_seconds":3600,"reports":2}),
    );
    assert_eq!(answer["status"], expected);
    let warnings = answer["warnings"].to_string();
    for ignored in [
        "branch",
        "environment",
        "validation_status",
        "updated_by",
        "last_pipeline_run",
        "project_name",
    ] {
        assert!(warnings.contains(ignored), "{ignored}: {warnings}");
    }
    let line = &server.lines()[1];
    for null in ["branch", "environment", "validation_status", "last_cron_check", "project_name"] {
        assert_eq!(line[null], json!(null), "{null}");
    }
    assert_eq!(line["commit_sha"], "measured");
}

#[test]
fn a_check_of_an_unknown_host_is_404_with_near_names_and_leaves_no_history() {
    let server = Server::start();
    server.pipeline(&pipeline_report("rsyslog-prod", "rsyslog-01", "2026-04-26T10:00:00Z"));
    let check = check("rsyslog-prod", "rsyslog-1", "synced", "2026-04-26T11:00:00Z");
    let problem = server.post("/status/cron", &check).problem(404);
    assert_eq!(problem["near"], json!([{"server_group":"rsyslog-prod","host":"rsyslog-01"}]));
    assert!(problem["detail"].as_str().unwrap().contains("rsyslog-prod/rsyslog-01"), "{problem}");
    assert_eq!(server.lines().len(), 1);
    assert_eq!(server.json("/status").as_array().unwrap().len(), 1);
    let rejections = server.json("/rejections");
    let reason = rejections[0]["reason"].clone();
    assert!(reason.as_str().unwrap().contains("404"), "{reason}");
    assert_eq!(
        rejections,
        json!([{"time":"2026-04-26T12:00:00Z","source":"cron","server_group":"rsyslog-prod",
            "host":"rsyslog-1","reason":reason}])
    );
}

#[test]
fn a_check_creates_its_host_when_the_request_asks() {
    let server = Server::start();
    let new = json!({"server_group":"g","host":"h","last_cron_check":"2026-04-26T11:00:00Z"});
    server.post("/status/cron?create=false", &new).problem(404);
    let answer = server.post("/status/cron?create=true", &new).ok();
    assert_eq!(
        answer["status"],
        row(
            "g",
            "h",
            "2026-04-26T11:00:00Z",
            &json!({"status":"unknown","status_code":3,"pipeline_status":null,
                "last_pipeline_run":null,"last_cron_check":"2026-04-26T11:00:00Z"})
        )
    );
    assert_eq!(answer["report"]["transition"], "changed");
    server.post("/status/cron?create=maybe", &new).problem(400);
}

#[test]
fn a_check_creates_its_host_when_the_setting_says_so() {
    let server = Server::with(&["--cron-creates-hosts"]);
    let drifted = check("g", "h", "out_of_sync", "2026-04-26T11:00:00Z");
    assert_eq!(server.cron(&drifted)["report"]["transition"], "opened");
    let other = check("g", "other", "synced", "2026-04-26T11:00:00Z");
    server.post("/status/cron?create=false", &other).problem(404);
}

#[test]
fn a_check_without_status_confirms_the_state_in_force() {
    let server = Server::start();
    server.pipeline(&with(
        pipeline_report("g", "h", "2026-04-26T10:00:00Z"),
        &json!({"status":"out_of_sync","changed_files":["/a"]}),
    ));
    for confirming in [json!({}), json!({"status":null}), json!({"status":""})] {
        let plain = json!({"server_group":"g","host":"h"});
        let answer = server.cron(&with(plain, &confirming));
        let row = &answer["status"];
        assert_eq!(
            (&row["status"], &row["changed_files"]),
            (&json!("out_of_sync"), &json!(["/a"]))
        );
        assert_eq!(row["last_cron_check"], "2026-04-26T12:00:00Z");
        assert_eq!(row["cron_status"], json!(null));
        assert_eq!(row["drift_since"], "2026-04-26T10:00:00Z");
        assert_eq!(answer["report"]["transition"], "none");
    }
    let line = &server.lines()[1];
    assert_eq!((&line["status"], &line["changed_files"]), (&json!(null), &json!(null)));
}

#[test]
fn files_stay_unless_a_check_names_clears_or_finds_all_in_sync() {
    let server = Server::start();
    server.pipeline(&with(
        pipeline_report("g", "h", "2026-04-26T10:00:00Z"),
        &json!({"status":"out_of_sync","changed_files":["/a","/b"]}),
    ));
    let steps = [
        (json!({"status":"failed"}), json!(["/a", "/b"]), "changed"),
        (json!({"status":"out_of_sync"}), json!(["/a", "/b"]), "changed"),
        (json!({"changed_files":["/b","/a","/a"]}), json!(["/b", "/a", "/a"]), "none"),
        (json!({"changed_files":["/b"]}), json!(["/b"]), "changed"),
        (json!({"status":"out_of_sync","changed_files":[]}), json!([]), "changed"),
        (json!({"changed_files":["/c"]}), json!(["/c"]), "changed"),
        (json!({"status":"synced"}), json!([]), "closed"),
        (json!({"status":"synced","changed_files":["/d"]}), json!(["/d"]), "changed"),
        (json!({"status":"unknown"}), json!(["/d"]), "changed"),
    ];
    for (minute, (said, files, transition)) in steps.iter().enumerate() {
        let time = format!("2026-04-26T11:{minute:02}:00Z");
        let plain = json!({"server_group":"g","host":"h","last_cron_check":time});
        let answer = server.cron(&with(plain, said));
        assert_eq!(answer["status"]["changed_files"], *files, "{said}");
        assert_eq!(answer["report"]["transition"], *transition, "{said}");
    }
}

#[test]
fn missing_files_of_a_pipeline_are_no_files() {
    let server = Server::start();
    let drifted = json!({"server_group":"g","host":"h","status":"out_of_sync"});
    server.pipeline(&with(drifted.clone(), &json!({"changed_files":["/a"]})));
    let answer = server.pipeline(&drifted);
    assert_eq!(answer["status"]["changed_files"], json!([]));
    assert_eq!(answer["report"]["transition"], "changed");
}

#[test]
fn each_report_tells_what_it_does_to_the_drift() {
    let server = Server::start();
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T10:00:00Z"));
    let steps = [
        ("synced", "none", json!(null)),
        ("out_of_sync", "opened", json!("2026-04-26T11:01:00Z")),
        ("out_of_sync", "none", json!("2026-04-26T11:01:00Z")),
        ("failed", "changed", json!("2026-04-26T11:01:00Z")),
        ("unknown", "changed", json!("2026-04-26T11:01:00Z")),
        ("out_of_sync", "changed", json!("2026-04-26T11:01:00Z")),
        ("failed", "changed", json!("2026-04-26T11:01:00Z")),
        ("synced", "closed", json!(null)),
        ("failed", "changed", json!(null)),
        ("out_of_sync", "opened", json!("2026-04-26T11:09:00Z")),
    ];
    for (minute, (status, transition, since)) in steps.iter().enumerate() {
        let time = format!("2026-04-26T11:{minute:02}:00Z");
        let answer = server.cron(&check("g", "h", status, &time));
        let receipt = &answer["report"];
        assert_eq!(receipt["transition"], *transition, "{minute}: {status}");
        assert_eq!(receipt["drift_since"], *since, "{minute}: {status}");
        assert_eq!(answer["status"]["drift_since"], *since, "{minute}: {status}");
        assert_eq!(server.lines().last().unwrap()["transition"], *transition);
    }
}

#[test]
fn the_first_report_of_a_host_opens_or_changes() {
    let server = Server::start();
    for (status, transition) in [
        ("synced", "changed"),
        ("failed", "changed"),
        ("unknown", "changed"),
        ("out_of_sync", "opened"),
    ] {
        let report = json!({"server_group":"g","host":status,"status":status});
        assert_eq!(server.pipeline(&report)["report"]["transition"], transition, "{status}");
    }
}
