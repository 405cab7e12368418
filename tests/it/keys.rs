//! The signing key's file and the checkpoints remembered beside the database: what the server knows of
//! its own past when it starts.

use crate::process::{Process, database, refused, run, url};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn beside(folder: &Path, suffix: &str) -> PathBuf {
    folder.join(format!("history.db{suffix}"))
}

fn report(server: &Process, host: &str) {
    server
        .post("/status/pipeline", &json!({"server_group":"g","host":host,"status":"synced"}))
        .ok();
}

/// Runs a server that has one more report.
fn once(folder: &Path, host: &str) -> String {
    let mut server = Process::start(folder);
    report(&server, host);
    let key = server.get("/checkpoint/key").text();
    assert!(server.stop().success());
    key
}

fn command(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let url = url(folder);
    let output = run(folder, &[arguments, &["--database-url", &url]].concat());
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.success(), said)
}

#[test]
fn the_key_is_made_once_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let key = once(folder.path(), "a");
    let file = beside(folder.path(), ".key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(once(folder.path(), "b"), key);
    assert_eq!(command(folder.path(), &["key", "show"]), (true, key));
    // Elsewhere, where an operator wants it.
    let elsewhere = folder.path().join("secret.key");
    std::fs::rename(&file, &elsewhere).unwrap();
    let settings = [("SIGNING_KEY_FILE", elsewhere.to_str().unwrap())];
    let mut server = Process::with(folder.path(), &settings);
    report(&server, "c");
    assert!(server.stop().success());
    assert!(!file.exists());
}

#[test]
fn a_new_key_signs_beside_the_older_one_until_that_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let old = once(folder.path(), "a");
    let (ok, said) = command(folder.path(), &["key", "rotate"]);
    assert!(ok, "{said}");
    let mut server = Process::start(folder.path());
    let keys = server.get("/checkpoint/key").text();
    assert!(
        keys.ends_with(&old)
            && keys.lines().count() == 2
            && said.contains(keys.lines().next().unwrap())
    );
    let note = server.get("/checkpoint").text();
    assert_eq!(note.lines().filter(|line| line.starts_with('—')).count(), 2);
    assert!(server.stop().success());
    std::fs::write(folder.path().join("checkpoint"), note).unwrap();
    for key in keys.lines() {
        let (ok, said) =
            command(folder.path(), &["verify", "--checkpoint", "checkpoint", "--key", key]);
        assert!(ok && said.contains("signed by the key that was given"), "{said}");
    }
    let (ok, said) = command(folder.path(), &["key", "rotate", "--drop-old"]);
    assert!(ok, "{said}");
    let new = once(folder.path(), "b");
    assert!(new.lines().count() == 1 && !keys.contains(&new));
    let arguments = ["verify", "--checkpoint", "checkpoint", "--key", new.trim()];
    let (ok, said) = command(folder.path(), &arguments);
    assert!(!ok && said.contains("no signature in it is by a key that was given"), "{said}");
}

#[test]
fn a_lost_or_strange_key_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    once(folder.path(), "a");
    let file = beside(folder.path(), ".key");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, "rubbish\n").unwrap();
    assert!(refused(folder.path()).contains("line 1 is neither a signing key"));
    std::fs::write(&file, text.lines().take(3).collect::<Vec<_>>().join("\n")).unwrap();
    assert!(refused(folder.path()).contains("the signing key on line 3 has no public key"));
    let other = tempfile::tempdir().unwrap();
    once(other.path(), "a");
    std::fs::copy(beside(other.path(), ".key"), &file).unwrap();
    assert!(refused(folder.path()).contains("its keys are those of another history"));
    std::fs::remove_file(&file).unwrap();
    let said = refused(folder.path());
    assert!(
        said.contains("the signing key is missing") && said.contains("key rotate --lost"),
        "{said}"
    );
    assert!(!file.exists(), "none is made in its place");
    let (ok, said) = command(folder.path(), &["key", "rotate"]);
    assert!(!ok && said.contains("SIGNING_KEY_FILE"), "{said}");
    assert!(command(folder.path(), &["key", "rotate", "--lost"]).0);
    assert!(!command(folder.path(), &["key", "rotate", "--lost"]).0, "it is there now");
    once(folder.path(), "b");
}

#[test]
fn a_history_that_shrank_or_was_replaced_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (database, remembered) = (database(folder.path()), beside(folder.path(), ".checkpoints"));
    once(folder.path(), "a");
    let backup = std::fs::read(&database).unwrap();
    once(folder.path(), "b");
    let newer = std::fs::read(&database).unwrap();
    std::fs::write(&database, &backup).unwrap();
    let said = refused(folder.path());
    assert!(said.contains("the history has 1 entries, but it had 2"), "{said}");
    assert!(said.contains("accept-rollback"), "{said}");
    let (ok, said) = command(folder.path(), &["accept-rollback"]);
    assert!(ok && said.contains("of the 2 entries it knew"), "{said}");
    assert!(!remembered.exists());
    assert!(!command(folder.path(), &["accept-rollback"]).0, "nothing is left to accept");
    // Other entries in the place of those that are lost.
    once(folder.path(), "x");
    std::fs::write(&database, &newer).unwrap();
    let said = refused(folder.path());
    assert!(said.contains("the first 2 entries are not those that were there"), "{said}");
    std::fs::remove_file(&database).unwrap();
    let said = refused(folder.path());
    assert!(said.contains("checkpoints of a history whose database is gone"), "{said}");
    assert!(!database.exists(), "no new history is begun");
    let other = tempfile::tempdir().unwrap();
    once(other.path(), "a");
    std::fs::copy(crate::process::database(other.path()), &database).unwrap();
    let said = refused(folder.path());
    assert!(said.contains("this is the history gitops-status-server/"), "{said}");
}

#[test]
fn what_is_remembered_can_be_read_and_is_thinned_out() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..70 {
        // Some are killed: what was remembered at their start is enough.
        let mut server = Process::start(folder.path());
        report(&server, &format!("h{n}"));
        if n % 9 == 0 {
            server.kill();
        } else {
            assert!(server.stop().success());
        }
    }
    let text = std::fs::read_to_string(beside(folder.path(), ".checkpoints")).unwrap();
    let blocks = text.matches("# 20").count();
    assert_eq!(blocks, 60, "those of today");
    assert!(text.contains("\n70\n"), "{text}");
    let (ok, said) = command(folder.path(), &["verify"]);
    assert!(ok && said.contains("60 of 60 checkpoints fit, the newest of 70 entries"), "{said}");
}
