//! Bounds: on bytes, on waiting, on what is believed; and what a server does that has met them.

use crate::harness::{Server, check, pipeline_report, with};
use crate::process::{Process, database, run_with, url};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

fn files(count: usize, bytes: usize) -> Value {
    (0..count).map(|at| format!("{at:0>bytes$}")).collect()
}

/// Runs statements on a file, behind the server's back.
fn sql(path: &Path, statements: &str) {
    actix_web::rt::System::new().block_on(async {
        let options = SqliteConnectOptions::new().filename(path);
        let mut connection = options.connect().await.unwrap();
        let statements = AssertSqlSafe(statements.to_owned());
        sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

#[test]
fn a_page_is_cut_by_its_bytes_and_the_walk_goes_on() {
    let server = Server::start();
    for at in 0..24 {
        let report = with(
            pipeline_report("g", "h", &format!("2026-04-26T11:00:{at:02}Z")),
            &json!({"status":"out_of_sync","changed_files":files(230, 4000),"commit_sha":at.to_string()}),
        );
        server.pipeline(&report);
    }
    let (mut seen, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let answer = server.get(&format!("/history?limit=10000&cursor={cursor}"));
        assert!(answer.body.len() < 20 << 20, "{}", answer.body.len());
        let page = answer.ok();
        let ids = page["items"].as_array().unwrap().iter().map(|item| item["id"].clone());
        seen.extend(ids);
        pages += 1;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    let all: Vec<Value> = (1..=24).rev().map(|id| json!(id.to_string())).collect();
    assert_eq!(seen, all);
    assert!((3..8).contains(&pages), "{pages}");
    assert_eq!(server.get("/history?format=ndjson").text().lines().count(), 24);
}

#[test]
fn the_answer_to_an_array_that_repeats_many_files_is_whole() {
    let server = Server::start();
    let big = json!({"server_group":"g","host":"h","status":"out_of_sync",
        "changed_files":files(100, 4000)});
    let bare = json!({"server_group":"g","host":"h"});
    let array: Vec<Value> = std::iter::once(big).chain(std::iter::repeat_n(bare, 20)).collect();
    let answer = server.post("/status/cron?create=true", &json!(array)).ok();
    assert_eq!(answer["success"], true);
    assert_eq!(answer["warnings"], json!([]));
    let (rows, reports) = (answer["statuses"].as_array().unwrap(), &answer["reports"]);
    assert_eq!((rows.len(), reports.as_array().unwrap().len()), (21, 21));
    assert!(rows.iter().all(|row| row["changed_files_count"] == 100));
    let keys = |row: &Value| row.as_object().unwrap().len();
    assert_eq!(keys(&rows[20]), keys(&server.json("/status/g/h")));
}

#[test]
fn a_question_that_takes_too_long_is_told_to_be_narrower() {
    let server = Server::with(&["--read-deadline", "1ms"]);
    for part in 0..8 {
        let report = |at: i32| {
            check("g", "h", "synced", &format!("2026-04-2{part}T11:{:02}:{:02}Z", at / 60, at % 60))
        };
        let reports: Vec<Value> = (0..1000).map(report).collect();
        server.post("/status/cron?create=true", &json!(reports)).ok();
    }
    for format in ["json", "csv", "ndjson"] {
        let problem = server.get(&format!("/history?file=nowhere*&format={format}")).problem(400);
        assert!(problem["detail"].as_str().unwrap().contains("narrow"), "{problem}");
    }
    assert_eq!(server.json("/history?limit=1")["items"].as_array().unwrap().len(), 1);
    assert_eq!(server.get("/ready").status, 200);
}

#[test]
fn a_key_covers_the_body_however_hosts_may_be_created() {
    let server = Server::start();
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    let body = json!({"server_group":"g","host":"h"});
    let send = |path: &str| {
        let headers = [("content-type", "application/json"), ("idempotency-key", "k")];
        server.send("POST", path, &headers, Some(body.to_string().as_bytes()))
    };
    assert_eq!(send("/status/cron").ok()["report"]["duplicate"], false);
    assert_eq!(send("/status/cron?create=true").ok()["report"]["duplicate"], true);
    let pipeline = json!({"server_group":"g","host":"h","status":"synced"});
    let headers = [("content-type", "application/json"), ("idempotency-key", "k")];
    let other =
        server.send("POST", "/status/pipeline", &headers, Some(pipeline.to_string().as_bytes()));
    other.problem(409);
}

#[test]
fn every_wrong_file_and_label_is_named_at_once() {
    let server = Server::start();
    let report = with(
        pipeline_report("g", "h", "2026-04-26T11:00:00Z"),
        &json!({"changed_files":["/a", 7, {"path":""}, {"path":"/b","kind":"gone"}],
            "labels":{"":"x","b":"","c":3}}),
    );
    let problem = server.post("/status/pipeline", &report).problem(400);
    let fields: Vec<&str> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["field"].as_str().unwrap())
        .collect();
    assert_eq!(
        fields,
        ["changed_files[1]", "changed_files[2]", "changed_files[3]", "labels", "labels", "labels"]
    );
}

#[test]
fn a_body_may_be_nested_128_levels_deep_and_no_deeper() {
    let server = Server::start();
    let nested = |levels: usize| {
        let inner = format!("{}{}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        format!(r#"{{"server_group":"g","host":"h","status":"synced","more":{inner}}}"#)
    };
    let send = |levels| {
        let headers = [("content-type", "application/json")];
        server.send("POST", "/status/pipeline", &headers, Some(nested(levels).as_bytes()))
    };
    send(128).ok();
    let problem = send(129).problem(400);
    assert!(problem["detail"].as_str().unwrap().contains("128"), "{problem}");
}

#[test]
fn one_damaged_entry_stops_only_the_report_that_repeats_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(folder.path());
    let (first, second) = (
        check("g", "h", "synced", "2026-04-26T11:00:00Z"),
        // From here on nothing of the first is in force.
        with(
            check("g", "h", "out_of_sync", "2026-04-26T11:30:00Z"),
            &json!({"changed_files":["/a"]}),
        ),
    );
    server.post("/status/cron?create=true", &first).ok();
    server.post("/status/cron", &second).ok();
    assert!(server.stop().success());
    sql(
        &database(folder.path()),
        "DROP TRIGGER content_no_update; UPDATE content SET changed_files = '[7' WHERE id = 1;",
    );
    let server = Process::start(folder.path());
    assert_eq!(server.post("/status/cron", &first).status, 503);
    server.post("/status/cron", &check("g", "h", "synced", "2026-04-26T11:45:00Z")).ok();
    assert_eq!(server.get("/ready").status, 200);
}

#[test]
fn a_log_without_its_database_is_not_taken_for_a_new_history() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = database(folder.path()).into_os_string();
    log.push("-wal");
    std::fs::create_dir_all(database(folder.path()).parent().unwrap()).unwrap();
    std::fs::write(&log, b"left over").unwrap();
    let url = url(folder.path());
    let (code, said) = run_with(folder.path(), &[("DATABASE_URL", &url), ("API_PORT", "0")], &[]);
    assert_eq!(code, 1);
    assert!(said.contains("-wal: a log of SQLite's without its database"), "{said}");
    assert_eq!(std::fs::read(&log).unwrap(), b"left over");
    assert!(!database(folder.path()).exists());
}

/// A report in a body of so many bytes.
fn body_of(bytes: usize) -> Vec<u8> {
    let report = json!({"server_group":"g","host":"h","status":"synced"});
    let mut body = report.to_string().into_bytes();
    body.resize(bytes.max(body.len()), b' ');
    body
}

/// A client that stops one byte before the end of the largest body there may be.
fn unfinished(server: &Process) -> TcpStream {
    let body = body_of(1 << 20);
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let head = "POST /status/pipeline HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    write!(stream, "{head}Content-Length: {}\r\n\r\n", body.len()).unwrap();
    stream.write_all(&body[..body.len() - 1]).unwrap();
    stream
}

/// Whether no connection to the port has bytes under way.
fn all_is_read(port: u16) -> bool {
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{port:04X}");
    sockets
        .lines()
        .filter(|line| line.contains(&port))
        .all(|line| line.contains(" 00000000:00000000 "))
}

#[test]
fn small_reports_go_through_beside_unfinished_large_ones_and_refusals_are_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let script = "RUST_LOG=info exec \"$0\" 2>log";
    let server = Process::wrapped(folder.path(), script);
    let send = |bytes| server.post_bytes("/status/pipeline", &[], &body_of(bytes)).status;
    // 17 times all but the first 64 KiB of 1 MiB leave no room in 16 MiB for another.
    let held: Vec<TcpStream> = (0..17).map(|_| unfinished(&server)).collect();
    let begun = Instant::now();
    while !all_is_read(server.port) {
        assert!(begun.elapsed() < Duration::from_secs(5), "the server does not read");
    }
    for _ in 0..10 {
        assert_eq!((send(100), send(64 << 10), send(1 << 20)), (200, 200, 503));
    }
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("gitops_overload_refusals_total{what=\"bodies\"} 10\n"), "{metrics}");
    drop(held);
    let begun = Instant::now();
    while send(1 << 20) != 200 {
        assert!(begun.elapsed() < Duration::from_secs(5), "the room is not given back");
    }
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert_eq!(log.matches("too many at once").count(), 1, "{log}");
    assert!(log.contains(" WARN ") && !log.contains("ERROR"), "{log}");
}
