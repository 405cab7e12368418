//! How much of the history an answer knows: `Gitops-Position` on every answer that shows what is
//! recorded, and `at_least`, which waits for an entry.

use crate::documents::operations;
use crate::harness::{Answer, DEADLINE, Server, check, pipeline_report};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Paths whose answers show what is recorded: as documented, with what must be given to get a 200.
const SHOW: [(&str, &str); 25] = [
    ("/status", "/status"),
    ("/status/{server_group}", "/status/g"),
    ("/status/{server_group}/{host}", "/status/g/h"),
    ("/status/pipeline", ""),
    ("/status/cron", ""),
    ("/api/status", "/api/status"),
    ("/status.json", "/status.json"),
    ("/summary", "/summary?group_by=host"),
    ("/rejections", "/rejections"),
    ("/history", "/history"),
    ("/history/{server_group}/{host}", "/history/g/h"),
    ("/timeline", "/timeline"),
    ("/episodes", "/episodes"),
    ("/episodes/{id}", "/episodes/2"),
    ("/annotations", "/annotations"),
    ("/reviews", "/reviews?from=2026-04-01"),
    ("/reviews/{period}", "/reviews/2026-04"),
    ("/checkpoint", "/checkpoint"),
    ("/proof", "/proof?from_size=1"),
    ("/proof/{id}", "/proof/1"),
    ("/metrics", "/metrics"),
    // No GET.
    ("/hosts/{server_group}/{host}/retire", ""),
    ("/hosts/{server_group}/{host}/alias", ""),
    ("/metrics/job/{grouping}", ""),
    ("/metrics/job@base64/{grouping}", ""),
];
/// Paths whose answers do not.
const SHOW_NOTHING: [&str; 8] = [
    "/",
    "/health",
    "/ready",
    "/-/healthy",
    "/-/ready",
    "/checkpoint/key",
    "/api-docs/openapi.json",
    "/swagger-ui",
];
/// Other forms of some of them.
const FORMS: [&str; 11] = [
    "/status?stale=0",
    "/status?at=2026-04-26T11:30:00Z",
    "/status/g?known_at=2026-04-26T11:30:00Z",
    "/status/g/h?at=2026-04-26T11:30:00Z",
    "/summary",
    "/history?format=csv",
    "/history?format=ndjson",
    "/history?limit=1",
    "/episodes?format=csv&as_of=1",
    "/episodes?format=ndjson",
    "/reviews/2026-04?format=csv&as_of=2",
];

/// A server with three entries of one host, which drifts.
fn server() -> Server {
    let server = Server::start();
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    for minute in 1..3 {
        let time = format!("2026-04-26T11:0{minute}:00Z");
        server.cron(&check("g", "h", "out_of_sync", &time));
    }
    server
}

fn reads() -> impl Iterator<Item = &'static str> {
    let paths = SHOW.iter().map(|(_, path)| *path).filter(|path| !path.is_empty());
    paths.chain(FORMS)
}

/// The path with a further parameter.
fn asking(path: &str, parameter: &str) -> String {
    let and = if path.contains('?') { '&' } else { '?' };
    format!("{path}{and}{parameter}")
}

fn position(answer: &Answer) -> Option<u64> {
    answer.headers.get("gitops-position").map(|value| value.to_str().unwrap().parse().unwrap())
}

fn known(answer: &Answer) -> u64 {
    assert!(answer.status < 400, "{} {}", answer.status, answer.text());
    position(answer).expect("the answer says what it knows")
}

#[test]
fn every_route_says_whether_it_shows_the_history_and_the_document_says_the_same() {
    let document = serde_json::from_str(gitops_status_server::http::document()).unwrap();
    let mut paths = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let place = format!("{method} {path}");
        let shows = SHOW.iter().any(|(shown, _)| *shown == path);
        assert_ne!(shows, SHOW_NOTHING.contains(&path.as_str()), "{place}: say which it is");
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let at_least = parameters.iter().filter(|parameter| parameter["name"] == "at_least");
        assert_eq!(at_least.count(), usize::from(shows), "{place}");
        for (status, response) in operation["responses"].as_object().unwrap() {
            let header = &response["headers"]["Gitops-Position"];
            let wanted = shows && (status.starts_with('2') || status == "304");
            assert_eq!(header.is_object(), wanted, "{place}: {status}");
        }
        for status in ["400", "503"].iter().filter(|_| shows) {
            let description = &operation["responses"][status]["description"];
            assert!(description.as_str().unwrap().contains("`at_least`"), "{place}: {status}");
        }
        paths.insert(path);
    }
    for (path, _) in SHOW {
        // Documented as /status/{server_group} and /metrics/job/{grouping}.
        let alias = path.contains("@base64");
        assert!(alias || paths.contains(path), "{path}");
    }
}

