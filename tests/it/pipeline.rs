//! `POST /status/pipeline`: the whole deployment state, and nothing of the checks.

use crate::harness::{Server, check, pipeline_report, row, with};
use serde_json::{Value, json};

fn example() -> Value {
    json!({"project_name":"gitops-for-servers","repo_name":"rsyslog","server_group":"rsyslog-prod",
        "server_type":"rsyslog","environment":"prod","host":"rsyslog-01","status":"synced",
        "changed_files":[],"validation_status":"passed",
        "validation_message":"rsyslog syntax validation passed","commit_sha":"abc1234567890",
        "branch":"master","updated_by":"woodpecker","last_pipeline_run":"2026-04-26T10:30:00Z"})
}

#[test]
fn the_contract_example_is_answered_with_its_row_and_receipt() {
    let server = Server::start();
    let answer = server.pipeline(&example());
    let row = row(
        "rsyslog-prod",
        "rsyslog-01",
        "2026-04-26T10:30:00Z",
        &json!({"project_name":"gitops-for-servers","repo_name":"rsyslog","server_type":"rsyslog",
            "environment":"prod","validation_status":"passed",
            "validation_message":"rsyslog syntax validation passed","commit_sha":"abc1234567890",
            "branch":"master","updated_by":"woodpecker"}),
    );
    let receipt = &answer["report"];
    assert_eq!(
        answer,
        json!({"success": true, "message": "Status updated successfully", "status": row,
            "report": {"id": "1", "origin": receipt["origin"], "hash": receipt["hash"],
                "duplicate": false, "late": false, "transition": "changed", "drift_since": null},
            "warnings": []})
    );
    assert_eq!(server.json("/status"), json!([answer["status"]]));
    assert_eq!(server.row("rsyslog-prod", "rsyslog-01"), answer["status"]);
}

#[test]
fn the_history_keeps_what_was_said_and_nothing_else() {
    let server = Server::start();
    server.pipeline(&json!({"server_group":"g","host":"h","status":"failed"}));
    let line = &server.lines()[0];
    assert_eq!(
        *line,
        json!({"v":1,"origin":line["origin"],"id":"1","kind":"report","source":"pipeline",
            "server_group":"g","host":"h","time":"2026-04-26T12:00:00Z","reported_at":null,
            "received_at":"2026-04-26T12:00:00Z","status":"failed","changed_files":null,
            "declared_count":null,"max_age":93600,"project_name":null,"repo_name":null,
            "server_type":null,"environment":null,"validation_status":null,
            "validation_message":null,"commit_sha":null,"branch":null,"updated_by":null,
            "last_pipeline_run":null,"last_cron_check":null,"labels":null,"run_id":null,
            "run_url":null,"late":0,"transition":"changed","reported_by":null,
            "remote_address":"127.0.0.1","reason":null,"detail":null})
    );
}

#[test]
fn a_pipeline_report_overwrites_the_whole_deployment_state() {
    let server = Server::start();
    server.pipeline(&with(
        example(),
        &json!({"status":"out_of_sync","changed_files":["/a"],"labels":{"team":"logging"},
            "run_url":"https://ci.example.org/1"}),
    ));
    server.pipeline(&json!({"server_group":"rsyslog-prod","host":"rsyslog-01","status":"failed",
        "last_pipeline_run":"2026-04-26T11:00:00Z"}));
    assert_eq!(
        server.row("rsyslog-prod", "rsyslog-01"),
        row(
            "rsyslog-prod",
            "rsyslog-01",
            "2026-04-26T11:00:00Z",
            &json!({"status":"failed","status_code":2,"pipeline_status":"failed","reports":2,
                "drift_since":"2026-04-26T10:30:00Z","drift_age_seconds":5400})
        )
    );
}

