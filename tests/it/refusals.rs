//! A start on something that is no good database: one line that says what to do, and nothing changed.

use crate::backup::everything;
use crate::harness::pipeline_report;
use crate::process::{Process, SERVE, binary, command, database, sql, url};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Everything that opens a database.
const COMMANDS: [&[&str]; 8] = [
    &SERVE,
    &["import", "empty.json"],
    &["rebuild"],
    &["export"],
    &["review", "2026"],
    &["verify"],
    &["backup", "copy.db"],
    &["backup", "copy.db", "--force"],
];

/// A database with a page or two of everything, at rest.
fn ours() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(folder.path());
    for n in 0..30 {
        server.pipeline(&pipeline_report("g", &format!("h{n}"), "2026-04-26T11:00:00Z"));
    }
    assert!(server.stop().success());
    std::fs::read(database(folder.path())).unwrap()
}

/// A database changed by statements.
fn changed(database: &[u8], statements: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.db");
    std::fs::write(&path, database).unwrap();
    sql(&path, statements);
    std::fs::read(&path).unwrap()
}

/// The page at which a table begins.
fn root_page(bytes: &[u8], table: &str) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.db");
    std::fs::write(&path, bytes).unwrap();
    actix_web::rt::System::new().block_on(async {
        use sqlx::{ConnectOptions, Row};
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
        let mut connection = options.connect().await.unwrap();
        let query = sqlx::query("SELECT rootpage FROM sqlite_schema WHERE name = $1").bind(table);
        let row = query.fetch_one(&mut connection).await.unwrap();
        row.get::<i64, _>(0) as usize - 1
    })
}

#[test]
fn what_is_no_good_database_stops_every_command_and_stays_as_it_is() {
    let ours = ours();
    let mut smashed = ours.clone();
    smashed[..100].fill(0);
    let mut state_torn = ours.clone();
    let page = root_page(&ours, "current_state") * 4096;
    state_torn[page + 8..page + 64].fill(0xFF);
    let newer = "INSERT INTO refinery_schema_history \
        SELECT 999, 'newer', applied_on, checksum FROM refinery_schema_history LIMIT 1";
    let shrunk = "DROP TRIGGER history_no_delete; DELETE FROM drift_history WHERE seq = 30";
    for (name, contents, says) in [
        ("zero-length", Vec::new(), "the file is empty"),
        ("foreign", changed(&[], "CREATE TABLE t (a)"), "another program"),
        (
            "foreign, WAL",
            changed(&[], "PRAGMA journal_mode=WAL; CREATE TABLE t (a)"),
            "another program",
        ),
        ("newer", changed(&ours, newer), "newer version"),
        (
            "text",
            b"this is no database, but long enough to look at; ".repeat(200),
            "not a database",
        ),
        ("header smashed", smashed, "not a database"),
        ("cut within a page", ours[..1000].to_vec(), "not a usable database"),
        ("cut", ours[..ours.len() / 2].to_vec(), "not a usable database"),
        ("cut by a page", ours[..ours.len() - 4096].to_vec(), "not a usable database"),
        ("a table torn", state_torn, "damaged"),
        ("its end gone", changed(&ours, shrunk), "its head says 30 entries, the newest is 29"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("empty.json"), "{}").unwrap();
        std::fs::write(database(folder.path()), &contents).unwrap();
        for arguments in COMMANDS {
            // Readers take no look at what is not asked for.
            let (serve, at_start) = (arguments == SERVE, ["a table torn", "its end gone"]);
            if at_start.contains(&name) && !serve && arguments[0] != "import" {
                continue;
            }
            let (code, _, said) = command(folder.path(), arguments);
            assert_eq!(code, 1, "{name} {arguments:?}: {said}");
            assert_eq!(said.trim_end().lines().count(), 1, "{name} {arguments:?}: {said}");
            assert!(said.contains("history.db"), "{name} {arguments:?}: {said}");
            assert!(said.contains(says), "{name} {arguments:?}: {said}");
            let now = std::fs::read(database(folder.path())).unwrap();
            assert!(now == contents, "{name} {arguments:?} changed it");
            assert!(!folder.path().join("copy.db").exists(), "{name} {arguments:?}");
        }
    }
}

#[test]
fn a_folder_is_no_database() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(database(folder.path())).unwrap();
    std::fs::write(folder.path().join("empty.json"), "{}").unwrap();
    for arguments in COMMANDS {
        let (code, _, said) = command(folder.path(), arguments);
        assert_eq!((code, said.lines().count()), (1, 1), "{arguments:?}: {said}");
        assert!(said.contains("not a file"), "{arguments:?}: {said}");
    }
    let nowhere = [("DATABASE_URL", "sqlite://history.db/below/some.db")];
    std::fs::remove_dir(database(folder.path())).unwrap();
    std::fs::write(database(folder.path()), "a file").unwrap();
    let (code, said) = crate::process::run_with(folder.path(), &nowhere, &SERVE);
    assert_eq!((code, said.lines().count()), (1, 1), "{said}");
}

/// Serves a folder's database as a user who is not root, to whom rights would mean nothing.
fn serve_without_privileges(folder: &Path) -> (i32, String) {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| {
        use std::os::unix::fs::MetadataExt;
        own.uid() == 0
    });
    let mut command = if is_root {
        let program = folder.parent().unwrap().join("server");
        std::fs::copy(env!("CARGO_BIN_EXE_gitops-status-server"), &program).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
        command.env_clear().current_dir(folder);
        command
    } else {
        binary(folder)
    };
    let output = command.args(SERVE).env("DATABASE_URL", url(folder)).output();
    let output = output.expect("setpriv (util-linux) is needed to test rights as root");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_place_that_cannot_be_written_is_refused_at_start_and_not_at_the_first_report() {
    let ours = ours();
    let outer = tempfile::tempdir().unwrap();
    let rights = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    rights(outer.path(), 0o755);
    let folder = outer.path().join("data");
    std::fs::create_dir(&folder).unwrap();
    let path = database(&folder);
    std::fs::write(&path, &ours).unwrap();
    for (folder_mode, file_mode, named) in [
        (0o777, 0o444, &path),
        (0o777, 0o000, &path),
        (0o555, 0o666, &folder),
        (0o000, 0o666, &path),
    ] {
        rights(&path, file_mode);
        rights(&folder, folder_mode);
        let (code, said) = serve_without_privileges(&folder);
        rights(&folder, 0o755);
        rights(&path, 0o644);
        assert_eq!((code, said.lines().count()), (1, 1), "{folder_mode:o} {file_mode:o}: {said}");
        let line = format!("{}: Permission denied", named.display());
        assert!(said.contains(&line), "{folder_mode:o} {file_mode:o}: {said}");
        assert!(std::fs::read(&path).unwrap() == ours);
        assert_eq!(
            everything(&folder).len(),
            1,
            "{folder_mode:o} {file_mode:o}: something is left"
        );
    }
}
