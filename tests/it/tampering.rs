//! Somebody edits the history: `verify` says so, and where it begins.

use crate::process::{Process, database, run, run_with, url};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Runs statements as somebody who owns the file: no trigger is in the way.
fn edit(database: &Path, statements: &str) {
    use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
    actix_web::rt::System::new().block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database);
        let mut connection = options.foreign_keys(false).connect().await.unwrap();
        let triggers = sqlx::query("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'");
        let triggers = triggers.fetch_all(&mut connection).await.unwrap();
        let drop = triggers.iter().map(|row| format!("DROP TRIGGER {}", row.get::<&str, _>(0)));
        let create = triggers.iter().map(|row| row.get::<String, _>(1));
        let all: Vec<String> = drop.chain([statements.to_owned()]).chain(create).collect();
        let all = AssertSqlSafe(all.join(";\n"));
        sqlx::raw_sql(all).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

/// So many reports of ten hosts, each different from the others; `mark` tells histories apart.
fn report(server: &Process, count: usize, mark: &str) {
    for n in 0..count {
        let status = if n % 7 == 3 { "out_of_sync" } else { "synced" };
        let report = json!({"server_group":"g", "host": format!("h{}", n % 10), "status": status,
            "changed_files": if status == "synced" { json!([]) } else { json!(["/x"]) },
            "branch": format!("{mark}{n}"), "run_id": n.to_string()});
        server.post("/status/pipeline", &report).ok();
    }
}

/// A stopped server's folder: 500 entries, a checkpoint remembered, 100 more, another one.
fn history() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for count in [500, 100] {
        let mut server = Process::start(folder.path());
        report(&server, count, "a");
        assert!(server.stop().success());
    }
    folder
}

/// A copy of a folder.
fn copy(of: &Path) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(of).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    folder
}

fn verify(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let url = url(folder);
    run_with(folder, &[("DATABASE_URL", &url)], &[&["verify"], arguments].concat())
}

#[test]
fn every_edit_is_found_and_the_first_entry_named() {
    let history = history();
    assert_eq!(verify(history.path(), &[]), (0, String::new()));
    for (edits, first) in [
        ("UPDATE drift_history SET lag = lag + 1 WHERE seq = 300", 300),
        ("UPDATE drift_history SET received_at = received_at + 1 WHERE seq = 1", 1),
        ("UPDATE drift_history SET marks = marks | 8 WHERE seq = 600", 600),
        ("UPDATE drift_history SET marks = marks | (9 << 6) WHERE seq = 257", 257),
        ("UPDATE drift_history SET host_id = 99 WHERE seq = 512", 512),
        ("UPDATE drift_history SET hash8 = hash8 + 1 WHERE seq = 513", 513),
        ("UPDATE drift_history SET content_id = 777777 WHERE seq = 44", 44),
        ("UPDATE content SET status = 0 WHERE branch = 'a3'", 4),
        ("UPDATE content SET status = 0 WHERE branch = 'a10'", 11),
        ("UPDATE content SET changed_files = '[]' WHERE branch = 'a17'", 18),
        ("UPDATE content SET labels = 'x' WHERE branch = 'a18'", 19),
        ("DELETE FROM content WHERE branch = 'a499'", 500),
        ("UPDATE host SET host = 'x' WHERE host = 'h4'", 5),
        ("UPDATE run SET run_id = 'x' WHERE run_id = '299'", 300),
        ("UPDATE sender SET remote_address = '127.0.0.2'", 1),
        ("DELETE FROM drift_history WHERE seq = 300", 300),
        ("DELETE FROM drift_history WHERE seq > 590", 591),
        ("DELETE FROM drift_history WHERE seq <= 256", 1),
        (
            "UPDATE drift_history SET seq = -1 WHERE seq = 300; \
             UPDATE drift_history SET seq = 300 WHERE seq = 301; \
             UPDATE drift_history SET seq = 301 WHERE seq = -1",
            300,
        ),
        (
            "INSERT INTO drift_history SELECT 601, host_id, received_at, lag, ahead, content_id, \
             sender_id, run_id, marks, hash8 FROM drift_history \
             WHERE seq = 600",
            601,
        ),
        ("UPDATE subtree SET hash = (hash < '1') || substr(hash, 2) WHERE n = 1", 257),
        ("DELETE FROM subtree WHERE n = 0", 1),
        ("UPDATE head SET frontier = (frontier < '1') || substr(frontier, 2)", 513),
        ("UPDATE head SET tree_size = 599", 600),
        (
            "UPDATE head SET size = 599, tree_size = 599; DELETE FROM drift_history WHERE seq = 600",
            513,
        ),
    ] {
        let folder = copy(history.path());
        edit(&database(folder.path()), edits);
        let (code, said) = verify(folder.path(), &["--tree"]);
        let named = format!("what was recorded, first at entry {first}\n");
        assert!(code == 1 && said.contains(&named), "{edits}: {code} {said}");
        assert_eq!(verify(folder.path(), &[]).0, 1, "{edits}");
    }
}

