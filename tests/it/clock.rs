//! A clock that is wrong: nothing is recorded at a wrong time, reads go on, and everybody is told.

use crate::harness::{Answer, FrozenClock, NOW, Server, check, pipeline_report};
use crate::process::{SERVE, binary, command, database, url};
use gitops_status_server::commands::{Database, Manner};
use gitops_status_server::domain::max_age::StaleAfter;
use gitops_status_server::domain::report::{Sender, Source};
use gitops_status_server::domain::time::{MINUTE, Timestamp};
use gitops_status_server::ingest::parse_body;
use gitops_status_server::recorder::{ClockFault, RecordError, Submission};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

const HOUR: i64 = 60 * MINUTE;
const YEAR: i64 = 365 * 24 * HOUR;

/// Every way to write.
fn writes(server: &Server) -> Vec<Answer> {
    let push = b"drift_stack_state{stack=\"a\"} 1\n";
    vec![
        server.post("/status/pipeline", &pipeline_report("g", "h", "2026-04-26T11:30:00Z")),
        server
            .post("/status/pipeline", &json!([{"server_group":"g","host":"x","status":"synced"}])),
        server.post("/status/cron", &check("g", "h", "out_of_sync", "2026-04-26T11:30:00Z")),
        server.post("/api/status", &json!({"repo":"g","server":"h","sync_status":"SYNCED"})),
        server.send("POST", "/metrics/job/j", &[], Some(push)),
        server.send("PUT", "/metrics/job/j", &[], Some(push)),
        server.send("DELETE", "/metrics/job/j", &[], None),
        server.post("/hosts/g/h/retire", &json!({"reason": "gone"})),
        server.post("/hosts/g/new/alias", &json!({"alias_of": {"server_group":"g","host":"h"}})),
    ]
}

/// Nothing can be written, with this in the detail; what was recorded can be read.
fn refuses(server: &Server, reason: &str, says: &str) {
    let before = server.raw_lines();
    for refused in writes(server) {
        let body = refused.problem(503);
        assert_eq!(refused.header("retry-after"), "30");
        assert_eq!(body["type"], "urn:gitops-status-server:problem:unavailable");
        assert!(body["detail"].as_str().unwrap().contains(says), "{body}");
        assert_eq!(body.get("stored"), None, "it is surely not stored");
    }
    server.post("/status/cron", &json!({"server_group": "g"})).problem(400);
    assert_eq!(server.json("/rejections"), json!([]), "they have times as well");
    let ready = server.get("/ready").problem(503);
    assert_eq!(ready["type"], "urn:gitops-status-server:problem:not-ready");
    assert!(ready["detail"].as_str().unwrap().contains(says), "{ready}");
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.raw_lines(), before, "reads go on, and nothing is written");
    assert_eq!(faults(server), [reason]);
}

/// The reasons that `/metrics` shows.
fn faults(server: &Server) -> Vec<String> {
    let text = server.get("/metrics").text();
    let lines = text.lines().filter_map(|line| line.strip_prefix("gitops_clock_fault{reason=\""));
    let samples: Vec<_> = lines.map(|line| line.split_once("\"} ").unwrap()).collect();
    assert_eq!(samples.len(), 3, "every reason is there");
    samples.iter().filter(|(_, value)| *value == "1").map(|(word, _)| (*word).to_owned()).collect()
}

#[test]
fn a_jump_ahead_is_503_until_the_clock_is_put_right() {
    let server = Server::start();
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    assert_eq!(faults(&server), [""; 0]);
    server.clock.jump(73 * YEAR);
    refuses(&server, "jumped_ahead", "the clock has jumped ahead to 2099-04-08T12:00:00Z");
    assert_eq!(server.row("g", "h")["status"], "synced");
    server.clock.advance(3600);
    refuses(&server, "jumped_ahead", "which is 26645 d later than the time that has passed");
    server.clock.jump(-73 * YEAR);
    for taken in writes(&server) {
        assert!([200, 202].contains(&taken.status), "{}", taken.text());
    }
    assert_eq!(server.get("/ready").status, 200);
    assert_eq!(faults(&server), [""; 0]);
    let lines = server.lines();
    assert_eq!(lines[1]["id"], "2", "no hole");
    for line in &lines[1..] {
        // Retiring takes place behind all that was on the same tick.
        let time = line["received_at"].as_str().unwrap();
        assert!(time.starts_with("2026-04-26T13:00:00"), "{line}");
    }
}

