//! The database cannot be written: nothing is acknowledged, reads go on, and it heals by itself.

use crate::harness::{Server, check, pipeline_report};
use crate::process::{Process, database, refused, run_with, url};
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Holds the write lock of a database while `work` runs.
fn while_locked<T>(path: &Path, work: impl FnOnce() -> T) -> T {
    actix_web::rt::System::new().block_on(async {
        let mut connection: SqliteConnection =
            SqliteConnectOptions::new().filename(path).connect().await.unwrap();
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
        let result = work();
        sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        result
    })
}

#[test]
fn a_locked_database_is_503_and_stores_nothing_until_the_lock_is_gone() {
    let server = Server::start();
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    let report = check("g", "h", "out_of_sync", "2026-04-26T11:30:00Z");
    while_locked(&server.database(), || {
        let refused = server.post("/status/cron", &report);
        let body = refused.problem(503);
        assert!(!refused.header("retry-after").is_empty());
        assert_eq!(body["type"], "urn:gitops-status-server:problem:unavailable");
        assert_eq!(body.get("stored"), None, "it is surely not stored");
        assert_eq!(server.row("g", "h")["status"], "synced", "reads go on");
        assert_eq!(server.get("/health").status, 200);
        assert_eq!(server.get("/ready").status, 503);
    });
    assert_eq!(server.get("/ready").status, 200);
    assert_eq!(server.cron(&report)["report"]["id"], "2", "a refused batch leaves no hole");
    assert_eq!(server.lines().len(), 2);
}

#[test]
fn an_import_beside_a_running_server_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path());
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    let file = folder.path().join("status.json");
    std::fs::write(
        &file,
        r#"{"version":"2.0","servers":{"old/host":{"status":"out_of_sync","timestamp":"2026-04-26T10:00:00Z"}}}"#,
    )
    .unwrap();
    let settings = [("DATABASE_URL", url(folder.path()))];
    let settings = [(settings[0].0, settings[0].1.as_str())];
    let (code, said) = run_with(folder.path(), &settings, &["import", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
    // The very next report comes on top of what the other process wrote.
    assert_eq!(
        server.cron(&check("g", "h", "synced", "2026-04-26T11:30:00Z"))["report"]["id"],
        "3"
    );
    assert_eq!(server.row("old", "host")["status"], "out_of_sync");
    assert_eq!(server.lines().len(), 3);
    // And without a report, readers see a second import soon.
    std::fs::write(&file, r#"{"servers":{"old/other":{"status":"synced"}}}"#).unwrap();
    let (code, said) = run_with(folder.path(), &settings, &["import", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
    let begun = Instant::now();
    while server.get("/status/old/other").status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(10), "the import was not noticed");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The database itself keeps those apart who write at once.
#[test]
fn two_writers_on_one_file_never_lose_or_double_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path());
    let url = url(folder.path());
    let settings = [("DATABASE_URL", url.as_str())];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..40 {
                let report = json!({"server_group": "g", "host": format!("h{}", n % 4),
                    "status": "synced", "run_id": n.to_string()});
                // They get into each other's way; what the server refuses it has not stored.
                while server.post("/status/pipeline", &report).status != 200 {}
            }
        });
        for n in 0..10 {
            let file = folder.path().join("status.json");
            let hosts = json!({format!("old/{n}"): {"status": "synced"}, format!("old/x{n}"): {"status": "failed"}});
            std::fs::write(&file, json!({"servers": hosts}).to_string()).unwrap();
            let (code, said) =
                run_with(folder.path(), &settings, &["import", file.to_str().unwrap()]);
            assert_eq!(code, 0, "{said}");
        }
    });
    // The server sees the last import within a second or so.
    let begun = Instant::now();
    let mut lines = server.lines();
    while lines.len() < 60 && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(50));
        lines = server.lines();
    }
    let ids: Vec<String> = lines.iter().map(|line| line["id"].as_str().unwrap().into()).collect();
    let dense: Vec<String> = (1..=60).map(|id| id.to_string()).collect();
    assert_eq!(ids, dense);
}

/// The lock lies on the database file as well, which cannot be had twice.
#[test]
fn a_lock_file_that_was_removed_lets_no_second_server_in() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path());
    std::fs::remove_file(folder.path().join("history.db.lock")).unwrap();
    let said = refused(folder.path());
    assert!(said.contains("in use by a process that knows it by another name"), "{said}");
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:30:00Z"));
    assert_eq!(server.lines().len(), 1);
}

