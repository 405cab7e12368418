//! One server for each database: a second one exits at once and names the first.

use crate::harness::{check, pipeline_report};
use crate::process::{Process, SERVE, binary, command, url};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

fn one_line(said: &str) -> &str {
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    said.trim_end()
}

#[test]
fn a_second_server_exits_at_once_and_names_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path());
    let begun = Instant::now();
    let (code, _, said) = command(folder.path(), &SERVE);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(code, 1, "{said}");
    assert!(one_line(&said).contains(&format!("process {} (serve)", server.id())), "{said}");
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
}

#[test]
fn what_needs_the_database_for_itself_refuses_beside_a_server_and_the_rest_works() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path());
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    let path = folder.path();
    std::fs::write(path.join("status.json"), r#"{"servers":{"a/b":{"status":"synced"}}}"#).unwrap();
    for arguments in [
        &["backup", "copy.db"][..],
        &["verify", "--refold"],
        &["export"],
        &["review", "2026"],
        &["import", "status.json"],
    ] {
        let (code, _, said) = command(path, arguments);
        assert_eq!(code, 0, "{arguments:?}: {said}");
    }
    for arguments in
        [&["rebuild"][..], &["restore", "copy.db"], &["restore", "copy.db", "--replace"]]
    {
        let (code, _, said) = command(path, arguments);
        assert_eq!(code, 1, "{arguments:?}: {said}");
        let holder = format!("process {} (serve)", server.id());
        assert!(one_line(&said).contains(&holder), "{arguments:?}: {said}");
    }
    server.post("/status/cron", &check("g", "h", "failed", "2026-04-26T11:30:00Z")).ok();
    assert_eq!(server.lines().len(), 3);
}

fn start(folder: &Path) -> Child {
    let mut command = binary(folder);
    command.args(SERVE).env("DATABASE_URL", url(folder)).env("RUST_LOG", "error");
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn of_two_servers_that_start_together_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        let mut both = [start(folder.path()), start(folder.path())];
        let begun = Instant::now();
        let loser = loop {
            let ended = both.iter_mut().position(|child| child.try_wait().unwrap().is_some());
            if let Some(loser) = ended {
                break loser;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "both serve");
            std::thread::sleep(Duration::from_millis(5));
        };
        let [first, second] = both;
        let (lost, mut won) = if loser == 0 { (first, second) } else { (second, first) };
        let output = lost.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(one_line(&said).contains(&format!("process {} (serve)", won.id())), "{said}");
        assert!(won.try_wait().unwrap().is_none(), "the other one serves");
        won.kill().unwrap();
        won.wait().unwrap();
    }
}

#[test]
fn a_lock_left_by_kill_9_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(folder.path());
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    server.kill();
    assert!(Process::bytes_of(folder.path(), ".lock") > 0, "it left its name behind");
    let begun = Instant::now();
    let server = Process::start(folder.path());
    assert!(begun.elapsed() < Duration::from_secs(5), "nobody waited for the dead");
    assert_eq!(server.lines().len(), 1);
}

#[test]
fn a_server_waits_for_whoever_only_prepares_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("history.db.lock");
    let file = std::fs::File::options().create_new(true).write(true).open(&lock).unwrap();
    file.lock().unwrap();
    std::fs::write(&lock, "prepare 1 elsewhere").unwrap();
    std::thread::scope(|scope| {
        let server = scope.spawn(|| Process::start(folder.path()));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!folder.path().join("history.db").exists(), "it did not wait");
        drop(file);
        assert_eq!(server.join().unwrap().get("/ready").status, 200);
    });
}
