//! What commands write never takes the place of what is needed, and nobody's link leads them astray.

use crate::harness::pipeline_report;
use crate::process::{Process, command, copy_key, database, refused, sql};
use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// A stopped server's folder: two entries, and a backup of the first.
fn history(folder: &Path) {
    let mut server = Process::start(folder);
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T10:00:00Z"));
    server.json("/timeline"); // settles it
    assert_eq!(command(folder, &["backup", "copy.db"]).0, 0);
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    assert!(server.stop().success());
}

/// Every file, but for those that a look at the database leaves.
fn everything(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.is_file());
    let named = files.map(|path| {
        (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap())
    });
    named.filter(|(name, _)| !name.ends_with("-wal") && !name.ends_with("-shm")).collect()
}

#[test]
fn nothing_is_written_onto_the_database_or_its_own_files() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    history(folder);
    symlink("history.db", folder.join("link.db")).unwrap();
    symlink("history.db", folder.join("lure.part")).unwrap();
    std::fs::copy(folder.join("copy.db"), folder.join("history.db.restoring")).unwrap();
    let before = everything(folder);
    for target in [
        "history.db",
        "./history.db",
        "link.db",
        "lure",
        "history.db-wal",
        "history.db-shm",
        "history.db.key",
        "history.db.checkpoints",
        "history.db.lock",
        "history.db.restoring",
    ] {
        for command_line in [&["backup", target, "--force"][..], &["export", "--output", target]] {
            let (code, _, said) = command(folder, command_line);
            assert_eq!((code, said.lines().count()), (1, 1), "{command_line:?}: {said}");
            assert!(everything(folder) == before, "{command_line:?}: {said}");
        }
    }
    // A database whose name another one's copy would have on the way.
    std::fs::rename(database(folder), folder.join("d.part")).unwrap();
    let url = ["backup", "d", "--database-url", "sqlite://d.part"];
    let (code, _, said) = command(folder, &url);
    assert!(code == 1 && said.contains("d.part"), "{said}");
    assert!(std::fs::metadata(folder.join("d.part")).unwrap().len() > 0);
}

#[test]
fn nothing_is_written_onto_what_stands_where_a_manifest_would() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    history(folder);
    let export = ["export", "--format", "ndjson", "--proof", "--output", "lines"];
    // A link that leads to the database, and a key and a database with the manifest's name.
    symlink("history.db", folder.join("lines.manifest.json.part")).unwrap();
    let before = everything(folder);
    let (code, _, said) = command(folder, &export);
    assert_eq!((code, said.lines().count()), (1, 1), "{said}");
    assert!(everything(folder) == before, "{said}");
    std::fs::remove_file(folder.join("lines.manifest.json.part")).unwrap();
    for (from, setting) in [
        ("history.db.key", ["--signing-key-file", "lines.manifest.json"]),
        ("history.db", ["--database-url", "sqlite://lines.manifest.json"]),
    ] {
        let to = folder.join("lines.manifest.json");
        std::fs::rename(folder.join(from), &to).unwrap();
        let before = everything(folder);
        let (code, _, said) = command(folder, &[&export[..], &setting].concat());
        assert!(code == 1 && said.contains("would replace"), "{from}: {said}");
        assert!(everything(folder) == before, "{from}: {said}");
        std::fs::rename(&to, folder.join(from)).unwrap();
    }
    assert_eq!(command(folder, &export).0, 0);
}

#[test]
fn a_restore_reads_its_source_whole_and_leaves_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    history(folder);
    // What an interrupted restore has left is no backup, but it is not ours to throw away.
    let half = folder.join("history.db.restoring");
    std::fs::copy(folder.join("copy.db"), &half).unwrap();
    let (code, _, said) = command(folder, &["restore", "history.db.restoring", "--replace"]);
    assert!(code == 1 && said.contains("an interrupted restore has left"), "{said}");
    assert!(half.exists());
    std::fs::remove_file(half).unwrap();
    // A database that was killed, and copied with its log, by a link to it.
    let source = tempfile::tempdir().unwrap();
    let mut server = Process::start(source.path());
    server.pipeline(&pipeline_report("g", "other", "2026-04-26T10:00:00Z"));
    server.kill();
    assert!(Process::bytes_of(source.path(), "-wal") > 0);
    symlink(database(source.path()), folder.join("latest.db")).unwrap();
    let (code, said, wrong) = command(folder, &["restore", "latest.db", "--replace"]);
    assert_eq!(code, 0, "{wrong}");
    assert!(said.contains("1 entries of 1 hosts") || said.contains("1 entry"), "{said}");
}