/// Whoever comes late has to wait for those who write all the time, but not for ever.
#[test]
fn an_import_beside_a_busy_server_gets_its_turn() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path());
    let stop = AtomicBool::new(false);
    let settings = [("DATABASE_URL", url(folder.path()))];
    let settings = [(settings[0].0, settings[0].1.as_str())];
    std::thread::scope(|scope| {
        for n in 0..3 {
            let (client, stop) = (server.client.clone(), &stop);
            scope.spawn(move || {
                let report =
                    json!({"server_group": "g", "host": format!("h{n}"), "status": "synced"});
                while !stop.load(Ordering::Relaxed) {
                    client.pipeline(&report);
                }
            });
        }
        for round in 0..3 {
            let servers: serde_json::Map<_, _> = (0..500)
                .map(|n| (format!("old/{round}-{n}"), json!({"status": "synced"})))
                .collect();
            let file = folder.path().join("status.json");
            std::fs::write(&file, json!({"servers": servers}).to_string()).unwrap();
            let file = file.to_str().unwrap().to_owned();
            let (code, said) = run_with(folder.path(), &settings, &["import", &file]);
            stop.store(code != 0 || round == 2, Ordering::Relaxed);
            assert_eq!(code, 0, "{said}");
        }
    });
    let imported = server.lines().iter().filter(|line| line["source"] == "import").count();
    assert_eq!(imported, 1500);
}

/// The limit on the size of a process's files: what it writes beyond fails, as on a full disk.
fn limit(server: &Process, bytes: &str) {
    let pid = server.id().to_string();
    let limit = format!("--fsize={bytes}:unlimited");
    let set = std::process::Command::new("prlimit").args(["--pid", &pid, &limit]).status();
    assert!(set.expect("prlimit (util-linux) is needed").success());
}

/// Unlike a full disk, the limit also sends a signal, which would end the process.
const UNLESS_SIGNALLED: &str = "trap '' XFSZ; exec \"$0\"";

fn wal_bytes(folder: &Path) -> u64 {
    let path = format!("{}-wal", database(folder).display());
    std::fs::metadata(path).map_or(0, |file| file.len())
}

/// A write that the system refuses is answered 503, and the server takes reports again once there is room.
#[test]
fn a_file_that_may_not_grow_is_503_and_heals() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::wrapped(folder.path(), UNLESS_SIGNALLED);
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    limit(&server, &wal_bytes(folder.path()).max(4096).to_string());
    let mut refused = 0;
    for n in 0..5 {
        let body = json!({"server_group": "g", "host": "h", "status": "failed", "run_id": format!("r{n}"),
            "validation_message": "x".repeat(20_000)});
        let answer = server.post("/status/pipeline", &body);
        refused += usize::from(answer.status == 503);
        assert!(answer.status == 200 || answer.status == 503, "{}", answer.text());
    }
    assert!(refused > 0, "the limit was never met");
    assert_eq!(server.get("/status").status, 200, "reads go on");
    let stored = server.lines().len();
    assert_eq!(stored, 6 - refused, "what was refused is not there, what was taken is");
    limit(&server, "unlimited");
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:30:00Z"));
    assert_eq!(server.lines().len(), stored + 1);
    assert_eq!(server.get("/ready").status, 200);
}

/// The numbers of a batch that failed go to others. A late report's batch reads its own rows before it
/// commits; what it read must not be remembered when it fails.
#[test]
fn what_a_failed_batch_has_read_of_itself_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::wrapped(folder.path(), UNLESS_SIGNALLED);
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    limit(&server, &wal_bytes(folder.path()).max(4096).to_string());
    let late = |minute: u32, file: &str| {
        json!({"server_group": "g", "host": "h", "status": "out_of_sync", "changed_files": [file],
            "last_cron_check": format!("2026-04-26T10:{minute:02}:00Z")})
    };
    server.post("/status/cron", &late(10, "refused")).problem(503);
    limit(&server, "unlimited");
    let taken = server.cron(&late(20, "taken"));
    let line = &server.raw_lines()[1];
    assert!(line.contains("taken"), "{line}");
    assert_eq!(crate::receipts::leaf_hash(line), taken["report"]["hash"].as_str().unwrap());
    assert_eq!(server.json("/episodes")["items"][0]["changed_files"], json!(["taken"]));
}
