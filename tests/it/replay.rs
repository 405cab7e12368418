//! Replay equals live: the same entries give the same projections, byte for byte, whether they were applied
//! as they came, from nothing, or after a stop at any position.

use crate::courses::{Arrival, arrival};
use crate::harness::Server;
use crate::seeds;
use gitops_status_server::files::Location;
use gitops_status_server::ledger::Dictionary;
use gitops_status_server::projection::{catch_up, rebuild};
use proptest::prelude::*;
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// All that is projected; numbers of sets of files, which are given in the order in which they are needed, by
/// what they stand for. `applied` says how far a state is, not what it is. Whether entries of a host with
/// several names came out of order was judged under one of them.
const PROJECTED: [(&str, &str); 9] = [
    ("host_entry", "SELECT json_array(host_id, time, seq) FROM host_entry ORDER BY 1"),
    (
        "host_confirmation",
        "SELECT json_array(host_id, time, seq) FROM host_confirmation ORDER BY 1",
    ),
    ("current_state", "SELECT json_array(host_id, state) FROM current_state ORDER BY host_id"),
    (
        "segment",
        "SELECT json_array(host_id, start, end, status, silent, (SELECT paths FROM file_set f \
         WHERE f.id = file_set_id), reports, deployment_id, deployments) FROM segment ORDER BY host_id, start",
    ),
    (
        "episode",
        "SELECT json_array(id, host_id, started_at, started_after, ended_at, closed_seq, closed_by, \
         last_drift, reports, drifted, deployment_id) FROM episode ORDER BY id",
    ),
    (
        "episode_files",
        "SELECT json_array(episode_id, seq, (SELECT paths FROM file_set f WHERE f.id = file_set_id)) \
         FROM episode_files ORDER BY 1",
    ),
    (
        "out_of_order",
        "SELECT json_array(host_id, seq) FROM out_of_order WHERE host_id NOT IN \
         (SELECT host_id FROM host_alias UNION SELECT root_id FROM host_alias) ORDER BY host_id, seq",
    ),
    ("host_alias", "SELECT json_array(host_id, root_id) FROM host_alias ORDER BY 1"),
    ("refold", "SELECT json_array(host_id) FROM refold"),
];

fn now<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn projected(path: &Path) -> Vec<(&'static str, Vec<String>)> {
    now(async {
        let mut connection =
            SqliteConnectOptions::new().filename(path).read_only(true).connect().await.unwrap();
        let mut tables = Vec::new();
        for (table, sql) in PROJECTED {
            let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
            tables.push((table, rows.iter().map(|row| row.get(0)).collect()));
        }
        let head = "SELECT json_array(watermark = size, timed <= size) FROM head";
        let head = sqlx::query(head).fetch_one(&mut connection).await.unwrap();
        tables.push(("head", vec![head.get(0)]));
        connection.close().await.unwrap();
        tables
    })
}

/// The files as a kill at this moment would leave them.
fn as_killed(server: &Server, folder: &Path) -> PathBuf {
    let path = folder.join("history.db");
    let beside = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
    std::fs::copy(server.database(), &path).unwrap();
    std::fs::copy(beside(&server.database()), beside(&path)).unwrap();
    path
}

fn check(arrivals: &[Arrival]) -> Result<(), TestCaseError> {
    let server = Server::start();
    for (at, arrival) in arrivals.iter().enumerate() {
        server.clock.advance(if at % 3 == 0 { 3600 * 5 } else { 1 });
        let answer = match arrival {
            Arrival::Reports(reports) => server.post("/status/cron?create=true", &json!(reports)),
            Arrival::Push(body) => {
                server.send("POST", "/metrics/job/g", &[], Some(body.as_bytes()))
            }
            Arrival::Act(path, body) => server.post(path, body),
        };
        prop_assert!(answer.status < 500, "{}", answer.text());
        let folder = tempfile::tempdir().unwrap();
        let path = as_killed(&server, folder.path());
        let (location, dictionary) =
            (Location { path: path.clone() }, Arc::new(Dictionary::default()));
        now(catch_up(&location, &dictionary)).unwrap();
        let resumed = projected(&path);
        now(rebuild(&location, &dictionary, &|_, _| {})).unwrap();
        for (resumed, anew) in resumed.into_iter().zip(projected(&path)) {
            prop_assert_eq!(resumed, anew, "behind arrival {}", at);
        }
    }
    Ok(())
}

#[test]
fn entries_give_the_same_projections_live_from_nothing_and_after_a_stop_anywhere() {
    let arrivals = prop::collection::vec(arrival(), 1..10);
    seeds::runner(file!(), 25, 100).run(&arrivals, |arrivals| check(&arrivals)).unwrap();
}