#[test]
fn a_clock_that_is_set_back_is_503_until_it_is_put_right() {
    let server = Server::start();
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    server.clock.jump(-HOUR);
    server.cron(&check("g", "h", "synced", "2026-04-26T10:59:00Z"));
    server.clock.jump(-1);
    refuses(
        &server,
        "behind_history",
        "the newest entry of the history is of 2026-04-26T12:00:00Z, but the clock says 2026-04-26T10:59:59.999999Z",
    );
    server.clock.jump(HOUR + 1);
    server.cron(&check("g", "h", "synced", "2026-04-26T11:59:00Z"));
    assert_eq!(server.lines()[2]["received_at"], NOW);
    assert_eq!(server.get("/ready").status, 200);
}

#[test]
fn a_clock_from_before_the_build_is_waited_for_without_a_restart() {
    let given = tempfile::tempdir().unwrap();
    let file = given.path().join("status.json");
    std::fs::write(&file, r#"{"servers":{"g/h":{"status":"out_of_sync"}}}"#).unwrap();
    let arguments = ["--status-file", file.to_str().unwrap()];
    let folder = tempfile::tempdir().unwrap();
    let server = Server::started_at("1970-01-01T00:01:00Z", folder, &arguments);
    let says =
        "the clock says 1970-01-01T00:01:00Z, but this program was built at 2026-04-01T00:00:00Z";
    refuses(&server, "before_build", says);
    server.clock.jump(Timestamp::parse(NOW).unwrap().0 - MINUTE);
    // STATUS_FILE has waited for it, too.
    let begun = Instant::now();
    while server.get("/status/g/h").status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(10), "STATUS_FILE was not imported");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.get("/ready").status, 200);
    server.cron(&check("g", "h", "synced", "2026-04-26T11:59:00Z"));
    let lines = server.lines();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["source"], "import");
    assert_eq!(lines[0]["received_at"], NOW);
    // That was the first step; the next one is a jump.
    server.clock.jump(HOUR + 1);
    refuses(&server, "jumped_ahead", "which is 1 h later");
}

#[test]
fn a_start_on_a_history_that_reaches_into_the_future_is_503_until_time_has_passed() {
    let folder = tempfile::tempdir().unwrap();
    let mut then = Steered::at(folder.path(), "2026-04-26T14:00:00Z");
    assert_eq!(then.run(&[0]), [None]);
    std::fs::rename(database(folder.path()), folder.path().join("history.db")).unwrap();
    let server = Server::started_at(NOW, folder, &[]);
    refuses(
        &server,
        "behind_history",
        "the newest entry of the history is of 2026-04-26T14:00:00Z",
    );
    server.clock.advance(3599);
    refuses(&server, "behind_history", "but the clock says 2026-04-26T12:59:59Z");
    server.clock.advance(1);
    server.cron(&check("g", "h", "synced", "2026-04-26T12:59:00Z"));
    assert_eq!(server.lines()[1]["received_at"], "2026-04-26T14:00:00Z", "it never decreases");
    assert_eq!(server.get("/ready").status, 200);
}

/// A database whose server is started and stopped, on one machine.
struct Steered {
    url: String,
    clock: FrozenClock,
}

impl Steered {
    fn at(folder: &Path, time: &str) -> Self {
        Self { url: url(folder), clock: FrozenClock::at(time) }
    }

    /// Starts, jumps by these microseconds and hands in a report after each jump, stops; answers what was
    /// wrong with the clock each time.
    fn run(&mut self, jumps: &[i64]) -> Vec<Option<&'static str>> {
        let manner = Manner { read_deadline: Duration::from_secs(2), min_free: 0, alone: true };
        actix_web::rt::System::new().block_on(async {
            let machine = self.clock.machine(|| {});
            let opened = Database::open(&self.url, machine, manner).await.unwrap();
            let mut faults = Vec::new();
            for jump in jumps {
                self.clock.jump(*jump);
                faults.push(match opened.recorder.record(submission()).await {
                    Ok(_) => None,
                    Err(RecordError::Clock(fault)) => Some(fault.word()),
                    Err(error) => panic!("{error}"),
                });
                assert_eq!(opened.recorder.can_write().await, faults.last() == Some(&None));
                let shown = opened.recorder.clock_fault().as_ref().map(ClockFault::word);
                assert_eq!(Some(&shown), faults.last());
            }
            opened.close().await;
            faults
        })
    }
}

