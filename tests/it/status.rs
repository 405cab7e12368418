//! `GET /status`, `/summary` and `/rejections`: what is in force now.

use crate::harness::{Server, check, pipeline_report, with};
use serde_json::{Value, json};

/// Hosts `group/host` of an array of rows.
fn hosts(rows: &Value) -> Vec<String> {
    let name = |row: &Value| {
        format!("{}/{}", row["server_group"].as_str().unwrap(), row["host"].as_str().unwrap())
    };
    rows.as_array().unwrap().iter().map(name).collect()
}

/// Four hosts that differ in everything one can filter by.
fn fleet() -> Server {
    let server = Server::start();
    for (group, host, differing) in [
        ("web", "b", json!({"environment":"prod","server_type":"nginx","project_name":"p"})),
        ("web", "a", json!({"environment":"test","status":"out_of_sync","repo_name":"r"})),
        ("db", "a", json!({"environment":"prod","status":"failed","repo_name":"r","max_age":60})),
        ("Web", "c", json!({"status":"unknown"})),
    ] {
        let report = pipeline_report(group, host, "2026-04-26T11:59:00Z");
        server.pipeline(&with(report, &differing));
    }
    server.clock.advance(1);
    server
}

#[test]
fn rows_are_ordered_by_group_and_host() {
    let server = fleet();
    assert_eq!(hosts(&server.json("/status")), ["Web/c", "db/a", "web/a", "web/b"]);
    assert_eq!(hosts(&server.json("/status/web")), ["web/a", "web/b"]);
    assert_eq!(server.json("/status/none"), json!([]));
    assert_eq!(Server::start().json("/status"), json!([]));
}

#[test]
fn filters_may_be_repeated_and_combined() {
    let server = fleet();
    for (query, expected) in [
        ("server_group=web", vec!["web/a", "web/b"]),
        ("host=a", vec!["db/a", "web/a"]),
        ("host=a&host=b", vec!["db/a", "web/a", "web/b"]),
        ("host=a&server_group=web", vec!["web/a"]),
        ("status=failed&status=unknown", vec!["Web/c", "db/a"]),
        ("status=FAILED", vec!["db/a"]),
        ("environment=prod", vec!["db/a", "web/b"]),
        ("environment=prod&environment=test", vec!["db/a", "web/a", "web/b"]),
        ("server_type=nginx", vec!["web/b"]),
        ("repo_name=r", vec!["db/a", "web/a"]),
        ("project_name=p", vec!["web/b"]),
        ("stale=1", vec!["db/a"]),
        ("stale=0", vec!["Web/c", "web/a", "web/b"]),
        ("stale=0&stale=1", vec!["Web/c", "db/a", "web/a", "web/b"]),
        ("host=none", vec![]),
        ("host=&environment=", vec!["Web/c", "db/a", "web/a", "web/b"]),
        ("host=&server_group=db", vec!["db/a"]),
    ] {
        assert_eq!(hosts(&server.json(&format!("/status?{query}"))), expected, "{query}");
    }
    assert_eq!(hosts(&server.json("/status/web?status=synced")), ["web/b"]);
}

#[test]
fn a_filter_with_a_word_that_cannot_be_is_400() {
    let server = fleet();
    for (query, field) in [("status=fine", "status"), ("stale=maybe", "stale")] {
        for path in ["/status", "/status/web", "/summary"] {
            let refused = server.get(&format!("{path}?{query}"));
            assert_eq!(refused.wrong_fields(), [field], "{path}?{query}");
        }
    }
    let both = server.get("/status?status=fine&stale=maybe");
    assert_eq!(both.wrong_fields(), ["status", "stale"]);
    assert_eq!(server.get("/summary?group_by=colour").wrong_fields(), ["group_by"]);
}

#[test]
fn groups_may_be_called_pipeline_or_cron() {
    let server = Server::start();
    for group in ["pipeline", "cron"] {
        server.pipeline(&pipeline_report(group, "h", "2026-04-26T11:00:00Z"));
        assert_eq!(hosts(&server.json(&format!("/status/{group}"))), [format!("{group}/h")]);
        assert_eq!(server.row(group, "h")["server_group"], *group);
    }
}

#[test]
fn any_name_works_encoded_in_the_path_and_in_the_query() {
    let server = Server::start();
    for (name, encoded) in [
        ("a/b", "a%2Fb"),
        ("100%", "100%25"),
        ("%2F", "%252F"),
        ("a b", "a%20b"),
        ("a+b", "a%2Bb"),
        ("ключ", "%D0%BA%D0%BB%D1%8E%D1%87"),
        ("日本/😀", "%E6%97%A5%E6%9C%AC%2F%F0%9F%98%80"),
        ("a?b#c&d=e", "a%3Fb%23c%26d%3De"),
        ("...", "..."),
        (".hidden", ".hidden"),
        ("a;b\"c\\d", "a%3Bb%22c%5Cd"),
        ("e\u{301}", "e%CC%81"),
    ] {
        let row = server.pipeline(&pipeline_report(name, name, "2026-04-26T11:00:00Z"));
        let row = &row["status"];
        assert_eq!(row["host"], name);
        assert_eq!(server.json(&format!("/status/{encoded}/{encoded}")), *row, "{name}");
        assert_eq!(server.json(&format!("/status/{encoded}")), json!([row]), "{name}");
        let query = format!("server_group={encoded}&host={encoded}");
        assert_eq!(server.json(&format!("/status?{query}")), json!([row]), "{name}");
        for path in [format!("/history/{encoded}/{encoded}"), format!("/history?{query}")] {
            let page = server.json(&path);
            assert_eq!(page["items"].as_array().unwrap().len(), 1, "{path}");
            assert_eq!(page["items"][0]["host"], name, "{path}");
        }
        let v1 = server.json(&format!("/status.json?repo={encoded}&server={encoded}"));
        assert_eq!(v1["server"], name);
    }
}

