//! Bad bodies: 400 with every wrong field, 413, 415; always a problem, never stored.

use crate::harness::{Server, with};
use serde_json::{Value, json};

const WRITES: [&str; 3] = ["/status/pipeline", "/status/cron", "/api/status"];

fn nothing_was_stored(server: &Server) {
    assert_eq!(server.lines(), Vec::<Value>::new());
    assert_eq!(server.json("/status"), json!([]));
}

#[test]
fn what_is_not_json_is_400() {
    let server = Server::start();
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let deep_inside = format!(r#"{{"server_group":"g","host":"h","status":"synced","x":{deep}}}"#);
    let object = r#"{"server_group":"g","host":"h","status":"synced"}"#;
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b" ".to_vec(),
        b"{".to_vec(),
        b"nonsense".to_vec(),
        b"{'server_group':'g'}".to_vec(),
        format!("{object}x").into_bytes(),
        format!("{object}{object}").into_bytes(),
        format!("\u{feff}{object}").into_bytes(),
        format!("{object},").into_bytes(),
        br#"{"server_group":"g","server_group":"g","host":"h","status":"synced"}"#.to_vec(),
        br#"{"server_group":"g","host":"h","status":"synced","x":{"a":1,"\u0061":2}}"#.to_vec(),
        br#"{"server_group":"g","host":"h","status":"synced","branch":"a\u0000b"}"#.to_vec(),
        b"{\"server_group\":\"g\",\"host\":\"h\",\"status\":\"synced\",\"branch\":\"a\0b\"}"
            .to_vec(),
        b"{\"server_group\":\"g\",\"host\":\"\xff\xfe\",\"status\":\"synced\"}".to_vec(),
        b"{\"server_group\":\"g\",\"host\":\"\xed\xa0\x80\",\"status\":\"synced\"}".to_vec(),
        br#"{"server_group":"g","host":"\ud800","status":"synced"}"#.to_vec(),
        br#"{"server_group":"g","host":"h","status":"synced","x":1e999}"#.to_vec(),
        br#"{"server_group":"g","host":"h","status":"synced","x":NaN}"#.to_vec(),
        deep.into_bytes(),
        deep_inside.into_bytes(),
        vec![0; 64],
        vec![b'['; 100_000],
    ];
    for path in WRITES {
        for body in &bodies {
            let answer = server.post_bytes(path, &[], body);
            assert_eq!(answer.status, 400, "{path} {}", String::from_utf8_lossy(body));
            let problem = answer.problem(400);
            assert!(!problem["detail"].to_string().contains("panic"), "{problem}");
        }
    }
    nothing_was_stored(&server);
}

#[test]
fn what_is_json_but_no_report_is_400() {
    let server = Server::start();
    for body in ["null", "true", "1", "\"text\"", "[]", "[null]", "[[]]", "{}"] {
        for path in WRITES {
            server.post_bytes(path, &[], body.as_bytes()).problem(400);
        }
    }
    nothing_was_stored(&server);
}

#[test]
fn all_wrong_fields_are_named_at_once() {
    let server = Server::start();
    let refused = server.post(
        "/status/pipeline",
        &json!({"server_group":7,"host":"  ","status":"fine","changed_files":"/a","max_age":0,
            "validation_status":"great","commit_sha":1,"labels":[],"run_id":{},
            "last_pipeline_run":"yesterday"}),
    );
    let mut fields = refused.wrong_fields();
    fields.sort();
    assert_eq!(
        fields,
        [
            "changed_files",
            "commit_sha",
            "host",
            "labels",
            "last_pipeline_run",
            "max_age",
            "run_id",
            "server_group",
            "status",
            "validation_status"
        ]
    );
    assert_eq!(
        server.post("/status/pipeline", &json!({})).wrong_fields(),
        ["server_group", "host", "status"]
    );
    assert_eq!(server.post("/status/cron", &json!({})).wrong_fields(), ["server_group", "host"]);
    nothing_was_stored(&server);
}

