//! The v1 shape: `POST /api/status`, `GET /api/status`, `GET /status.json`.

use crate::harness::{Server, check, pipeline_report, row, with};
use serde_json::{Value, json};

fn example() -> Value {
    json!({"repo":"rsyslog","server":"rsyslog-lab","sync_status":"OUT_OF_SYNC","drift_count":1,
        "files":[{"name":"rsyslog.d/30-lab.conf"}],"last_check":"2026-04-26T10:30:00Z"})
}

fn report(server: &Server, body: &Value) -> Value {
    server.post("/api/status", body).ok()
}

#[test]
fn a_v1_report_is_answered_with_the_v1_object_and_a_receipt() {
    let server = Server::start();
    let answer = report(&server, &example());
    let receipt = &answer["report"];
    assert_eq!(
        answer,
        json!({"success":true,"message":"Status updated successfully","status":example(),
            "report":{"id":"1","origin":receipt["origin"],"hash":receipt["hash"],
                "duplicate":false,"late":false,"transition":"opened",
                "drift_since":"2026-04-26T10:30:00Z"},
            "warnings":[]})
    );
    for path in ["/api/status", "/status.json", "/status.json/"] {
        assert_eq!(server.json(path), example(), "{path}");
    }
}

#[test]
fn a_v1_host_is_a_check_that_shows_its_group_as_repository() {
    let server = Server::start();
    report(&server, &example());
    let expected = row(
        "rsyslog",
        "rsyslog-lab",
        "2026-04-26T10:30:00Z",
        &json!({"repo_name":"rsyslog","status":"out_of_sync","status_code":1,
            "last_pipeline_run":null,"last_cron_check":"2026-04-26T10:30:00Z",
            "pipeline_status":null,"cron_status":"out_of_sync","changed_files_count":1,
            "changed_files":["rsyslog.d/30-lab.conf"],
            "changed_files_text":"rsyslog.d/30-lab.conf",
            "drift_since":"2026-04-26T10:30:00Z","drift_age_seconds":5400}),
    );
    assert_eq!(server.row("rsyslog", "rsyslog-lab"), expected);
    assert_eq!(server.json("/status?repo_name=rsyslog"), json!([expected]));
    let line = &server.lines()[0];
    assert_eq!((&line["source"], &line["declared_count"]), (&json!("legacy"), &json!(1)));
    assert_eq!(line["repo_name"], json!(null));

    server.cron(&check("rsyslog", "rsyslog-lab", "synced", "2026-04-26T11:00:00Z"));
    assert_eq!(server.row("rsyslog", "rsyslog-lab")["repo_name"], json!(null));
}

#[test]
fn an_empty_database_answers_the_six_keys() {
    let server = Server::start();
    let empty = json!({"repo":"","server":"","sync_status":"UNKNOWN","drift_count":0,"files":[],
        "last_check":null});
    assert_eq!(server.json("/api/status"), empty);
    report(&server, &example());
    assert_eq!(server.json("/status.json?repo=other"), empty);
}

#[test]
fn a_v1_dashboard_sees_the_newest_v1_host_else_the_newest_host() {
    let server = Server::start();
    server.pipeline(&pipeline_report("g", "old", "2026-04-26T10:00:00Z"));
    server.pipeline(&pipeline_report("g", "new", "2026-04-26T11:00:00Z"));
    server.pipeline(&pipeline_report("g", "older", "2026-04-26T09:00:00Z"));
    assert_eq!(server.json("/status.json")["server"], "new");
    report(&server, &with(example(), &json!({"server":"one"})));
    let late = json!({"server":"two","last_check":"2026-04-20T00:00:00Z"});
    report(&server, &with(example(), &late));
    server.pipeline(&pipeline_report("g", "newest", "2026-04-26T12:00:00Z"));
    assert_eq!(server.json("/status.json")["server"], "two", "whose v1 report came last");
    assert_eq!(server.json("/status.json?repo=rsyslog&server=one")["server"], "one");
    assert_eq!(server.json("/api/status?repo=g")["server"], "newest");
    assert_eq!(server.json("/api/status?repo=&server=old")["server"], "old");
}

#[test]
fn the_current_state_is_mapped_back_to_v1() {
    let server = Server::start();
    server.pipeline(&with(
        pipeline_report("g", "h", "2026-04-26T10:00:00Z"),
        &json!({"status":"out_of_sync","changed_files":["/a",{"path":"/b","kind":"mode"}]}),
    ));
    assert_eq!(
        server.json("/api/status"),
        json!({"repo":"g","server":"h","sync_status":"OUT_OF_SYNC","drift_count":2,
            "files":[{"name":"/a"},{"name":"/b"}],"last_check":"2026-04-26T10:00:00Z"})
    );
    server.cron(&check("g", "h", "failed", "2026-04-26T11:00:00Z"));
    let object = server.json("/api/status");
    assert_eq!(object["sync_status"], "UNKNOWN");
    assert_eq!(object["last_check"], "2026-04-26T11:00:00Z");
    server.cron(&check("g", "h", "synced", "2026-04-26T11:30:00Z"));
    let object = server.json("/api/status");
    assert_eq!((&object["sync_status"], &object["drift_count"]), (&json!("SYNCED"), &json!(0)));
}

#[test]
fn a_declared_count_may_disagree_and_both_are_kept() {
    let server = Server::start();
    let answer = report(&server, &with(example(), &json!({"drift_count":5,"files":["/a","/b"]})));
    assert!(answer["warnings"].to_string().contains("drift_count"), "{answer}");
    let object = server.json("/api/status");
    assert_eq!(
        (&object["drift_count"], &object["files"]),
        (&json!(5), &json!([{"name":"/a"},{"name":"/b"}]))
    );
    server.cron(&json!({"server_group":"rsyslog","host":"rsyslog-lab"}));
    assert_eq!(server.json("/api/status")["drift_count"], 5, "a confirmation says nothing anew");
    let named = check("rsyslog", "rsyslog-lab", "out_of_sync", "2026-04-26T12:00:00Z");
    server.cron(&with(named, &json!({"changed_files":["/a","/b","/c"]})));
    assert_eq!(server.json("/api/status")["drift_count"], 3);
    for count in [json!(-1), json!(2_147_483_648_u64), json!("1"), json!(1.5)] {
        let refused = server.post("/api/status", &with(example(), &json!({"drift_count":count})));
        assert_eq!(refused.wrong_fields(), ["drift_count"], "{count}");
    }
}

#[test]
fn bad_v1_reports_are_400() {
    let server = Server::start();
    let problem = server.post_bytes("/api/status", &[], b"{").problem(400);
    assert!(problem["detail"].as_str().unwrap().contains("Invalid JSON"), "{problem}");
    let refused = server.post("/api/status", &json!({"files":"/a"}));
    let mut fields = refused.wrong_fields();
    fields.sort();
    assert_eq!(fields, ["files", "repo", "server", "sync_status"]);
    let refused = server.post("/api/status", &with(example(), &json!({"sync_status":"failed"})));
    assert_eq!(refused.wrong_fields(), ["sync_status"]);
    let lower = server.post("/api/status", &with(example(), &json!({"sync_status":"synced"}))).ok();
    assert!(lower["warnings"].to_string().contains("sync_status"));
}

#[test]
fn an_array_of_v1_reports_is_taken_too() {
    let server = Server::start();
    let two = json!([example(), with(example(), &json!({"server":"other"}))]);
    let answer = report(&server, &two);
    assert_eq!(answer["statuses"], two);
    assert_eq!(answer["reports"].as_array().unwrap().len(), 2);
}
