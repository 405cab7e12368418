//! The database file: append-only by its own hand, readable with plain SQL.

use crate::harness::{Server, check, pipeline_report, with};
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use std::path::Path;

/// Runs statements on a file; answers the first error.
fn sql(path: &Path, statements: &str) -> Result<(), String> {
    with_connection(path, async |connection| {
        let text = AssertSqlSafe(statements.to_owned());
        sqlx::raw_sql(text).execute(connection).await.map(|_| ()).map_err(|error| error.to_string())
    })
}

fn with_connection<T>(path: &Path, work: impl AsyncFnOnce(&mut SqliteConnection) -> T) -> T {
    actix_web::rt::System::new().block_on(async {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        let result = work(&mut connection).await;
        connection.close().await.unwrap();
        result
    })
}

fn filled() -> Server {
    let server = Server::start();
    server.pipeline(&with(
        pipeline_report("g", "h", "2026-04-26T11:00:00Z"),
        &json!({"status":"out_of_sync","changed_files":["/a"],"environment":"prod",
            "run_id":"7","run_url":"u"}),
    ));
    server.cron(&check("g", "h", "out_of_sync", "2026-04-26T11:30:00Z"));
    server
}

#[test]
fn the_history_refuses_every_change() {
    let server = filled();
    let before = server.raw_lines();
    let columns = "seq, host_id, received_at, lag, ahead, content_id, sender_id, run_id, \
        marks, hash8";
    let copy = |seq: &str| {
        let rest = columns.strip_prefix("seq").unwrap();
        format!("INTO drift_history ({columns}) SELECT {seq}{rest} FROM drift_history LIMIT 1")
    };
    for statement in [
        "UPDATE drift_history SET marks = 8".to_owned(),
        "UPDATE drift_history SET seq = 3 WHERE seq = 2".to_owned(),
        "UPDATE OR REPLACE drift_history SET seq = 1 WHERE seq = 2".to_owned(),
        "DELETE FROM drift_history".to_owned(),
        "DELETE FROM drift_history WHERE seq = 2".to_owned(),
        format!("PRAGMA recursive_triggers = ON; REPLACE {}", copy("1")),
        format!("PRAGMA recursive_triggers = ON; INSERT OR REPLACE {}", copy("2")),
        format!("INSERT {}", copy("1")),
        "UPDATE head SET size = 0".to_owned(),
        "UPDATE head SET prune_before = 0 - 1".to_owned(),
        "UPDATE head SET origin = 'x'".to_owned(),
        "DELETE FROM head".to_owned(),
        "INSERT INTO head SELECT * FROM head".to_owned(),
        "REPLACE INTO head SELECT * FROM head".to_owned(),
    ] {
        // As a stranger's connection, with and without its own safety nets.
        for pragma in ["", "PRAGMA recursive_triggers = ON;", "PRAGMA foreign_keys = OFF;"] {
            let refused = sql(&server.database(), &format!("{pragma}{statement}"));
            assert!(refused.is_err(), "{pragma}{statement}");
        }
    }
    assert_eq!(server.raw_lines(), before);
}

#[test]
fn the_dictionaries_refuse_every_change() {
    let server = filled();
    let before = server.raw_lines();
    for (table, column) in
        [("host", "host"), ("content", "branch"), ("sender", "remote_address"), ("run", "run_id")]
    {
        for statement in [
            format!("UPDATE {table} SET {column} = 'x'"),
            format!("DELETE FROM {table}"),
            format!("REPLACE INTO {table} SELECT * FROM {table}"),
            format!("INSERT OR REPLACE INTO {table} SELECT * FROM {table}"),
        ] {
            assert!(sql(&server.database(), &statement).is_err(), "{statement}");
        }
    }
    assert_eq!(server.raw_lines(), before);
}

#[test]
fn people_with_sqlite_find_views_with_plain_names() {
    let server = filled();
    // `status` follows within seconds.
    while with_connection(&server.database(), async |connection| {
        let rows = sqlx::query("SELECT * FROM status").fetch_all(connection).await.unwrap();
        rows.is_empty()
    }) {
        std::thread::yield_now();
    }
    let (history, status) = with_connection(&server.database(), async |connection| {
        let history = "SELECT group_concat(id || source || host || status || transition || time) \
            FROM (SELECT * FROM history ORDER BY id)";
        let history = sqlx::query(history).fetch_one(&mut *connection).await.unwrap();
        let status = "SELECT server_group || host || status || changed_files || environment || \
            drift_since || last_report || reports FROM status";
        let status = sqlx::query(status).fetch_one(&mut *connection).await.unwrap();
        (history.get::<String, _>(0), status.get::<String, _>(0))
    });
    assert_eq!(
        history,
        "1pipelinehout_of_syncopened2026-04-26T11:00:00Z,2cronhout_of_syncnone2026-04-26T11:30:00Z"
    );
    assert_eq!(status, "ghout_of_sync[\"/a\"]prod2026-04-26T11:00:00Z2026-04-26T11:30:00Z2");
}
