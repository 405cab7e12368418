//! `restore`: a backup takes the database's place whole, or nothing is changed.

use crate::backup::everything;
use crate::harness::pipeline_report;
use crate::process::{Process, SERVE, command, copy_key, database, refused, sql, while_open};
use std::path::{Path, PathBuf};

/// Three reports, a backup of the first two, and the server stopped.
fn with_backup(folder: &Path) -> Vec<String> {
    let mut server = Process::start(folder);
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T10:00:00Z"));
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    server.json("/timeline"); // settles them
    assert_eq!(command(folder, &["backup", "copy.db"]).0, 0);
    server.pipeline(&pipeline_report("g", "late", "2026-04-26T12:00:00Z"));
    let lines = server.raw_lines();
    assert!(server.stop().success());
    lines
}

/// Serves a history that has become shorter, which must be said to be right first.
fn start_shortened(folder: &Path) -> Process {
    let said = refused(folder);
    assert!(said.contains("accept-rollback"), "{said}");
    let (code, _, said) = command(folder, &["accept-rollback"]);
    assert_eq!(code, 0, "{said}");
    Process::start(folder)
}

/// The database that was replaced.
fn replaced(folder: &Path) -> PathBuf {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("history.db.replaced-") && name.ends_with('Z')
    };
    let found: Vec<PathBuf> = names.filter(is_it).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

#[test]
fn the_drill_backup_loss_restore() {
    let folder = tempfile::tempdir().unwrap();
    let lines = with_backup(folder.path());
    std::fs::remove_file(database(folder.path())).unwrap();
    let (code, said, wrong) = command(folder.path(), &["restore", "copy.db"]);
    assert_eq!(code, 0, "{wrong}");
    assert!(said.contains("restored, 2 entries of 1 hosts"), "{said}");
    assert!(said.contains("remembers 3 entries") && said.contains("accept-rollback"), "{said}");
    let server = start_shortened(folder.path());
    assert_eq!(server.raw_lines(), lines[..2], "origin and all");
    let next = server.pipeline(&pipeline_report("g", "h", "2026-04-26T13:00:00Z"));
    assert_eq!(next["report"]["id"], "3");
}

#[test]
fn an_existing_database_is_replaced_only_on_demand_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let lines = with_backup(folder.path());
    let before = everything(folder.path());
    let (code, _, wrong) = command(folder.path(), &["restore", "copy.db"]);
    assert_eq!((code, wrong.lines().count()), (1, 1), "{wrong}");
    assert!(wrong.contains("--replace"), "{wrong}");
    assert_eq!(everything(folder.path()), before);
    let (code, said, wrong) = command(folder.path(), &["restore", "copy.db", "--replace"]);
    assert_eq!(code, 0, "{wrong}");
    assert!(said.contains("entries 3 to 3 are only there"), "{said}");
    assert_eq!(start_shortened(folder.path()).raw_lines(), lines[..2]);
    let old = tempfile::tempdir().unwrap();
    std::fs::rename(replaced(folder.path()), database(old.path())).unwrap();
    copy_key(folder.path(), old.path());
    assert_eq!(Process::start(old.path()).raw_lines(), lines);
}

#[test]
fn the_log_of_the_old_database_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let lines = with_backup(folder.path());
    let mut server = Process::start(folder.path());
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T13:00:00Z"));
    server.kill();
    assert!(Process::bytes_of(folder.path(), "-wal") > 0);
    assert_eq!(command(folder.path(), &["restore", "copy.db", "--replace"]).0, 0);
    assert_eq!(Process::bytes_of(folder.path(), "-wal"), 0);
    assert_eq!(start_shortened(folder.path()).raw_lines(), lines[..2]);
    let old = tempfile::tempdir().unwrap();
    std::fs::rename(replaced(folder.path()), database(old.path())).unwrap();
    copy_key(folder.path(), old.path());
    assert_eq!(Process::start(old.path()).raw_lines().len(), 4, "what was in its log is in it");
}

#[test]
fn a_wreck_is_replaced_and_kept_as_it_is() {
    for wreck in [&b""[..], b"no database at all, but long enough to look like one; "] {
        let folder = tempfile::tempdir().unwrap();
        let lines = with_backup(folder.path());
        std::fs::write(database(folder.path()), wreck).unwrap();
        let log = folder.path().join("history.db-wal");
        std::fs::write(&log, b"its log").unwrap();
        let (code, _, wrong) = command(folder.path(), &["restore", "copy.db", "--replace"]);
        assert_eq!(code, 0, "{wrong}");
        let mut aside = replaced(folder.path()).into_os_string();
        assert_eq!(std::fs::read(&aside).unwrap(), wreck);
        aside.push("-wal");
        assert_eq!(std::fs::read(&aside).unwrap(), b"its log");
        assert_eq!(start_shortened(folder.path()).raw_lines(), lines[..2]);
    }
    // A log whose database is gone is no part of another one.
    let folder = tempfile::tempdir().unwrap();
    let lines = with_backup(folder.path());
    std::fs::rename(database(folder.path()), folder.path().join("history.db-wal")).unwrap();
    assert_eq!(command(folder.path(), &["restore", "copy.db"]).0, 1);
    assert_eq!(command(folder.path(), &["restore", "copy.db", "--replace"]).0, 0);
    assert_eq!(start_shortened(folder.path()).raw_lines(), lines[..2]);
}