fn submission() -> Submission {
    let ages = StaleAfter::parse("26h", "").unwrap();
    let body = br#"{"server_group":"g","host":"h","status":"synced"}"#;
    Submission {
        reports: parse_body(Source::Pipeline, body, &ages).unwrap().reports,
        sender: Arc::new(Sender::default()),
        create_hosts: true,
        key: None,
        push: None,
        bytes: body.len(),
    }
}

#[test]
fn a_restart_lifts_the_running_check_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = Steered::at(folder.path(), NOW);
    let (ahead, behind) = (Some("jumped_ahead"), Some("behind_history"));
    assert_eq!(machine.run(&[0, 2 * HOUR, 0]), [None, ahead, ahead]);
    // The operator says by the restart that the clock is right.
    assert_eq!(machine.run(&[0, 0]), [None, None]);
    assert_eq!(machine.run(&[-2 * HOUR]), [behind]);
    assert_eq!(machine.run(&[0, HOUR, -1]), [behind, None, behind]);
}

#[test]
fn the_log_says_it_before_it_says_ready() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Steered::at(folder.path(), "2199-01-01T00:00:00Z").run(&[0]), [None]);
    let mut server = binary(folder.path());
    server.args(SERVE).env("DATABASE_URL", url(folder.path())).stderr(Stdio::piped());
    let mut server = server.spawn().unwrap();
    let lines = BufReader::new(server.stderr.take().unwrap()).lines().map(Result::unwrap);
    let (say, heard) = mpsc::channel();
    std::thread::spawn(move || lines.take_while(|line| say.send(line.clone()).is_ok()).count());
    let heard = std::iter::from_fn(|| heard.recv_timeout(Duration::from_secs(20)).ok());
    let said: Vec<String> = heard.take_while(|line| !line.contains(" ready ")).collect();
    server.kill().unwrap();
    server.wait().unwrap();
    let errors: Vec<_> = said.iter().filter(|line| line.contains("ERROR")).collect();
    let [error] = errors[..] else { panic!("{said:?}") };
    assert!(
        error.contains(
            "the newest entry of the history is of 2199-01-01T00:00:00Z, but the clock says 2"
        ),
        "{error}"
    );
    assert!(
        error.contains("; reports are refused: set the clock; if it is right, see "),
        "{error}"
    );
}

#[test]
fn an_import_into_a_history_of_the_future_is_refused_until_a_backup_is_restored() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Steered::at(folder.path(), NOW).run(&[0]), [None]);
    let (code, ..) = command(folder.path(), &["backup", "before.db"]);
    assert_eq!(code, 0);
    // The real clock of whoever runs this test is behind.
    assert_eq!(Steered::at(folder.path(), "2199-01-01T00:00:00Z").run(&[0]), [None]);
    let file = folder.path().join("status.json");
    std::fs::write(&file, r#"{"servers":{"old/host":{"status":"synced"}}}"#).unwrap();
    let (code, out, said) = command(folder.path(), &["import", file.to_str().unwrap()]);
    assert_eq!((code, out.as_str()), (1, ""), "{said}");
    let line = said.lines().last().unwrap();
    assert!(line.starts_with("gitops-status-server: the newest entry of the history is of 2199-01-01T00:00:00Z, but the clock says "), "{said}");
    assert!(line.contains("; nothing was stored: set the clock; if it is right, see "), "{said}");
    for reading in [&["export"][..], &["review", "this-month"], &["verify"]] {
        let (code, out, said) = command(folder.path(), reading);
        assert_eq!(code, 0, "{reading:?}: {out}{said}");
        assert!(!out.contains("old"), "{out}");
    }
    // The documented way back.
    let (code, out, said) = command(folder.path(), &["restore", "before.db", "--replace"]);
    assert_eq!(code, 0, "{said}");
    assert!(out.contains("1 entries") && out.contains("entries 2 to 2 are only there"), "{out}");
    let (code, out, said) = command(folder.path(), &["import", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
    assert!(out.ends_with("1 recorded, 0 known already\n"), "{out}");
}