#[test]
fn names_are_trimmed_case_sensitive_and_checked() {
    let server = Server::start();
    server.pipeline(&json!({"server_group":"  g\t","host":"\u{3000}h ","status":"synced"}));
    server.pipeline(&json!({"server_group":"G","host":"h","status":"synced"}));
    assert_eq!(hosts(&server.json("/status")), ["G/h", "g/h"]);
    server.get("/status/g/H").problem(404);
    let long = "é".repeat(255);
    server.pipeline(&json!({"server_group":long,"host":"h","status":"synced"}));
    let too_long = "é".repeat(256);
    for name in ["", "  ", ".", "..", "a\nb", "a\u{7f}b", "a\u{85}b", "a\u{0}b", too_long.as_str()]
    {
        let report = json!({"server_group":"g","host":name,"status":"synced"});
        server.post("/status/pipeline", &report).problem(400);
    }
    assert_eq!(server.json("/status").as_array().unwrap().len(), 3);
}

#[test]
fn an_unknown_host_is_404_with_near_names() {
    let server = fleet();
    let problem = server.get("/status/web/aa").problem(404);
    assert_eq!(problem["near"][0], json!({"server_group":"web","host":"a"}));
    server.get("/status/nowhere/nobody-at-all").problem(404);
    let invalid = server.get("/status/web/%FF");
    assert_eq!(invalid.status, 404, "{}", invalid.text());
}

#[test]
fn the_summary_counts_what_is_good_and_what_is_stale() {
    let server = fleet();
    let counts = |synced, out_of_sync, failed, unknown, stale, total| {
        json!({"synced":synced,"out_of_sync":out_of_sync,"failed":failed,"unknown":unknown,
            "stale":stale,"total":total})
    };
    assert_eq!(server.json("/summary"), counts(1, 1, 0, 1, 1, 4));
    assert_eq!(server.json("/summary?server_group=web"), counts(1, 1, 0, 0, 0, 2));
    assert_eq!(server.json("/summary?host=none"), counts(0, 0, 0, 0, 0, 0));
    assert_eq!(Server::start().json("/summary"), counts(0, 0, 0, 0, 0, 0));
    assert_eq!(
        server.json("/summary?group_by=server_group"),
        json!([
            with(json!({"server_group":"Web"}), &counts(0, 0, 0, 1, 0, 1)),
            with(json!({"server_group":"db"}), &counts(0, 0, 0, 0, 1, 1)),
            with(json!({"server_group":"web"}), &counts(1, 1, 0, 0, 0, 2)),
        ])
    );
    let environments = server.json("/summary?group_by=environment");
    let total: u64 =
        environments.as_array().unwrap().iter().map(|row| row["total"].as_u64().unwrap()).sum();
    assert_eq!((total, environments.as_array().unwrap().len()), (4, 3));
    assert_eq!(server.json("/summary?group_by=host&host=none"), json!([]));
}

#[test]
fn every_refusal_is_listed_newest_first() {
    let server = Server::start();
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    server.cron(&check("g", "h", "synced", "2026-04-26T11:00:00Z"));
    server.post_bytes("/status/pipeline", &[], b"{").problem(400);
    server.clock.advance(1);
    let wrong = json!([{"server_group":"g","host":"x","status":"fine"},{"host":" y "}]);
    server.post("/status/pipeline", &wrong).problem(400);
    server.post_bytes("/api/status", &[("Content-Type", "text/plain")], b"{}").problem(415);
    let rows = server.json("/rejections");
    let part = |name: &str| -> Vec<Value> {
        rows.as_array().unwrap().iter().map(|row| row[name].clone()).collect()
    };
    assert_eq!(part("source"), ["legacy", "pipeline", "pipeline", "pipeline"]);
    assert_eq!(part("host"), [json!(null), json!("y"), json!("x"), json!(null)]);
    assert_eq!(part("server_group"), [json!(null), json!(null), json!("g"), json!(null)]);
    assert_eq!(part("time")[3], "2026-04-26T12:00:00Z");
    assert_eq!(part("time")[0], "2026-04-26T12:00:01Z");
    assert_eq!(server.json("/rejections?limit=1"), json!([rows[0]]));
    server.get("/rejections?limit=0").problem(400);
}
