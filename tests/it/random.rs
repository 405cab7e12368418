//! Whatever a client sends: never a 5xx, and every error is a problem.

use crate::documents::{concrete, paths};
use crate::harness::{Answer, Server, pipeline_report};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

/// No 5xx, no empty or foreign error bodies.
fn judge(answer: &Answer, what: &str) {
    assert!(answer.status < 500, "{what}: {} {}", answer.status, answer.text());
    // The push API refuses in a Pushgateway's words and form.
    if answer.status == 400 && what.contains(" /metrics/job") {
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8", "{what}");
        assert!(answer.text().ends_with('\n'), "{what}");
        return;
    }
    if answer.status >= 400 && !answer.body.is_empty() {
        answer.problem(answer.status);
    }
    if answer.status >= 400 {
        assert_eq!(answer.header("content-type"), "application/problem+json", "{what}");
    }
}

fn runner(cases: u32) -> TestRunner {
    crate::seeds::runner(file!(), cases, Config::default().max_shrink_iters)
}

#[test]
fn every_method_on_every_documented_path_is_answered_properly() {
    let server = Server::start();
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    for path in paths() {
        let path = concrete(&path);
        for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO"] {
            let answer = server.send(method, &path, &[], None);
            judge(&answer, &format!("{method} {path}"));
        }
        for body in [&b""[..], b"{}", b"[]", b"null", b"\xff", br#"{"server_group":{}}"#] {
            judge(&server.post_bytes(&path, &[], body), &format!("POST {path}"));
        }
        for query in ["?", "?&&&=", "?%", "?%zz", "?limit", "?status[]=x", "?a=%FF", "?format=%00"]
        {
            let what = format!("{path}{query}");
            judge(&server.get(&what), &what);
        }
    }
}

/// JSON with our field names and values that nearly fit.
fn nearly_a_report() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "server_group",
        "host",
        "status",
        "changed_files",
        "last_pipeline_run",
        "last_cron_check",
        "max_age",
        "labels",
        "run_id",
        "repo",
        "server",
        "sync_status",
        "drift_count",
        "files",
        "last_check",
        "commit_sha",
        "validation_status",
        "validation_message",
        "x",
    ]);
    let text = prop_oneof![
        Just("synced".to_owned()),
        Just("OUT_OF_SYNC".to_owned()),
        Just("2026-04-26T10:30:00Z".to_owned()),
        "\\PC{0,12}",
        "[0-9T:Z +-]{0,30}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z]{1,6}|path|name|kind|sha256", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    let object = prop::collection::hash_map(name, value, 0..8)
        .prop_map(|map| map.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
        .prop_map(Value::Object);
    let named = object.clone().prop_map(|mut object| {
        for (name, value) in [("server_group", "g"), ("host", "h"), ("repo", "g"), ("server", "h")]
        {
            object[name] = json!(value);
        }
        object
    });
    prop_oneof![object, named.clone(), prop::collection::vec(named, 0..4).prop_map(Value::from)]
}

#[test]
fn no_body_makes_a_5xx() {
    let server = Server::start();
    let bytes = prop::collection::vec(any::<u8>(), 0..200);
    let body = prop_oneof![
        3 => nearly_a_report().prop_map(|value| value.to_string().into_bytes()),
        1 => bytes,
        1 => "[\\[\\]{}\",:a0-9 \\\\u]{0,60}".prop_map(String::into_bytes),
    ];
    let path = prop::sample::select(vec![
        "/status/pipeline",
        "/status/cron",
        "/status/cron?create=true",
        "/api/status",
    ]);
    runner(600)
        .run(&(path, body), |(path, body)| {
            let answer = server.post_bytes(path, &[], &body);
            judge(&answer, &format!("{path} {}", String::from_utf8_lossy(&body)));
            Ok(())
        })
        .unwrap();
    let lines = server.lines();
    for path in ["/status", "/history?limit=10000", "/api/status", "/rejections", "/summary"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    let ids: Vec<String> = lines.iter().map(|line| line["id"].as_str().unwrap().into()).collect();
    assert_eq!(ids, (1..=ids.len()).map(|id| id.to_string()).collect::<Vec<_>>());
}

/// A query parameter of ours with a value that fits, nearly fits, or is nonsense.
fn parameter() -> impl Strategy<Value = (&'static str, String)> {
    let name = prop::sample::select(vec![
        "server_group",
        "host",
        "environment",
        "status",
        "stale",
        "group_by",
        "source",
        "kind",
        "commit_sha",
        "file",
        "from",
        "to",
        "changes_only",
        "order",
        "sort",
        "after_id",
        "from_id",
        "to_id",
        "limit",
        "cursor",
        "format",
        "raw",
        "repo",
        "at",
        "create",
    ]);
    let value = prop_oneof![
        prop::sample::select(vec![
            "",
            "g",
            "h",
            "synced",
            "0",
            "1",
            "true",
            "asc",
            "desc",
            "id",
            "time",
            "csv",
            "ndjson",
            "json",
            "report",
            "now-1d",
            "now",
            "2026-04-26",
            "*",
            "/*",
            "-1",
            "9223372036854775807",
            "18446744073709551615",
            "1e3",
            "9999-12-31T23:59:59Z",
            "now-9999999w",
            "now+9999999w",
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z0-9._~%*+-]{0,20}",
        "\\PC{0,6}".prop_map(|text| {
            form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>()
        }),
    ];
    (name, value)
}

#[test]
fn no_query_makes_a_5xx() {
    let server = Server::start();
    for host in ["h", "i", "j"] {
        server.pipeline(&pipeline_report("g", host, "2026-04-26T11:00:00Z"));
    }
    let path = prop::sample::select(vec![
        "/status",
        "/status/g",
        "/status/g/h",
        "/summary",
        "/history",
        "/history/g/h",
        "/rejections",
        "/api/status",
        "/status.json",
        "/",
        "/ready",
    ]);
    let query = prop::collection::vec(parameter(), 0..5);
    runner(800)
        .run(&(path, query), |(path, query)| {
            let query: Vec<String> =
                query.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let url = format!("{path}?{}", query.join("&"));
            judge(&server.get(&url), &url);
            Ok(())
        })
        .unwrap();
}

#[test]
fn no_path_makes_a_5xx() {
    let server = Server::start();
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    let segment = prop_oneof![
        prop::sample::select(vec![
            "status",
            "history",
            "api",
            "g",
            "h",
            "pipeline",
            "cron",
            "..",
            ".",
            "",
            "%2F",
            "%2e%2e",
            "%00",
            "%FF",
            "%",
            "%zz",
            "status.json",
            "swagger-ui",
            "-",
            "ready",
            "api-docs",
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z0-9._~%!$&'()*+,;=:@-]{0,12}",
    ];
    let path =
        prop::collection::vec(segment, 0..5).prop_map(|parts| format!("/{}", parts.join("/")));
    let method = prop::sample::select(vec!["GET", "HEAD", "DELETE", "PUT"]);
    runner(600)
        .run(&(method, path), |(method, path)| {
            let answer = server.send(method, &path, &[], None);
            // The files of Swagger UI come from its library.
            if !path.starts_with("/swagger-ui/") {
                judge(&answer, &format!("{method} {path}"));
            }
            prop_assert!(answer.status < 500);
            Ok(())
        })
        .unwrap();
}