#[test]
fn a_pipeline_report_never_touches_the_last_check() {
    let server = Server::start();
    server.pipeline(&example());
    server.cron(&json!({"server_group":"rsyslog-prod","host":"rsyslog-01","status":"failed",
        "commit_sha":"measured","last_cron_check":"2026-04-26T11:00:00Z"}));
    let answer = server.pipeline(&with(
        example(),
        &json!({"last_pipeline_run":"2026-04-26T11:30:00Z",
            "last_cron_check":"2026-04-26T11:59:00Z"}),
    ));
    let row = &answer["status"];
    assert_eq!(row["last_cron_check"], "2026-04-26T11:00:00Z");
    assert_eq!(row["last_pipeline_run"], "2026-04-26T11:30:00Z");
    assert_eq!((&row["cron_status"], &row["status"]), (&json!("failed"), &json!("synced")));
    assert_eq!(row["checked_commit_sha"], "measured");
    assert!(answer["warnings"].to_string().contains("last_cron_check"), "{answer}");
}

#[test]
fn files_may_be_strings_or_objects_and_are_shown_as_paths() {
    let server = Server::start();
    let digest = "AB".repeat(32);
    server.pipeline(&json!({"server_group":"g","host":"h","status":"out_of_sync",
        "changed_files":["/b", {"path":"/a"}, {"name":"/n"},
            {"path":"/c","kind":"Modified","sha256":digest}, {"name":"/d","kind":"mode"}]}));
    let row = server.row("g", "h");
    assert_eq!(row["changed_files"], json!(["/b", "/a", "/n", "/c", "/d"]));
    assert_eq!(row["changed_files_text"], "/b, /a, /n, /c, /d");
    assert_eq!(row["changed_files_count"], 5);
    assert_eq!(
        server.lines()[0]["changed_files"],
        json!(["/b", "/a", "/n", {"kind":"modified","path":"/c","sha256":digest.to_lowercase()},
            {"kind":"mode","path":"/d","sha256":null}])
    );
}

#[test]
fn labels_come_from_the_deployment_and_the_run_from_the_newest_report() {
    let server = Server::start();
    server.pipeline(&with(
        pipeline_report("g", "h", "2026-04-26T10:00:00Z"),
        &json!({"labels":{"b":"2","a":"1"},"run_id":"7","run_url":"https://ci.example.org/7"}),
    ));
    let confirmed = server.cron(&with(
        check("g", "h", "synced", "2026-04-26T10:02:00Z"),
        &json!({"labels":{"c":"3"},"run_url":"https://ci.example.org/8"}),
    ));
    assert_eq!(confirmed["status"]["labels_text"], "a=1, b=2");
    assert_eq!(confirmed["status"]["run_url"], "https://ci.example.org/8");
    let lines = server.lines();
    assert_eq!(lines[0]["labels"], json!({"a":"1","b":"2"}));
    assert_eq!((&lines[0]["run_id"], &lines[1]["run_id"]), (&json!("7"), &json!(null)));

    server
        .post(
            "/status/cron?create=true",
            &json!({"server_group":"g","host":"new",
        "labels":{"c":"3"}}),
        )
        .ok();
    assert_eq!(server.row("g", "new")["labels_text"], "c=3");
}

#[test]
fn every_repair_is_named_in_the_warnings() {
    let server = Server::start();
    let answer = server.pipeline(&json!({"server_group":" g ","host":"h","status":"SYNCED",
        "changed_files":["/a"],"environment":"","repo_name":null,"drift_counts":3}));
    let warnings: Vec<&str> =
        answer["warnings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    for named in ["status", "changed_files", "environment", "repo_name", "drift_counts"] {
        assert!(warnings.iter().any(|text| text.contains(named)), "{named}: {warnings:?}");
    }
    assert_eq!(warnings.len(), 5, "{warnings:?}");
    let row = server.row("g", "h");
    assert_eq!((&row["status"], &row["changed_files"]), (&json!("synced"), &json!(["/a"])));
    assert_eq!(row["environment"], json!(null));
}

#[test]
fn a_long_validation_message_is_cut_with_a_warning() {
    let server = Server::start();
    let long = "é".repeat(40_000);
    let answer = server.pipeline(&json!({"server_group":"g","host":"h","status":"failed",
        "validation_status":"failed","validation_message":long}));
    assert!(answer["warnings"][0].as_str().unwrap().contains("validation_message"));
    let kept = server.row("g", "h")["validation_message"].as_str().unwrap().len();
    assert_eq!(kept, 64 * 1024);
}

