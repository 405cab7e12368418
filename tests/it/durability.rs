//! A 2xx is a promise: kill -9 at any moment loses nothing that was acknowledged.

use crate::harness::Client;
use crate::process::Process;
use crate::receipts::leaf_hash;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const ROUNDS: usize = 20;
const CLIENTS: usize = 8;
const LOAD: Duration = Duration::from_millis(300);

/// What the clients know.
#[derive(Default)]
struct Ledger {
    next: AtomicU64,
    /// Acknowledged: the report's own number, by the id and hash of its receipt.
    acknowledged: Mutex<BTreeMap<u64, (String, u64)>>,
}

impl Ledger {
    fn note(&self, receipt: &Value, number: u64) {
        let id: u64 = receipt["id"].as_str().unwrap().parse().unwrap();
        let hash = receipt["hash"].as_str().unwrap().to_owned();
        let before = self.acknowledged.lock().unwrap().insert(id, (hash, number));
        assert_eq!(before, None, "id {id} was given twice");
    }
}

/// Reports until told to stop or the server is gone; every third request is an array.
fn report(client: &Client, ledger: &Ledger, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let count = if ledger.next.load(Ordering::Relaxed).is_multiple_of(3) { 3 } else { 1 };
        let numbers: Vec<u64> =
            (0..count).map(|_| ledger.next.fetch_add(1, Ordering::Relaxed)).collect();
        let report = |number: &u64| {
            json!({"server_group":"g","host":format!("h{}", number % 5),"status":"out_of_sync",
                "commit_sha":number.to_string()})
        };
        let body = json!(numbers.iter().map(report).collect::<Vec<_>>()).to_string();
        let json = [("Content-Type", "application/json")];
        let sent = client.try_send("POST", "/status/pipeline", &json, Some(body.as_bytes()));
        let Ok(answer) = sent else { return };
        let receipts = answer.ok()["reports"].take();
        for (number, receipt) in numbers.iter().zip(receipts.as_array().unwrap()) {
            ledger.note(receipt, *number);
        }
    }
}

/// One round: load, then kill -9 in the middle of it.
fn round(server: &mut Process, ledger: &Ledger) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let client = server.client.clone();
        for _ in 0..CLIENTS {
            let (client, stop) = (client.clone(), &stop);
            scope.spawn(move || report(&client, ledger, stop));
        }
        std::thread::sleep(LOAD);
        server.kill();
        stop.store(true, Ordering::Relaxed);
    });
}

/// Every acknowledged report is there once, ids are dense, nothing was invented.
fn audit(server: &Process, ledger: &Ledger) -> usize {
    let lines = server.raw_lines();
    let acknowledged = ledger.acknowledged.lock().unwrap();
    let mut numbers = BTreeSet::new();
    for (at, line) in lines.iter().enumerate() {
        let parsed: Value = serde_json::from_str(line).unwrap();
        assert_eq!(parsed["id"], (at + 1).to_string(), "ids are dense");
        let number: u64 = parsed["commit_sha"].as_str().unwrap().parse().unwrap();
        assert!(number < ledger.next.load(Ordering::Relaxed), "{number} was never sent");
        assert!(numbers.insert(number), "{number} is there twice");
        if let Some((hash, sent)) = acknowledged.get(&(at as u64 + 1)) {
            assert_eq!((leaf_hash(line), number), (hash.clone(), *sent));
        }
    }
    let last = acknowledged.last_key_value().map_or(0, |(id, _)| *id);
    assert!(last <= lines.len() as u64, "acknowledged {last}, kept {}", lines.len());
    lines.len()
}

#[test]
fn kill_9_under_load_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::default();
    for _ in 0..ROUNDS {
        let mut server = Process::start(folder.path());
        round(&mut server, &ledger);
    }
    let server = Process::start(folder.path());
    let kept = audit(&server, &ledger);
    let acknowledged = ledger.acknowledged.lock().unwrap().len();
    assert!(acknowledged >= ROUNDS * CLIENTS, "the load was too light to tell: {acknowledged}");
    let rows = server.json("/status");
    let reports: u64 =
        rows.as_array().unwrap().iter().map(|row| row["reports"].as_u64().unwrap()).sum();
    assert_eq!(reports, kept as u64, "the states were folded from the very history");
}

#[test]
fn refusals_keys_and_retries_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(folder.path());
    let unknown = json!({"server_group":"g","host":"nobody"});
    server.post("/status/cron", &unknown).problem(404);
    let report = json!({"server_group":"g","host":"h","status":"failed"});
    let key = [("Idempotency-Key", "k")];
    let first = server.post_with("/status/pipeline", &key, &report).ok();
    let timed = json!({"server_group":"g","host":"h","status":"failed",
        "last_pipeline_run":"2026-04-26T10:00:00Z"});
    let second = server.pipeline(&timed);
    let before = (server.json("/status"), server.raw_lines(), server.json("/rejections"));
    assert!(server.stop().success());

    let settings = [("STALE_AFTER", "1h"), ("STALE_AFTER_GROUPS", "g=2h")];
    let server = Process::with(folder.path(), &settings);
    assert_eq!((server.json("/status"), server.raw_lines(), server.json("/rejections")), before);
    assert_eq!(before.2[0]["host"], "nobody");
    let again = server.post_with("/status/pipeline", &key, &report).ok();
    assert_eq!(again["report"]["duplicate"], true);
    assert_eq!(again["report"]["hash"], first["report"]["hash"]);
    let again = server.pipeline(&timed);
    assert_eq!(again["report"]["duplicate"], true, "another stamp is not another report");
    assert_eq!(again["report"]["hash"], second["report"]["hash"]);
    let other = json!({"server_group":"g","host":"h","status":"synced"});
    server.post_with("/status/pipeline", &key, &other).problem(409);
    assert_eq!(server.raw_lines().len(), 2);
    assert_eq!(server.pipeline(&other)["report"]["id"], "3");
}

#[test]
fn a_stop_signal_finishes_in_order() {
    for signal in ["-TERM", "-INT"] {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Process::start(folder.path());
        server.pipeline(&json!({"server_group":"g","host":"h","status":"failed"}));
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0), "{signal}");
        let mut left = crate::process::database(folder.path()).into_os_string();
        left.push("-wal");
        assert!(!std::path::Path::new(&left).exists(), "{signal}: the WAL was not folded back");
    }
}

#[test]
fn what_is_in_flight_at_a_stop_signal_is_answered_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::default();
    let stop = AtomicBool::new(false);
    let mut server = Process::start(folder.path());
    let client = server.client.clone();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| report(&client, &ledger, &stop));
        }
        std::thread::sleep(LOAD);
        assert_eq!(server.stop().code(), Some(0));
    });
    let server = Process::start(folder.path());
    audit(&server, &ledger);
}
