//! What commands write into: a plain file is replaced by a whole one, links are followed, and what is no
//! file stays what it is. (Devices are nodes in the test's own folder: a mistake must not cost the
//! machine one of its own.)

use crate::harness::pipeline_report;
use crate::process::{Process, binary, command, url};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::Path;

fn history(folder: &Path) {
    let mut server = Process::start(folder);
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T10:00:00Z"));
    assert!(server.stop().success());
}

fn make(path: &Path, kind: FileType) -> bool {
    let number = if kind == FileType::Fifo { 0 } else { makedev(1, 3) };
    mknodat(CWD, path, kind, Mode::from_bits_retain(0o600), number).is_ok()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_export_is_written_into_what_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    history(folder);
    let (_, rows, _) = command(folder, &["export"]);
    assert!(make(&folder.join("pipe"), FileType::Fifo));
    symlink("pipe", folder.join("to-pipe")).unwrap();
    for name in ["pipe", "to-pipe"] {
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let (mut pipe, mut text) =
                    (std::fs::File::open(folder.join("pipe")).unwrap(), String::new());
                pipe.read_to_string(&mut text).unwrap();
                text
            });
            let (code, _, said) = command(folder, &["export", "-o", name]);
            assert!(code == 0 && said.contains("1 rows"), "{name}: {said}");
            assert_eq!(reader.join().unwrap(), rows, "{name}");
        });
    }
    assert!(std::fs::metadata(folder.join("pipe")).unwrap().file_type().is_fifo());
    // What the shell has opened: a pipe, and the end of a file.
    let (code, said, _) = command(folder, &["export", "-o", "/proc/self/fd/1"]);
    assert!(code == 0 && said == rows, "{said}");
    std::fs::write(folder.join("log"), "before\n").unwrap();
    let log = std::fs::File::options().append(true).open(folder.join("log")).unwrap();
    let mut child = binary(folder);
    child.args(["export", "-o", "/proc/self/fd/1"]).env("DATABASE_URL", url(folder));
    assert!(child.stdout(log).status().unwrap().success());
    assert_eq!(std::fs::read_to_string(folder.join("log")).unwrap(), format!("before\n{rows}"));
    // A device: a node of our own, where that is allowed.
    symlink("null", folder.join("to-null")).unwrap();
    if make(&folder.join("null"), FileType::CharacterDevice) {
        assert_eq!(command(folder, &["export", "-o", "null"]).0, 0);
        assert_eq!(command(folder, &["export", "-o", "to-null"]).0, 0);
        assert!(folder.join("to-null").is_symlink());
        assert!(std::fs::metadata(folder.join("null")).unwrap().file_type().is_char_device());
    }
}

#[test]
fn what_must_be_a_file_replaces_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    history(folder);
    assert!(make(&folder.join("pipe"), FileType::Fifo));
    symlink("pipe", folder.join("to-pipe")).unwrap();
    std::fs::create_dir(folder.join("dir")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
    let mut names = vec!["pipe", "to-pipe", "dir", "socket"];
    if make(&folder.join("null"), FileType::CharacterDevice) {
        symlink("null", folder.join("to-null")).unwrap();
        names.extend(["null", "to-null"]);
    }
    let kinds = || {
        names.iter().map(|name| std::fs::symlink_metadata(folder.join(name)).unwrap().file_type())
    };
    let before: Vec<_> = kinds().collect();
    let refused = |arguments: &[&str]| {
        let (code, _, said) = command(folder, arguments);
        assert!(code > 0 && said.lines().count() == 1, "{arguments:?}: {said}");
        assert_eq!(kinds().collect::<Vec<_>>(), before, "{arguments:?}");
    };
    assert_eq!(command(folder, &["backup", "copy.db"]).0, 0);
    for name in &names {
        refused(&["backup", name, "--force"]);
        refused(&["export", "--format", "ndjson", "--proof", "-o", name]);
        refused(&["key", "rotate", "--signing-key-file", name]);
        let place = format!("sqlite://{name}");
        refused(&["restore", "copy.db", "--replace", "--database-url", &place]);
    }
    for name in ["dir", "socket"] {
        refused(&["export", "-o", name]);
    }
    assert!(make(&folder.join("lines.manifest.json"), FileType::Fifo));
    refused(&["export", "--format", "ndjson", "--proof", "-o", "lines"]);
    assert!(!folder.join("lines").exists());
    // A name of somebody else's file is no name of ours.
    std::fs::write(folder.join("theirs"), "theirs").unwrap();
    for (part, arguments) in
        [("e.part", ["export", "-o", "e"]), ("b.part", ["backup", "b", "--force"])]
    {
        std::fs::hard_link(folder.join("theirs"), folder.join(part)).unwrap();
        refused(&arguments);
    }
    assert_eq!(std::fs::read_to_string(folder.join("theirs")).unwrap(), "theirs");
}