#[test]
fn lists_and_labels_have_their_bounds() {
    let server = Server::with(&["--max-body-bytes", "16MiB"]);
    let report = |differing: &Value| {
        with(json!({"server_group":"g","host":"h","status":"out_of_sync"}), differing)
    };
    let labels = |count: usize| -> Value {
        let pair = |at: usize| (format!("l{at}"), json!("v"));
        Value::Object((0..count).map(pair).collect())
    };
    for (differing, place) in [
        (json!({"changed_files":vec!["/a"; 10_001]}), "changed_files"),
        (json!({"changed_files":["/a", "x".repeat(4097)]}), "changed_files[1]"),
        (json!({"changed_files":["/a", ""]}), "changed_files[1]"),
        (json!({"changed_files":[7]}), "changed_files[0]"),
        (json!({"changed_files":[{}]}), "changed_files[0]"),
        (json!({"changed_files":[{"path":"/a","kind":"gone"}]}), "changed_files[0]"),
        (json!({"changed_files":[{"path":"/a","sha256":"12"}]}), "changed_files[0]"),
        (json!({"labels":labels(17)}), "labels"),
        (json!({"labels":{"a":1}}), "labels"),
        (json!({"labels":{"":"a"}}), "labels"),
        (json!({"labels":{"a":""}}), "labels"),
        (json!({"labels":{"n".repeat(64):"a"}}), "labels"),
        (json!({"labels":{"a":"v".repeat(256)}}), "labels"),
    ] {
        let refused = server.post("/status/pipeline", &report(&differing));
        assert_eq!(refused.wrong_fields(), [place]);
    }
    nothing_was_stored(&server);
    for differing in [
        json!({"changed_files":vec!["x".repeat(1000); 10_000]}),
        json!({"changed_files":["é".repeat(2048)]}),
        json!({"labels":labels(16)}),
        json!({"labels":{"n".repeat(63):"é".repeat(255)}}),
        json!({"labels":{}}),
    ] {
        server.pipeline(&report(&differing));
    }
    assert_eq!(server.lines().last().unwrap()["labels"], json!(null));
}

#[test]
fn a_body_that_is_not_declared_as_plain_json_is_415() {
    let server = Server::start();
    let body = br#"{"server_group":"g","host":"h","status":"synced"}"#;
    for declared in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/json; charset=latin-1",
        "application/jsonx",
        "",
        "application/octet-stream",
    ] {
        server.post_bytes("/status/pipeline", &[("Content-Type", declared)], body).problem(415);
    }
    server.send("POST", "/status/pipeline", &[], Some(body)).problem(415);
    for encoding in ["gzip", "br", "deflate", "gzip, identity", "nonsense"] {
        server.post_bytes("/status/pipeline", &[("Content-Encoding", encoding)], body).problem(415);
    }
    nothing_was_stored(&server);
    for declared in [
        "application/json",
        "Application/JSON;charset=UTF-8",
        "application/json; charset=\"utf-8\"",
        "application/vnd.drift+json",
    ] {
        let answer = server.post_bytes("/status/pipeline", &[("Content-Type", declared)], body);
        assert_eq!(answer.status, 200, "{declared}");
    }
    let plain = server.post_bytes("/status/pipeline", &[("Content-Encoding", "identity")], body);
    assert_eq!(plain.status, 200);
}

#[test]
fn a_body_over_the_limit_is_413_and_the_answer_can_be_read() {
    let server = Server::start();
    let report = json!({"server_group":"g","host":"h","status":"failed"});
    let empty = with(report.clone(), &json!({"x":""})).to_string().len();
    let of_size = |bytes: usize| with(report.clone(), &json!({"x":"x".repeat(bytes - empty)}));
    assert_eq!(server.post("/status/pipeline", &of_size(1 << 20)).status, 200);
    for bytes in [(1 << 20) + 1, 2 << 20, 4 << 20] {
        server.post("/status/pipeline", &of_size(bytes)).problem(413);
    }
    assert_eq!(server.lines().len(), 1);
    assert!(server.json("/rejections")[0]["reason"].as_str().unwrap().contains("413"));
    let small = Server::with(&["--max-body-bytes", "100"]);
    small.post("/status/pipeline", &of_size(100)).ok();
    small.post("/status/pipeline", &of_size(101)).problem(413);
}

#[test]
fn problems_say_nothing_of_the_inside() {
    let server = Server::start();
    for answer in [
        server.post_bytes("/status/pipeline", &[], b"{"),
        server.get("/history?cursor=x"),
        server.get("/status/a/b"),
        server.get("/none"),
    ] {
        let text = answer.text().to_lowercase();
        for inner in ["sqlite", "sqlx", "src/", "panicked", ".rs"] {
            assert!(!text.contains(inner), "{text}");
        }
    }
    let instance = |answer: crate::harness::Answer| answer.problem(404)["instance"].clone();
    assert_ne!(instance(server.get("/none")), instance(server.get("/none")));
}
