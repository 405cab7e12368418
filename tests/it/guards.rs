//! The database's own triggers: one that is gone is told, one that is strange stops whoever writes.

use crate::harness::pipeline_report;
use crate::process::{Process, SERVE, binary, command, database, refused, rows, sql, url};
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;

fn history() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(folder.path());
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T10:00:00Z"));
    server.json("/timeline"); // settles it
    assert!(server.stop().success());
    let status = r#"{"servers":{"a/b":{"status":"synced"}}}"#;
    std::fs::write(folder.path().join("status.json"), status).unwrap();
    folder
}

const FOREIGN: &str = "CREATE TRIGGER \"a\u{1b}[2K\n\"\"b\" AFTER INSERT ON drift_history BEGIN \
     DELETE FROM current_state; END";

/// `verify` and `backup` fail and name it; what they say of it is plain.
fn is_told(folder: &Path, named: &str) {
    for arguments in [&["verify"][..], &["backup", "copy.db"]] {
        let (code, _, said) = command(folder, arguments);
        assert!(code == 1 && said.contains(named) && !said.contains('\u{1b}'), "{said:?}");
    }
    assert!(!folder.join("copy.db").exists());
    std::fs::remove_file(folder.join("copy.db.unverified")).unwrap();
}

/// `rebuild` heals it, and says so.
fn is_healed(folder: &Path, named: &str) {
    let (code, said, wrong) = command(folder, &["rebuild"]);
    assert!(code == 0 && said.contains(&format!("{named}: put right")), "{said}{wrong}");
    let (code, _, said) = command(folder, &["verify"]);
    assert_eq!((code, said), (0, String::new()));
    let (code, _, said) = command(folder, &["backup", "copy.db", "--force"]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_trigger_that_is_gone_is_told_and_reports_are_taken() {
    let folder = history();
    let folder = folder.path();
    sql(&database(folder), "DROP TRIGGER history_no_delete");
    let named = "the trigger history_no_delete is missing";
    is_told(folder, named);
    let (code, _, said) = command(folder, &["import", "status.json"]);
    assert!(code == 0 && said.contains(named) && said.contains("ERROR"), "{code} {said}");
    let mut server = Process::start(folder);
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    // It is told while the server runs, too.
    is_told(folder, named);
    assert!(server.stop().success());
    is_healed(folder, named);
    assert_eq!(rows(&database(folder), "SELECT count(*) FROM drift_history"), ["3"]);
}

#[test]
fn a_strange_trigger_stops_whoever_writes() {
    let altered = "DROP TRIGGER history_no_update; CREATE TRIGGER history_no_update \
         BEFORE UPDATE ON drift_history WHEN 0 BEGIN SELECT RAISE(ABORT, 'x'); END";
    for (made, named) in [
        (FOREIGN, "the trigger \"a\\u001b[2K\\u000a\\\"b\" is not ours"),
        (altered, "the trigger history_no_update is not as it was made"),
        (
            "CREATE TRIGGER more AFTER UPDATE ON current_state BEGIN SELECT 1; END",
            "the trigger \"more\" is not ours",
        ),
    ] {
        let folder = history();
        let folder = folder.path();
        sql(&database(folder), made);
        let bytes = || std::fs::read(database(folder)).unwrap();
        let before = bytes();
        is_told(folder, named);
        assert!(refused(folder).contains(named));
        for arguments in [&["import", "status.json"][..], &SERVE] {
            let (code, _, said) = command(folder, arguments);
            assert!(code == 1 && said.lines().count() == 1 && said.contains(named), "{said:?}");
        }
        assert!(bytes() == before, "nothing is written");
        is_healed(folder, named);
        assert_eq!(rows(&database(folder), "SELECT count(*) FROM current_state"), ["1"]);
        // One that comes while a server runs.
        let server = Process::start(folder);
        sql(&database(folder), made);
        let (code, _, said) = command(folder, &["import", "status.json"]);
        assert!(code == 1 && said.contains(named), "{said}");
        drop(server);
    }
}

#[test]
fn what_else_is_missing_is_named_and_what_is_more_is_nobodys_business() {
    let folder = history();
    let folder = folder.path();
    let more = "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER); \
         CREATE VIEW mine AS SELECT 1; CREATE INDEX theirs ON drift_history (host_id); ANALYZE";
    sql(&database(folder), more);
    let (code, _, said) = command(folder, &["verify"]);
    assert_eq!((code, said), (0, String::new()));
    sql(&database(folder), "DROP VIEW status; DROP INDEX history_imports");
    is_told(folder, "the view status is missing");
    is_told(folder, "the index history_imports is missing");
}

/// A start says it, whatever else is in its log, and serves.
#[test]
fn a_start_says_which_trigger_is_gone() {
    let folder = history();
    sql(&database(folder.path()), "DROP TRIGGER run_no_update");
    let mut server = binary(folder.path());
    server.args(SERVE).env("DATABASE_URL", url(folder.path()));
    let mut server = server.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = std::io::BufReader::new(server.stderr.take().unwrap());
    let said: Vec<String> = std::io::BufRead::lines(log)
        .map(Result::unwrap)
        .take_while(|line| !line.contains(" ready "))
        .collect();
    server.kill().unwrap();
    server.wait().unwrap();
    let error = said.iter().find(|line| line.contains("the trigger run_no_update is missing"));
    assert!(error.is_some_and(|line| line.contains("ERROR")), "{said:?}");
}