#[test]
fn a_backup_that_is_not_right_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    with_backup(folder.path());
    let good = std::fs::read(folder.path().join("copy.db")).unwrap();
    let made = |name: &str, statements: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, &good).unwrap();
        sql(&path, statements);
    };
    made("foreign.db", "PRAGMA application_id = 7");
    made(
        "newer.db",
        "INSERT INTO refinery_schema_history \
        SELECT 999, 'newer', applied_on, checksum FROM refinery_schema_history LIMIT 1",
    );
    made("wrong.db", "UPDATE current_state SET state = json_set(state, '$[1]', 99)");
    std::fs::write(folder.path().join("cut.db"), &good[..good.len() / 2]).unwrap();
    std::fs::write(folder.path().join("empty.db"), b"").unwrap();
    std::fs::write(folder.path().join("text.db"), b"hello ".repeat(1000)).unwrap();
    let mut torn = good.clone();
    torn[good.len() - 4096..].fill(0x5A);
    std::fs::write(folder.path().join("torn.db"), torn).unwrap();
    let before = everything(folder.path());
    for name in ["foreign", "newer", "wrong", "cut", "empty", "text", "torn", "none", "history"] {
        let name = format!("{name}.db");
        let (code, _, wrong) = command(folder.path(), &["restore", &name, "--replace"]);
        assert_eq!(code, 1, "{name}");
        assert!(wrong.contains(&name) && !wrong.contains(".restoring"), "{name}: {wrong}");
        assert_eq!(everything(folder.path()), before, "{name} changed something: {wrong}");
    }
}

#[test]
fn a_database_that_another_program_has_open_stays() {
    let folder = tempfile::tempdir().unwrap();
    let lines = with_backup(folder.path());
    let (code, wrong) = while_open(&database(folder.path()), "SELECT size FROM head", || {
        let (code, _, wrong) = command(folder.path(), &["restore", "copy.db", "--replace"]);
        (code, wrong)
    });
    assert_eq!((code, wrong.lines().count()), (1, 1), "{wrong}");
    assert!(wrong.contains("another program has it open"), "{wrong}");
    assert_eq!(Process::start(folder.path()).raw_lines(), lines);
}

#[test]
fn a_restore_that_did_not_end_is_no_fresh_start() {
    let folder = tempfile::tempdir().unwrap();
    let lines = with_backup(folder.path());
    let half = folder.path().join("history.db.restoring");
    std::fs::rename(database(folder.path()), &half).unwrap();
    let before = everything(folder.path());
    for arguments in [&SERVE[..], &["import", "copy.db"]] {
        let (code, _, wrong) = command(folder.path(), arguments);
        assert_eq!(code, 1, "{arguments:?}: {wrong}");
        assert_eq!(everything(folder.path()), before);
    }
    let (code, _, wrong) = command(folder.path(), &["restore", "copy.db"]);
    assert_eq!(code, 0, "{wrong}");
    assert!(!half.exists());
    assert_eq!(start_shortened(folder.path()).raw_lines(), lines[..2]);
}

#[test]
fn an_older_backup_is_brought_up_to_date_and_itself_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let lines = with_backup(folder.path());
    let copy = folder.path().join("copy.db");
    sql(&copy, "UPDATE head SET projected = 0; DELETE FROM current_state; DELETE FROM segment");
    let old = std::fs::read(&copy).unwrap();
    let (code, _, wrong) = command(folder.path(), &["restore", "copy.db", "--replace"]);
    assert_eq!(code, 0, "{wrong}");
    assert!(std::fs::read(&copy).unwrap() == old);
    assert_eq!(start_shortened(folder.path()).raw_lines(), lines[..2]);
}

#[test]
fn a_copied_file_with_its_log_is_restored_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let lines = with_backup(folder.path());
    let mut server = Process::start(folder.path());
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T13:00:00Z"));
    server.kill();
    for suffix in ["", "-wal"] {
        let from = format!("{}{suffix}", database(folder.path()).display());
        std::fs::copy(from, folder.path().join(format!("stolen.db{suffix}"))).unwrap();
    }
    assert_eq!(command(folder.path(), &["restore", "stolen.db", "--replace"]).0, 0);
    let restored = Process::start(folder.path()).raw_lines();
    assert_eq!((restored.len(), &restored[..3]), (4, &lines[..]));
}
