//! Requests that come while others are written share a transaction, and stand on each other. Nobody can
//! tell; and if what they stand on does not go through, they do not either.

use crate::courses::verdict;
use crate::harness::{Answer, Client, FrozenClock, Server, check, pipeline_report};
use crate::process::while_open;
use serde_json::{Value, json};
use std::time::Duration;

/// A request: its path, its Idempotency-Key, and its body.
type Request = (&'static str, Option<&'static str>, Value);

const PIPELINE: &str = "/status/pipeline";
const CRON: &str = "/status/cron";

fn send(client: &Client, (path, key, body): &Request) -> Answer {
    let key = key.map(|key| ("Idempotency-Key", key));
    client.post_with(path, key.as_slice(), body)
}

/// Sends requests one after the other, without waiting for answers, while nothing can be written; answers
/// what they get then. `held`: how long nothing can be written after the last.
fn send_amid_writing(server: &Server, requests: &[Request], gap: u64, held: u64) -> Vec<Answer> {
    let senders = while_open(&server.database(), "BEGIN IMMEDIATE", || {
        let senders: Vec<_> = requests
            .iter()
            .map(|request| {
                let (client, request) = (Client::new(server.address), request.clone());
                let sender = std::thread::spawn(move || send(&client, &request));
                std::thread::sleep(Duration::from_millis(gap));
                sender
            })
            .collect();
        std::thread::sleep(Duration::from_millis(held));
        senders
    });
    senders.into_iter().map(|sender| sender.join().unwrap()).collect()
}

/// What an answer says, but for what differs from server to server, and near names, which are those there
/// are by then.
fn said(answer: &Answer) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(members) => {
                for name in ["origin", "hash", "instance", "near", "detail"] {
                    members.remove(name);
                }
                members.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap();
    strip(&mut body);
    json!([answer.status, body])
}

fn history(server: &Server) -> Vec<Value> {
    let without_names = |mut line: Value| {
        for name in ["origin", "hash"] {
            line.as_object_mut().unwrap().remove(name);
        }
        line
    };
    server.lines().into_iter().map(without_names).collect()
}

/// A server that knows one host.
fn begun() -> Server {
    let server = Server::start();
    server.pipeline(&pipeline_report("g", "a", "2026-04-26T10:00:00Z"));
    server
}

/// Requests that come while the first is written are answered and stored as if each had come alone.
fn nobody_can_tell(requests: &[Request]) {
    let alone = begun();
    let expected: Vec<Value> =
        requests.iter().map(|request| said(&send(&alone, request))).collect();
    // On a busy machine requests may overtake each other. (All must be sent within the 5 s that SQLite
    // waits for.)
    for gap in [60, 200, 400] {
        let server = begun();
        let answers = send_amid_writing(&server, requests, gap, 0);
        let answers: Vec<Value> = answers.iter().map(said).collect();
        let verdict = verdict(&server);
        assert!(verdict.differences.is_empty(), "{:?}", verdict.differences);
        if answers == expected {
            assert_eq!(history(&server), history(&alone));
            return;
        }
        for (answer, expected) in answers.iter().zip(&expected) {
            assert!(gap < 400 || answer == expected, "{answer}\ninstead of\n{expected}");
        }
    }
}

fn at(minute: u32) -> String {
    format!("2026-04-26T11:{minute:02}:00Z")
}

