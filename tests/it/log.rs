//! SQLite's log (`-wal`) beside the database: it grows while somebody reads, and shrinks afterwards.

use crate::process::{Process, database, while_open};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
/// Bytes that the log keeps at most when nobody reads. A commit would fold it back by itself above.
const USUAL: u64 = 24 * MIB;

/// Writes reports with much to say, some 900 kB of them; `n` counts on.
fn write(server: &Process, n: &mut usize) {
    let report = |_| {
        *n += 1;
        json!({"server_group":"g","host":"h","status":"failed",
            "validation_message":format!("{n:05} ").repeat(10_000)})
    };
    let reports: Vec<Value> = (0..15).map(report).collect();
    server.post("/status/pipeline", &json!(reports)).ok();
}

/// Writes until the log has this many bytes.
fn fill(server: &Process, folder: &Path, bytes: u64) {
    let mut n = 0;
    while Process::bytes_of(folder, "-wal") < bytes {
        write(server, &mut n);
        assert!(n < 10_000, "the log does not grow");
    }
}

#[test]
fn the_log_is_folded_back_beside_the_commits() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(folder.path());
    let (mut n, mut longest) = (0, 0);
    for _ in 0..110 {
        write(&server, &mut n);
        longest = longest.max(Process::bytes_of(folder.path(), "-wal"));
    }
    assert!(longest < USUAL, "{longest} bytes");
    assert!(Process::bytes_of(folder.path(), "") > 32 * MIB, "what was folded back is in the file");
    server.kill();
    let server = Process::start(folder.path());
    assert_eq!(server.raw_lines().len(), n);
}

#[test]
fn the_log_shrinks_once_a_foreign_reader_is_gone_and_the_server_goes_on_all_the_while() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path());
    fill(&server, folder.path(), 5 * MIB);
    let path = database(folder.path());
    while_open(&path, "BEGIN; SELECT size FROM head", || {
        fill(&server, folder.path(), 100 * MIB);
        assert_eq!(server.get("/ready").status, 200);
        // The server tries once a second to fold the log back, and must not wait for the reader.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(2500) {
            let asked = Instant::now();
            server.cron(&json!({"server_group":"g","host":"h","status":"synced"}));
            assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        }
        assert!(Process::bytes_of(folder.path(), "-wal") > 100 * MIB, "the reader reads it");
    });
    // Without any further report.
    let begun = Instant::now();
    while Process::bytes_of(folder.path(), "-wal") > USUAL {
        assert!(begun.elapsed() < Duration::from_secs(15), "the log stays large");
        std::thread::sleep(Duration::from_millis(50));
    }
    let lines = server.lines().len();
    server.cron(&json!({"server_group":"g","host":"h","status":"synced"}));
    assert_eq!(server.lines().len(), lines + 1);
}

#[test]
fn what_kill_9_left_in_the_log_is_in_the_file_after_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(folder.path());
    fill(&server, folder.path(), 2 * MIB);
    let lines = server.raw_lines();
    server.kill();
    assert!(Process::bytes_of(folder.path(), "-wal") > 2 * MIB);
    let server = Process::start(folder.path());
    // What was left is in the file; the log holds no more than what the start itself has projected.
    assert!(Process::bytes_of(folder.path(), "-wal") < MIB / 4);
    assert_eq!(server.raw_lines(), lines);
}