/// A row, its short hash, and everything kept of the tree: as somebody could who has the program.
#[test]
fn an_edit_with_a_new_short_hash_is_found_by_its_subtree() {
    use sha2::{Digest, Sha256};
    let history = history();
    let export = run_export(history.path());
    let line = export.lines().nth(399).unwrap();
    let edited = line.replace("\"late\":0", "\"late\":1");
    assert_ne!(line, edited);
    let hash = Sha256::new().chain_update([0]).chain_update(&edited).finalize();
    let hash8 = i64::from_be_bytes(hash[..8].try_into().unwrap());
    edit(
        &database(history.path()),
        &format!("UPDATE drift_history SET marks = marks | 8, hash8 = {hash8} WHERE seq = 400"),
    );
    let (code, said) = verify(history.path(), &["--tree"]);
    assert!(code == 1 && said.contains("entries 257 to 512: one of them is not"), "{said}");
}

fn run_export(folder: &Path) -> String {
    let url = url(folder);
    let arguments = ["export", "--database-url", &url, "--format", "ndjson", "--sort", "id"];
    let output = run(folder, &arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The database as it was after 500 entries, with 100 other ones behind them.
fn with_another_tail() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(folder.path());
    report(&server, 500, "a");
    assert!(server.stop().success());
    let forged = copy(folder.path());
    let mut server = Process::start(folder.path());
    report(&server, 100, "a");
    assert!(server.stop().success());
    let mut server = Process::start(forged.path());
    report(&server, 100, "b");
    assert!(server.stop().success());
    std::fs::copy(database(forged.path()), database(folder.path())).unwrap();
    let log = folder.path().join("ci.log");
    (folder, log)
}

#[test]
fn a_rewritten_tail_contradicts_remembered_checkpoints_and_receipts() {
    let (folder, log) = with_another_tail();
    assert_eq!(verify(folder.path(), &["--refold"]), (0, String::new()), "it is a good forgery");
    let (code, said) = verify(folder.path(), &[]);
    let named =
        "first at entry 501\n  entries 501 to 600: they are not those of a checkpoint of 600";
    assert!(code == 1 && said.contains(named), "{said}");
    // What a CI job has printed.
    let lines = run_export(folder.path());
    let receipt = |line: &str| {
        let line_of: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| line_of[key].as_str().unwrap().to_owned();
        let hash = crate::receipts::leaf_hash(line);
        format!("gitops-status receipt {} {} {hash}", text("origin"), text("id"))
    };
    let honest: Vec<String> = lines.lines().take(500).map(receipt).collect();
    std::fs::write(&log, honest.join("\nsomething else\n")).unwrap();
    assert_eq!(verify(folder.path(), &["--receipts", log.to_str().unwrap()]), (0, String::new()));
    let theirs = receipt(lines.lines().nth(549).unwrap()).replace(" 550 ", " 551 ");
    std::fs::write(&log, format!("{}\n{theirs}\n", honest.join("\n"))).unwrap();
    let (code, said) = verify(folder.path(), &["--receipts", log.to_str().unwrap()]);
    let named = "first at entry 551\n  entry 551: it is not what its receipt says";
    assert!(
        code == 1 && said.contains(named) && said.contains("500 of 501 receipts fit"),
        "{said}"
    );
    let beyond = theirs.replace(" 551 ", " 601 ");
    let (code, said) = verify(folder.path(), &["--receipt", &beyond]);
    assert!(code == 1 && said.contains("entry 601: a receipt of it was given out, but"), "{said}");
}

/// No trigger looks at what a server writes: the batch itself does.
#[test]
fn a_server_does_not_write_on_behind_an_edited_end() {
    let columns = "host_id, received_at, lag, ahead, content_id, sender_id, run_id, marks, hash8";
    let newest_again = format!(
        "INSERT INTO drift_history (seq, {columns}) SELECT 4, {columns} FROM drift_history WHERE seq = 3"
    );
    for (edited, mended) in [
        ("CREATE TABLE aside AS SELECT * FROM drift_history WHERE seq = 3; DELETE FROM drift_history WHERE seq = 3".to_owned(),
         format!("INSERT INTO drift_history (seq, {columns}) SELECT seq, {columns} FROM aside; DROP TABLE aside")),
        (newest_again, "DELETE FROM drift_history WHERE seq = 4".to_owned()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Process::start(folder.path());
        report(&server, 3, "a");
        edit(&database(folder.path()), &edited);
        for _ in 0..2 {
            let more = json!({"server_group": "g", "host": "h4", "status": "synced"});
            server.post("/status/pipeline", &more).problem(503);
        }
        edit(&database(folder.path()), &mended);
        report(&server, 1, "b");
        assert_eq!(server.lines().last().unwrap()["id"], "4", "{edited}");
        assert!(server.stop().success());
        let (code, said) = verify(folder.path(), &[]);
        assert_eq!(code, 0, "{said}");
    }
}

#[test]
fn bits_that_flip_on_disk_are_noticed_or_do_not_matter() {
    let history = history();
    let (lines, file) = (run_export(history.path()), database(history.path()));
    let bytes = std::fs::read(&file).unwrap();
    let mut noticed = 0;
    for at in (0..60).map(|n| 5000 + n * (bytes.len() - 5100) / 60) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        std::fs::write(&file, flipped).unwrap();
        if verify(history.path(), &[]).0 != 0 {
            noticed += 1;
            continue;
        }
        assert_eq!(run_export(history.path()), lines, "byte {at}");
    }
    assert!(noticed > 20, "{noticed}");
}

/// An entry is changed while the schema does not know of the index.
#[test]
fn an_index_that_does_not_say_what_its_table_says_is_named() {
    let history = history();
    for index in ["history_changes_by_host", "history_changes_by_time"] {
        let folder = copy(history.path());
        edit(
            &database(folder.path()),
            &format!(
                "CREATE TEMP TABLE kept AS SELECT * FROM sqlite_schema WHERE name = '{index}'; \
                 PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = '{index}'; \
                 PRAGMA writable_schema = RESET; \
                 UPDATE drift_history SET lag = lag + 1 WHERE seq = (SELECT max(seq) FROM drift_history \
                 WHERE transition <> 0); \
                 PRAGMA writable_schema = ON; INSERT INTO sqlite_schema SELECT * FROM kept; \
                 PRAGMA writable_schema = RESET"
            ),
        );
        let (code, said) = verify(folder.path(), &[]);
        let names = |name: &str| said.contains(&format!("the index {name} does not say"));
        assert!(code == 1 && names(index), "{index}: {code} {said}");
        assert!(!names("history_imports"), "{said}");
    }
    let edits = [
        ("host_entry", "DELETE FROM host_entry WHERE seq = 300"),
        ("host_entry", "UPDATE host_entry SET time = time + 1 WHERE seq = 9"),
        ("time_entry", "DELETE FROM time_entry WHERE seq = 300"),
        ("time_entry", "UPDATE time_entry SET time = time + 1 WHERE seq = 9"),
        ("time_entry", "UPDATE head SET timed = timed - 1"),
        ("time_entry", "UPDATE head SET timed = size"),
    ];
    for (index, sql) in edits {
        let folder = copy(history.path());
        edit(&database(folder.path()), sql);
        let (code, said) = verify(folder.path(), &[]);
        let named = said.contains(&format!("the index {index} does not say what its table says"));
        assert!(code == 1 && named, "{sql}: {code} {said}");
        assert_eq!(
            run_with(folder.path(), &[("DATABASE_URL", &url(folder.path()))], &["rebuild"]).0,
            0
        );
        assert_eq!(verify(folder.path(), &[]).0, 0, "{sql}: healed");
    }
}

/// Whoever writes rows without triggers that fire for them: REPLACE takes a row away without a word where a
/// connection has no recursive triggers, and SQLite lets nobody refuse an INSERT at no cost.
#[test]
fn rows_that_somebody_puts_in_are_found() {
    let history = history();
    let columns = "host_id, received_at, lag, ahead, content_id, sender_id, run_id, marks, hash8";
    let put = |seq: i64| {
        format!(
            "REPLACE INTO drift_history (seq, {columns}) SELECT {seq}, {columns} FROM drift_history \
             WHERE seq = 20"
        )
    };
    for (seq, named) in [(300, "first at entry 300"), (601, "601"), (0, "0"), (-1, "-1")] {
        let folder = copy(history.path());
        crate::process::sql(&database(folder.path()), &put(seq));
        let (code, said) = verify(folder.path(), &[]);
        assert!(code == 1 && said.contains(named), "{seq}: {said}");
    }
}