#[test]
fn every_answer_that_shows_the_history_says_what_it_knows() {
    let server = server();
    for path in reads() {
        let answer = server.get(path);
        assert_eq!(known(&answer), 3, "{path}");
        let head = server.send("HEAD", path, &[], None);
        assert_eq!(known(&head), 3, "HEAD {path}");
        let etag = answer.header("etag");
        if !etag.is_empty() {
            let same = server.get_with(path, &[("If-None-Match", etag)]);
            assert_eq!((same.status, known(&same)), (304, 3), "{path}");
        }
    }
    let others = SHOW_NOTHING.iter().copied().chain(["/swagger-ui/"]);
    for path in others {
        let answer = server.get(&asking(path, "at_least=none"));
        assert!(answer.status < 400, "{path} takes no such parameter, and ignores it");
        assert_eq!(position(&answer), None, "{path}");
    }
}

#[test]
fn receipts_say_it_too_and_every_later_answer_knows_them() {
    let server = server();
    let report = pipeline_report("g", "i", "2026-04-26T11:30:00Z");
    let answer = server.post("/status/pipeline", &report);
    assert_eq!(known(&answer), 4);
    assert_eq!(answer.ok()["report"]["id"], "4");
    for path in reads() {
        assert_eq!(known(&server.get(path)), 4, "{path}");
    }
    let array: Value = (5..=7).map(|_| json!({"server_group":"g","host":"i"})).collect();
    assert_eq!(known(&server.post("/status/cron", &array)), 7);
    let again = server.post("/status/pipeline", &report);
    assert_eq!(known(&again), 7, "a repeated report knows more than its old receipt");
    assert_eq!(again.ok()["report"]["id"], "4");
    let v1 = json!({"repo":"g","server":"h","sync_status":"SYNCED"});
    assert_eq!(known(&server.post("/api/status", &v1)), 8);
    let alias = json!({"alias_of":{"server_group":"g","host":"i"}});
    assert_eq!(known(&server.post("/hosts/g/j/alias", &alias)), 9);
    assert_eq!(known(&server.post("/hosts/g/h/retire", &json!({}))), 10);
    let stacks = b"drift_stack_state{stack=\"vpc\"} 0\ndrift_stack_state{stack=\"dns\"} 1\n";
    for (method, path, body, position) in [
        ("PUT", "/metrics/job/nightly", &stacks[..], 12),
        ("POST", "/metrics/job/nightly", b"up 1\n", 12),
        ("DELETE", "/metrics/job/nightly", b"", 14),
        ("PUT", "/metrics/job@base64/bmlnaHRseQ", &stacks[..], 16),
    ] {
        let answer = server.send(method, path, &[], Some(body));
        assert_eq!(known(&answer), position, "{method} {path}");
    }
    assert_eq!(known(&server.get("/status")), 16);
}

#[test]
fn problems_say_nothing_of_it() {
    let server = server();
    for path in ["/status/g/none", "/history?status=none", "/episodes/9", "/proof/9", "/none"] {
        let answer = server.get(path);
        assert!(answer.status >= 400, "{path}");
        assert_eq!(position(&answer), None, "{path}");
    }
    assert_eq!(position(&server.post("/status/cron", &json!({}))), None);
}

#[test]
fn it_is_no_part_of_what_the_etag_covers() {
    let server = server();
    let before = server.get("/status/g/h");
    server.pipeline(&pipeline_report("other", "h", "2026-04-26T11:30:00Z"));
    let after = server.get_with("/status/g/h", &[("If-None-Match", before.header("etag"))]);
    assert_eq!((after.status, known(&before), known(&after)), (304, 3, 4));
}