#[test]
fn what_was_put_aside_stays() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    history(folder);
    for _ in 0..3 {
        assert_eq!(command(folder, &["restore", "copy.db", "--replace"]).0, 0);
    }
    let count = |part: &str| everything(folder).keys().filter(|name| name.contains(part)).count();
    assert_eq!(count(".replaced-"), 3);
    sql(&folder.join("copy.db"), "DELETE FROM current_state");
    std::fs::copy(folder.join("copy.db"), database(folder)).unwrap();
    for _ in 0..2 {
        assert_eq!(command(folder, &["backup", "wrong.db"]).0, 1);
    }
    assert_eq!(count("wrong.db.unverified"), 2);
}

#[test]
fn a_review_moves_no_cursor() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(folder.path());
    let mut report = pipeline_report("g", "h", "2026-04-26T10:00:00Z");
    report["status"] = "out_of_sync".into();
    report["changed_files"] = serde_json::json!(["/etc/\u{202e}\u{200b}\u{9b}2Jx"]);
    server.pipeline(&report);
    assert!(server.stop().success());
    let (code, said, wrong) = command(folder.path(), &["review", "2026"]);
    assert!(code == 0 && said.contains("/etc/\\u202e\\u200b\\u009b2Jx"), "{said:?} {wrong}");
    // Columns are as wide as what is shown.
    let at = |line: &str| line.find("/etc/").unwrap_or_else(|| line.rfind("most drifted").unwrap());
    let rows = said.lines().skip_while(|line| *line != "Worst hosts").skip(2).take(2);
    let columns: Vec<usize> = rows.map(at).collect();
    assert_eq!(columns[0], columns[1], "{said}");
}

#[test]
fn others_may_not_read_what_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("copy.db.part"), "").unwrap();
    let open = || std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(folder.join("copy.db.part"), open()).unwrap();
    history(folder);
    std::fs::write(folder.join("history.db.key.new"), "").unwrap();
    std::fs::set_permissions(folder.join("history.db.key.new"), open()).unwrap();
    assert_eq!(command(folder, &["key", "rotate"]).0, 0);
    for (name, mode) in [("copy.db", 0o600), ("history.db.key", 0o600), ("history.db", 0o640)] {
        let found = std::fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found & !mode, 0, "{name}: {found:o}");
    }
}

#[test]
fn two_servers_do_not_meet_in_one_database_by_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let first = Process::start(folder.path());
    let other = tempfile::tempdir().unwrap();
    symlink(database(folder.path()), database(other.path())).unwrap();
    let said = refused(other.path());
    assert!(said.contains("in use by process"), "{said}");
    drop(first);
}

#[test]
fn a_history_that_was_signed_asks_for_its_key() {
    let folder = tempfile::tempdir().unwrap();
    history(folder.path());
    let elsewhere = tempfile::tempdir().unwrap();
    let backup = folder.path().join("copy.db");
    let (code, _, said) = command(elsewhere.path(), &["restore", backup.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
    let said = refused(elsewhere.path());
    assert!(said.contains("the signing key is missing"), "{said}");
    copy_key(folder.path(), elsewhere.path());
    assert!(Process::start(elsewhere.path()).stop().success());
}

#[test]
fn a_restore_remembers_how_far_the_replaced_database_came() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    history(folder);
    let mut server = Process::start(folder);
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T12:00:00Z"));
    // It had no time to remember that itself.
    server.kill();
    let (code, said, wrong) = command(folder, &["restore", "copy.db", "--replace"]);
    assert!(code == 0 && said.contains("the server remembers 3 entries"), "{said}{wrong}");
    let said = refused(folder);
    assert!(said.contains("it had 3"), "{said}");
}

/// Else damage to one entry would hide what was done to others.
#[test]
fn what_could_not_be_compared_is_not_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    history(folder);
    let file = folder.join("history.db.checkpoints");
    let before = std::fs::read(&file).unwrap();
    let mut server = Process::start(folder);
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:30:00Z"));
    server.kill();
    let edit =
        "DROP TRIGGER history_no_update; UPDATE drift_history SET hash8 = hash8 + 1 WHERE seq = 1";
    sql(&database(folder), edit);
    let mut server = Process::start(folder);
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T12:00:00Z"));
    assert!(server.stop().success());
    assert!(std::fs::read(&file).unwrap() == before);
}

#[test]
fn remembered_checkpoints_that_were_emptied_are_no_forgotten_ones() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    history(folder);
    let file = folder.join("history.db.checkpoints");
    let blocks = std::fs::read_to_string(&file).unwrap();
    for text in [String::new(), "rubbish".to_owned(), blocks.replace("# ", "$ ")] {
        std::fs::write(&file, &text).unwrap();
        let said = refused(folder);
        assert!(said.contains("history.db.checkpoints"), "{text}: {said}");
    }
}