/// Requests that come while the first is folded, with a slow clock that goes on, or back, whenever the
/// recorder looks at it.
fn taken_along(step: i64) -> Vec<String> {
    let tick = move |clock: &FrozenClock| {
        if std::thread::current().name() == Some("recorder") {
            std::thread::sleep(Duration::from_millis(100));
            clock.advance(step);
        }
    };
    let server = Server::ticking(&[], None, tick);
    let address = server.address;
    let send = |n: u64| {
        let report = pipeline_report("g", &format!("h{n}"), "2026-04-26T10:00:00Z");
        std::thread::sleep(Duration::from_millis(20 * n));
        assert_eq!(Client::new(address).post("/status/pipeline", &report).status, 200);
    };
    std::thread::scope(|scope| {
        for n in 0..12 {
            scope.spawn(move || send(n));
        }
    });
    let verdict = verdict(&server);
    assert!(verdict.differences.is_empty(), "{:?}", verdict.differences);
    let lines = server.lines();
    assert_eq!(lines.len(), 12);
    lines.iter().map(|line| line["received_at"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_comes_while_others_are_folded_has_its_own_time() {
    let times = taken_along(1);
    assert!(times.is_sorted(), "{times:?}");
    assert!(times.first() < times.last(), "{times:?}");
}

#[test]
fn a_clock_that_goes_back_meanwhile_is_not_believed() {
    let times = taken_along(-1);
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn hosts_are_known_to_the_requests_behind() {
    let drift = check("g", "b", "out_of_sync", &at(2));
    nobody_can_tell(&[
        (PIPELINE, None, pipeline_report("g", "b", &at(0))),
        (CRON, None, check("g", "b", "synced", &at(1))),
        (CRON, None, drift.clone()),
        (CRON, None, check("g", "nobody", "synced", &at(1))),
        (PIPELINE, None, pipeline_report("g", "c", &at(3))),
        (CRON, None, check("g", "a", "out_of_sync", &at(3))),
        (CRON, None, check("g", "c", "failed", &at(4))),
        // It must be looked up; what comes behind it comes behind it.
        (CRON, None, drift),
        (CRON, None, check("g", "b", "synced", &at(5))),
        (PIPELINE, None, pipeline_report("h", "d", &at(5))),
    ]);
}

#[test]
fn what_is_looked_up_is_found_in_the_same_batch_as_well() {
    let keyed = (CRON, Some("run-1"), check("g", "a", "synced", &at(3)));
    nobody_can_tell(&[
        keyed.clone(),
        (CRON, None, check("g", "a", "out_of_sync", &at(4))),
        keyed.clone(),
        (CRON, Some("run-1"), check("g", "a", "failed", &at(5))),
        // Late: what stands around it is asked for.
        (CRON, None, check("g", "a", "failed", &at(1))),
        (CRON, None, check("g", "a", "synced", &at(6))),
        keyed,
    ]);
}

#[test]
fn arrays_stand_on_each_other() {
    let first = check("g", "a", "synced", &at(1));
    let of = |host: &str, minute| pipeline_report("g", host, &at(minute));
    nobody_can_tell(&[
        (PIPELINE, None, json!([of("b", 1), of("c", 1), of("d", 1)])),
        (CRON, None, json!([first, check("g", "d", "out_of_sync", &at(2))])),
        // The second of these is asked for, after the first made a host.
        (PIPELINE, None, json!([of("e", 3), of("c", 1), of("f", 3)])),
        (CRON, None, json!([check("g", "e", "failed", &at(4)), check("g", "x", "synced", &at(4))])),
        (CRON, None, json!([check("g", "f", "failed", &at(4)), first])),
    ]);
}

#[test]
fn acts_keep_their_place() {
    nobody_can_tell(&[
        (PIPELINE, None, pipeline_report("g", "b", &at(1))),
        (CRON, None, check("g", "b", "out_of_sync", &at(2))),
        ("/hosts/g/b/retire", None, json!({"reason": "gone"})),
        (CRON, None, check("g", "b", "synced", &at(3))),
        ("/hosts/g/new/alias", None, json!({"alias_of": {"server_group": "g", "host": "a"}})),
        (CRON, None, check("g", "a", "out_of_sync", &at(4))),
        (CRON, None, check("g", "new", "synced", &at(5))),
    ]);
}

#[test]
fn what_comes_behind_a_batch_that_failed_does_not_stand_on_it() {
    let server = begun();
    let requests: Vec<Request> = vec![
        (PIPELINE, None, pipeline_report("g", "b", &at(1))),
        (CRON, None, check("g", "a", "out_of_sync", &at(2))),
        // Its host was to be made by the first.
        (CRON, None, check("g", "b", "synced", &at(3))),
        (PIPELINE, None, pipeline_report("g", "c", &at(4))),
    ];
    // SQLite waits for 5 s: the first is refused, and the others are written when the lock is gone.
    let answers = send_amid_writing(&server, &requests, 200, 5500);
    assert_eq!(answers[0].status, 503, "{}", answers[0].text());
    assert_eq!(answers[1].ok()["report"]["id"], "2");
    assert_eq!(answers[2].problem(404)["errors"][0]["field"], "host");
    assert_eq!(answers[3].ok()["report"]["id"], "3");
    assert_eq!(server.lines().len(), 3);
    let verdict = verdict(&server);
    assert!(verdict.differences.is_empty(), "{:?}", verdict.differences);
    assert_eq!(server.pipeline(&requests[0].2)["report"]["id"], "4");
}