#[test]
fn a_walk_names_what_there_is_now_and_shows_what_there_was() {
    let server = server();
    let first = server.json("/history?limit=1");
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:30Z"));
    let next = format!("/history?limit=2&cursor={}", first["next_cursor"].as_str().unwrap());
    for next in [next.clone(), asking(&next, "at_least=4")] {
        let answer = server.get(&next);
        assert_eq!(known(&answer), 4);
        let ids = |item: &Value| item["id"].as_str().unwrap().to_owned();
        let items: Vec<String> = answer.ok()["items"].as_array().unwrap().iter().map(ids).collect();
        assert_eq!(items, ["2", "1"]);
    }
}

#[test]
fn what_is_there_is_answered_as_if_it_were_not_asked_for() {
    let server = server();
    for path in reads() {
        let plain = server.get(path);
        for there in ["at_least=", "at_least=0", "at_least=3", "at%5Fleast=003"] {
            let answer = server.get(&asking(path, there));
            assert_eq!(known(&answer), 3, "{path} {there}");
            // The metrics count the requests, too.
            assert!(path == "/metrics" || answer.body == plain.body, "{path} {there}");
        }
    }
    let report = pipeline_report("g", "i", "2026-04-26T11:30:00Z");
    assert_eq!(known(&server.post("/status/pipeline?at_least=3", &report)), 4);
}

#[test]
fn what_is_no_id_is_refused_before_anything_is_done() {
    let server = server();
    for wrong in ["x", "-1", "%2B1", "1.0", "9223372036854775808", "1&at_least=1"] {
        let wrong = format!("at_least={wrong}");
        for path in reads() {
            let answer = server.get(&asking(path, &wrong));
            assert_eq!(answer.wrong_fields(), ["at_least"], "{path} {wrong}");
        }
        let report = pipeline_report("g", "i", "2026-04-26T11:30:00Z");
        for path in ["/status/pipeline", "/status/cron", "/api/status", "/hosts/g/h/retire"] {
            let answer = server.post(&asking(path, &wrong), &report);
            assert_eq!(answer.wrong_fields(), ["at_least"], "{path} {wrong}");
        }
        let push = server.send("PUT", &asking("/metrics/job/j", &wrong), &[], Some(b"up 1\n"));
        assert_eq!(push.wrong_fields(), ["at_least"], "{wrong}");
    }
    assert_eq!(known(&server.get("/status")), 3, "nothing was stored");
    let listed = &server.json("/rejections")[0]["reason"];
    assert!(listed.as_str().unwrap().starts_with("400: at_least: "), "{listed}");
    let near = server.get("/history?atleast=1").problem(400);
    assert!(near["detail"].as_str().unwrap().ends_with(", at_least"), "{near}");
}

#[test]
fn an_entry_that_does_not_come_is_waited_for_one_second() {
    let server = server();
    let begun = Instant::now();
    let report = pipeline_report("g", "i", "2026-04-26T11:30:00Z");
    std::thread::scope(|scope| {
        let read = scope.spawn(|| server.get("/timeline?at_least=4"));
        let written = scope.spawn(|| server.post("/status/pipeline?at_least=4", &report));
        for answer in [read, written].map(|asked| asked.join().unwrap()) {
            assert!(begun.elapsed() >= Duration::from_secs(1));
            let problem = answer.problem(503);
            assert_eq!(problem["type"], "urn:gitops-status-server:problem:behind");
            assert_eq!(answer.header("retry-after"), "1");
            assert_eq!(position(&answer), None);
        }
    });
    assert_eq!(known(&server.get("/status")), 3, "nothing was stored");
}

#[test]
fn waiting_ends_with_the_entry_and_holds_nobody_up() {
    let server = server();
    let patient = |path: &str| {
        let begun = Instant::now();
        loop {
            let answer = server.get(&asking(path, "at_least=5"));
            assert!(begun.elapsed() < DEADLINE, "{path}: the entry is there, and nobody says so");
            if answer.status != 503 {
                return known(&answer);
            }
            assert_eq!(answer.header("retry-after"), "1");
        }
    };
    // One worker, and more who wait than there are connections to the database.
    let paths = ["/status", "/history?format=ndjson", "/timeline", "/reviews/2026-04"].repeat(4);
    std::thread::scope(|scope| {
        let waiting: Vec<_> = paths.iter().map(|path| scope.spawn(|| patient(path))).collect();
        for id in 4..=5 {
            assert_eq!(known(&server.get("/timeline")), id - 1);
            server.cron(&json!({"server_group":"g","host":"h"}));
        }
        for waited in waiting {
            assert_eq!(waited.join().unwrap(), 5);
        }
    });
}
