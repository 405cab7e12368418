//! What the log says of what clients send: nothing, and each of its lines is one line.

use crate::process::Process;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Stands in everything that is sent.
const SECRET: &str = "hunter2-Zx81";
/// Would begin a line, turn the direction of writing, colour a terminal.
const NASTY: &str = "a\nERROR forged\r\u{202e}b\u{1b}[31m\u{2028}c";

fn report(host: &str) -> Value {
    json!({"server_group":"g","host":host,"status":"out_of_sync","branch":SECRET,"updated_by":SECRET,
        "validation_message":SECRET,"changed_files":[SECRET],"labels":{"l":SECRET},"run_id":SECRET,
        "run_url":format!("https://user:{SECRET}@ci.example.org/7"),"unknown":SECRET})
}

fn send_secrets(server: &Process) {
    let bearer = format!("Bearer {SECRET}");
    let cookie = format!("session={SECRET}");
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Proxy-Authorization", &bearer),
        ("X-Api-Key", SECRET),
        ("Cookie", &cookie),
        ("Idempotency-Key", SECRET),
        ("User-Agent", SECRET),
        ("X-Forwarded-For", SECRET),
    ];
    server.post_with("/status/pipeline", &headers, &report("h")).ok();
    server.post_with("/status/pipeline", &headers, &report("other")).problem(409);
    server.post_with("/status/cron", &headers[..4], &report("h")).ok();
    server.post("/status/cron", &report(SECRET)).problem(404);
    for broken in [format!("{{\"{SECRET}"), format!("[{SECRET}]"), format!("\"{SECRET}\"")] {
        server.post_bytes("/status/pipeline", &headers[..4], broken.as_bytes()).problem(400);
    }
    let wrong = json!({"server_group":"g","host":"h","status":SECRET,"last_pipeline_run":SECRET});
    server.post("/status/pipeline", &wrong).problem(400);
    server.post_with("/status/pipeline", &[("Content-Type", SECRET)], &wrong).problem(415);
    let push = format!("drift_stack_state{{stack=\"{SECRET}\"}} 0\n{SECRET} {SECRET}\n");
    server.post_bytes(&format!("/metrics/job/{SECRET}"), &headers[..4], push.as_bytes());
    for method in ["GET", "POST", "DELETE", SECRET] {
        for path in ["/status/g/S", "/S", "/history?host=S&file=S&branch=S", "/history?cursor=S"] {
            let path = path.replace('S', SECRET);
            server.send(method, &path, &headers[..4], (method != "GET").then_some(b"{}"));
        }
    }
    server.get(&format!("/history?from={SECRET}&to={SECRET}&nothing={SECRET}")).problem(400);
    server.get(&format!("/status?status={SECRET}")).problem(400);
    for broken in [
        format!("GET /{SECRET} HTTP/1.1\r\nAuthorization {SECRET}\r\n\r\n"),
        format!("GET /{SECRET}\0 HTTP/1.1\r\n\r\n"),
        format!("{SECRET}\r\n\r\n"),
        format!("POST /status/cron HTTP/1.1\r\nContent-Length: {SECRET}\r\n\r\n"),
        format!("POST /status/cron HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{SECRET}\r\n"),
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(broken.as_bytes()).unwrap();
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
}

/// The log of a server that is asked things and stopped.
fn log(environment: &str, ask: impl Fn(&Process)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("{environment} exec \"$0\" 2>log");
    let mut server = Process::wrapped(folder.path(), &script);
    ask(&server);
    assert_eq!(server.get("/ready").status, 200);
    assert!(server.stop().success());
    std::fs::read_to_string(folder.path().join("log")).unwrap()
}

#[test]
fn nothing_that_was_sent_is_in_the_log_even_at_trace() {
    for format in ["text", "json"] {
        let log = log(&format!("RUST_LOG=trace LOG_FORMAT={format}"), send_secrets);
        assert!(log.lines().count() > 40 && log.contains("invalid-fields"), "{log}");
        let found: Vec<&str> = log.lines().filter(|line| line.contains("hunter2")).collect();
        assert_eq!(found, Vec::<&str>::new());
    }
}

#[test]
fn each_event_is_one_line() {
    let encoded = percent_encode(NASTY.as_bytes(), NON_ALPHANUMERIC).to_string();
    let ask = |server: &Process| {
        let nasty =
            json!({"server_group":NASTY,"host":NASTY,"status":NASTY,"changed_files":[NASTY]});
        server.post("/status/pipeline", &nasty).problem(400);
        server.post("/status/cron", &json!({"server_group":"\u{202e}g","host":"h"})).problem(404);
        server.get(&format!("/status/{encoded}/{encoded}")).problem(404);
        server.get(&format!("/{encoded}")).problem(404);
        server.get(&format!("/history?host={encoded}&order={encoded}")).problem(400);
    };
    let text = log("RUST_LOG=trace", ask);
    let (levels, strange) =
        (["TRACE", "DEBUG", "INFO", "WARN", "ERROR"], "\u{202e}\u{2028}\u{1b}\r");
    for line in text.lines() {
        let level = line.split_whitespace().nth(1).unwrap_or_default();
        assert!(line.starts_with("20") && levels.contains(&level), "{line}");
        assert!(!line.contains(|character| strange.contains(character)), "{line}");
    }
    assert!(!text.contains("ERROR forged"));
    let json = log("RUST_LOG=trace LOG_FORMAT=json", ask);
    for line in json.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok_and(|event| event.is_object()), "{line}");
        assert!(!line.contains(|character| strange.contains(character)), "{line}");
    }
}

#[test]
fn the_nonsense_of_clients_does_not_fill_the_log() {
    let quiet = log("RUST_LOG=info", |_| {});
    let log = log("RUST_LOG=info", send_secrets);
    assert_eq!(log.lines().count(), quiet.lines().count(), "{log}");
}

#[test]
fn a_metric_that_was_meant_to_be_history_draws_one_line() {
    let near: Vec<String> =
        (0..50).map(|at| format!("drift_stack_state_{at}{{stack=\"{SECRET}\"}} 1\n")).collect();
    let log = log("RUST_LOG=info", |server| {
        let counter =
            "# TYPE drift_stack_state_total counter\ndrift_stack_state_total{stack=\"a\"} 1\n";
        let job = percent_encode(NASTY.as_bytes(), NON_ALPHANUMERIC).to_string();
        let push = |path: &str, body: &str| server.send("POST", path, &[], Some(body.as_bytes()));
        assert_eq!(push("/metrics/job/nightly", counter).status, 200);
        assert_eq!(
            push("/metrics/job/nightly", "drift_stack_state{stack=\"a\"} 1\nup 1\n").status,
            200
        );
        assert_eq!(push(&format!("/metrics/job/{job}"), &near.concat()).status, 200);
    });
    let told: Vec<&str> = log.lines().filter(|line| line.contains("drift_stack_state")).collect();
    assert_eq!(told.len(), 2, "{log}");
    assert!(told[0].contains(" WARN ") && told[0].contains("drift_stack_state_total"), "{log}");
    assert!(told[0].contains("\"nightly\""), "{log}");
    assert!(told[1].contains("drift_stack_state_0") && told[1].len() < 1000, "{log}");
    let escaped = r#""a\nERROR forged\r\u{202e}b\u{1b}[31m\u{2028}c""#;
    assert!(told[1].contains(escaped) && !log.contains("hunter2"), "{log}");
}
