//! Files that are read: what is none is refused with one line, and never waited for.

use crate::process::{SERVE, binary, command, run, url};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

fn make_pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_bits_retain(0o600), 0).unwrap();
}

/// Exit code and standard error of a command that must end by itself, soon.
fn ends(folder: &Path, settings: &[(&str, &str)], arguments: &[&str]) -> (i32, String) {
    let mut command = binary(folder);
    command.args(arguments).env("DATABASE_URL", url(folder)).envs(settings.iter().copied());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            panic!("{settings:?} {arguments:?}: it waits");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_setting_names_a_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    make_pipe(&folder.join("pipe"));
    std::os::unix::fs::symlink("pipe", folder.join("link")).unwrap();
    std::fs::create_dir(folder.join("dir")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
    for setting in ["STATUS_FILE", "TOKENS_FILE", "SIGNING_KEY_FILE"] {
        for (file, what) in [
            ("pipe", "a pipe"),
            ("link", "a pipe"),
            ("dir", "a folder"),
            ("socket", "a socket"),
            ("/dev/zero", "a device"),
        ] {
            let settings = [(setting, file), ("RUST_LOG", "error")];
            let (code, said) = ends(folder, &settings, &SERVE);
            assert_eq!((code, said.lines().count()), (2, 1), "{setting} {file}: {said}");
            assert!(said.contains(setting) && said.contains(&format!("is {what}")), "{said}");
        }
    }
    let (code, said) = ends(folder, &[("SIGNING_KEY_FILE", "pipe")], &["key", "show"]);
    assert!(code == 2 && said.lines().count() == 1, "{said}");
    // What lies beside the database, too.
    make_pipe(&folder.join("history.db.checkpoints"));
    for arguments in [&SERVE[..], &["verify"], &["accept-rollback"]] {
        let (code, said) = ends(folder, &[("RUST_LOG", "error")], arguments);
        assert_eq!((code, said.lines().count()), (1, 1), "{arguments:?}: {said}");
        assert!(said.contains("history.db.checkpoints: is a pipe"), "{arguments:?}: {said}");
    }
}

#[test]
fn a_file_on_the_command_line_may_be_a_pipe_but_no_device() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let status = r#"{"servers":{"a/b":{"status":"synced"}}}"#;
    make_pipe(&folder.join("pipe"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut pipe = std::fs::File::options().write(true).open(folder.join("pipe")).unwrap();
            pipe.write_all(status.as_bytes()).unwrap();
        });
        let (code, said, wrong) = command(folder, &["import", "pipe"]);
        assert!(code == 0 && said.contains("1 recorded"), "{said}{wrong}");
    });
    for (arguments, code) in [
        (&["import", "/dev/zero"][..], 1),
        (&["import", "."], 1),
        (&["verify", "--receipts", "/dev/zero"], 2),
        (&["verify", "--checkpoint", "/dev/zero"], 2),
        (&["verify", "--key", "/dev/zero"], 2),
        (&["verify", "--export", "/dev/zero", "--checkpoint", "status", "--key", "x+y+z"], 2),
    ] {
        let (found, said) = ends(folder, &[], arguments);
        assert_eq!((found, said.lines().count()), (code, 1), "{arguments:?}: {said}");
    }
    // More than any checkpoint has.
    std::fs::write(folder.join("long"), vec![b'x'; (1 << 20) + 1]).unwrap();
    let output = run(folder, &["verify", "--checkpoint", "long"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("more than 1048576 bytes"), "{said}");
}
