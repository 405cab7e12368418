//! One server for each database: a second one exits at once and names the first.

use crate::harness::{check, pipeline_report};
use crate::process::{Process, SERVE, binary, command, database, url};
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

/// The log and the lock go by the name: two servers by two names would lose half of what they acknowledge.
#[test]
fn a_second_name_of_the_file_is_no_second_database() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(folder.path());
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    let other = tempfile::tempdir_in(folder.path()).unwrap();
    let copy = other.path().join("copy.db");
    assert_eq!(command(folder.path(), &["backup", copy.to_str().unwrap()]).0, 0);
    std::fs::hard_link(database(folder.path()), database(other.path())).unwrap();
    std::fs::write(other.path().join("status.json"), r#"{"servers":{"a/b":{"status":"synced"}}}"#)
        .unwrap();
    let refused = |folder: &Path, arguments: &[&str]| {
        let (code, _, said) = command(folder, arguments);
        assert!(code == 1 && one_line(&said).contains("2 names (hard links)"), "{code}: {said}");
    };
    let restore = ["restore", "copy.db", "--replace"];
    let all = [&SERVE[..], &["import", "status.json"], &["rebuild"], &restore];
    for arguments in all {
        refused(other.path(), arguments);
    }
    assert!(!other.path().join("history.db-wal").exists(), "it was not opened");
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T12:00:00Z"));
    // Nor after a crash, whose log lies beside one of the names only.
    server.kill();
    assert!(Process::bytes_of(folder.path(), "-wal") > 0);
    for folder in [folder.path(), other.path()] {
        refused(folder, &SERVE);
    }
    std::fs::remove_file(database(other.path())).unwrap();
    assert_eq!(Process::start(folder.path()).lines().len(), 2);
}

#[test]
fn a_file_that_is_served_is_not_served_by_another_name() {
    for fresh in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Process::start(folder.path());
        if !fresh {
            assert!(server.stop().success());
            server = Process::start(folder.path());
        }
        server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
        let other = tempfile::tempdir_in(folder.path()).unwrap();
        std::fs::rename(database(folder.path()), database(other.path())).unwrap();
        for arguments in [&SERVE[..], &["rebuild"]] {
            let (code, _, said) = command(other.path(), arguments);
            assert!(code == 1 && one_line(&said).contains("by another name"), "{code}: {said}");
        }
        std::fs::rename(database(other.path()), database(folder.path())).unwrap();
        server.pipeline(&pipeline_report("g", "h", "2026-04-26T12:00:00Z"));
        server.kill();
        assert_eq!(Process::start(folder.path()).lines().len(), 2);
    }
}

#[test]
fn a_lock_file_that_is_none_is_not_waited_for() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("history.db.lock");
    mknodat(CWD, &lock, FileType::Fifo, Mode::from_bits_retain(0o600), 0).unwrap();
    let (code, _, said) = command(folder.path(), &SERVE);
    assert!(code == 1 && one_line(&said).contains("history.db.lock"), "{said}");
    std::fs::remove_file(&lock).unwrap();
    std::fs::write(folder.path().join("theirs"), "theirs").unwrap();
    std::os::unix::fs::symlink("theirs", &lock).unwrap();
    let (code, _, said) = command(folder.path(), &SERVE);
    assert!(code == 1 && one_line(&said).contains("history.db.lock"), "{said}");
    assert_eq!(std::fs::read(folder.path().join("theirs")).unwrap(), b"theirs");
}

#[test]
fn what_a_lock_file_says_moves_no_cursor() {
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("history.db.lock");
    let file = std::fs::File::options().create_new(true).write(true).open(&lock).unwrap();
    file.lock().unwrap();
    std::fs::write(&lock, "serve 1 web\n\r\u{1b}[2Kall is well").unwrap();
    let (code, _, said) = command(folder.path(), &SERVE);
    assert!(code == 1 && one_line(&said).contains("web\\u000a\\u000d\\u001b[2Kall"), "{said:?}");
}