#[test]
fn every_spelling_of_a_time_is_normalised() {
    let server = Server::start();
    for (at, (sent, shown)) in [
        ("2026-04-26T10:30:00.120000999Z", "2026-04-26T10:30:00.12Z"),
        ("2026-04-26 10:30:00", "2026-04-26T10:30:00Z"),
        ("2026-04-26 03:09:02 +03:00", "2026-04-26T00:09:02Z"),
        ("2026-04-26T10:30:00-01:30", "2026-04-26T12:00:00Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
    ]
    .iter()
    .enumerate()
    {
        let host = format!("h{at}");
        let answer = server.pipeline(&pipeline_report("g", &host, sent));
        assert_eq!(answer["status"]["last_pipeline_run"], *shown, "{sent}");
        assert_eq!(server.lines()[at]["reported_at"], *shown, "{sent}");
    }
    for sent in ["yesterday", "2026-02-30T00:00:00Z", "1969-12-31T23:59:59Z", "1777161600"] {
        let refused = server.post("/status/pipeline", &pipeline_report("g", "h", sent));
        assert_eq!(refused.wrong_fields(), ["last_pipeline_run"], "{sent}");
    }
}

/// Every route that takes reports, and where its files, host and warnings are.
#[test]
fn an_address_that_is_none_and_an_object_for_a_path_draw_warnings() {
    let server = Server::start();
    let shapes = [
        (
            "/status/pipeline",
            json!({"server_group":"g","host":"h","status":"out_of_sync"}),
            "changed_files",
        ),
        (
            "/status/cron",
            json!({"server_group":"g","host":"h","status":"out_of_sync"}),
            "changed_files",
        ),
        ("/api/status", json!({"repo":"g","server":"h","sync_status":"OUT_OF_SYNC"}), "files"),
    ];
    for (path, report, files) in &shapes {
        let told = |more: &Value| {
            let answer = server.post(path, &with(report.clone(), more)).ok();
            let texts = answer["warnings"].as_array().unwrap().clone();
            texts.iter().map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        for url in ["https://ci.example.org/7", "HTTP://ci/7"] {
            assert_eq!(told(&json!({"run_url": url})), Vec::<String>::new(), "{path} {url}");
        }
        for url in [
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://ci/7",
            "//ci/7",
            "ci/7",
            " https://ci",
        ] {
            let warnings = told(&json!({"run_url": url}));
            assert_eq!(warnings.len(), 1, "{path} {url}: {warnings:?}");
            assert!(warnings[0].starts_with("run_url is no http or https address"), "{warnings:?}");
            let line = server.lines().pop().unwrap();
            assert_eq!(line["run_url"], json!(url), "it is kept as sent");
        }
        for text in
            ["System.Collections.Hashtable", "System.Object[]", "[object Object]", "@{path=/a}"]
        {
            for file in
                [json!(text), json!({"path": text}), json!({"name": text, "kind": "modified"})]
            {
                let list = json!(["/etc/a", file]);
                let warnings: Vec<_> = told(&json!({*files: list}));
                let warnings: Vec<_> =
                    warnings.iter().filter(|text| !text.contains("drift_count")).collect();
                assert_eq!(warnings.len(), 1, "{path} {text}: {warnings:?}");
                let begin = format!("{files}[1] {text:?} is how a program prints an object");
                assert!(warnings[0].starts_with(&begin), "{warnings:?}");
            }
        }
        let warnings =
            told(&json!({"labels": {"team": "System.Object[]"}, "run_id": "[object Object]"}));
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        let array =
            server.post(path, &json!([report, with(report.clone(), &json!({"run_url": "x"}))]));
        assert!(array.ok()["warnings"][0].as_str().unwrap().starts_with("[1] run_url"));
    }
    let host = json!({"server_group":"System.Object[]","host":"h","status":"synced"});
    let warnings = server.pipeline(&host)["warnings"].to_string();
    assert!(
        warnings.contains("server_group") && warnings.contains("System.Object[]"),
        "{warnings}"
    );
}