#[test]
fn a_link_stays_and_what_it_leads_to_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    history(folder);
    std::fs::create_dir(folder.join("far")).unwrap();
    std::fs::write(folder.join("far/there"), "old").unwrap();
    symlink("far/there", folder.join("link")).unwrap();
    symlink("far/new", folder.join("dangling")).unwrap();
    let (_, rows, _) = command(folder, &["export"]);
    for (name, file) in [("link", "far/there"), ("dangling", "far/new")] {
        let (code, _, said) = command(folder, &["export", "-o", name]);
        assert!(code == 0 && folder.join(name).is_symlink(), "{said}");
        assert_eq!(std::fs::read_to_string(folder.join(file)).unwrap(), rows);
        let (code, _, said) = command(folder, &["backup", name, "--force"]);
        assert!(code == 0 && folder.join(name).is_symlink(), "{said}");
        assert!(std::fs::read(folder.join(file)).unwrap().starts_with(b"SQLite format 3"));
    }
    std::fs::rename(folder.join("history.db.key"), folder.join("far/key")).unwrap();
    symlink("far/key", folder.join("history.db.key")).unwrap();
    let before = std::fs::read(folder.join("far/key")).unwrap();
    assert_eq!(command(folder, &["key", "rotate"]).0, 0);
    assert!(folder.join("history.db.key").is_symlink());
    assert!(std::fs::read(folder.join("far/key")).unwrap() != before);
    // A database that is to be made where a link leads.
    symlink("far/fresh.db", folder.join("fresh.db")).unwrap();
    std::fs::write(folder.join("status.json"), r#"{"servers":{"a/b":{"status":"synced"}}}"#)
        .unwrap();
    let import = ["import", "status.json", "--database-url", "sqlite://fresh.db"];
    assert_eq!(command(folder, &import).0, 0);
    assert!(folder.join("fresh.db").is_symlink() && folder.join("far/fresh.db.lock").exists());
}

#[test]
fn others_may_read_nothing_that_shows_what_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("history.db.lock"), "").unwrap();
    std::fs::set_permissions(folder.join("history.db.lock"), PermissionsExt::from_mode(0o666))
        .unwrap();
    let mut server = Process::wrapped(folder, "umask 000; exec \"$0\"");
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T10:00:00Z"));
    assert!(server.stop().success());
    let export = |umask: &str, name: &str| {
        let script = format!("umask {umask}; exec \"$0\" export --format ndjson --proof -o {name}");
        let mut shell = std::process::Command::new("/bin/sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_gitops-status-server")]);
        let output =
            shell.env_clear().env("DATABASE_URL", url(folder)).current_dir(folder).output();
        assert!(output.unwrap().status.success());
        [name.to_owned(), format!("{name}.manifest.json")].map(|name| mode(&folder.join(name)))
    };
    assert_eq!(export("000", "lines"), [0o640, 0o640]);
    assert_eq!(export("077", "narrow"), [0o600, 0o600]);
    // Nobody is let in who was not.
    std::fs::set_permissions(folder.join("lines"), PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::set_permissions(folder.join("narrow"), PermissionsExt::from_mode(0o666)).unwrap();
    assert_eq!((export("000", "lines")[0], export("000", "narrow")[0]), (0o600, 0o640));
    for (name, wanted) in [(".lock", 0o640), (".checkpoints", 0o640), (".key", 0o600), ("", 0o640)]
    {
        assert_eq!(mode(&folder.join(format!("history.db{name}"))), wanted, "history.db{name}");
    }
    std::fs::set_permissions(folder.join("history.db"), PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(export("000", "as-private"), [0o600, 0o600]);
}
