//! Current state, segments and episodes are the fold of the history by (time, id), in whatever order
//! and company the reports arrive.

use crate::harness::Server;
use crate::process::{Process, database, run_with, sql, url};
use crate::seeds;
use gitops_status_server::files::Location;
use gitops_status_server::ledger::Dictionary;
use gitops_status_server::projection::{Verdict, verify};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;

/// What `verify --refold` finds in a database.
pub fn verdict(server: &Server) -> Verdict {
    let location = Location { path: server.database() };
    let run = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    run.block_on(verify(&location, &std::sync::Arc::new(Dictionary::default()), &|_, _| {}))
        .unwrap()
}

/// Reports, or an act on a host: its path and body.
#[derive(Debug, Clone)]
pub enum Arrival {
    Reports(Vec<Value>),
    Act(String, Value),
    /// What a job of that group pushes; nothing deletes what it pushed before.
    Push(String),
}

pub fn arrival() -> impl Strategy<Value = Arrival> {
    let host = 0..3_u8;
    let retire = host.clone().prop_map(|host| {
        Arrival::Act(format!("/hosts/g/h{host}/retire"), json!({"reason":"gone"}))
    });
    let alias = (host.clone(), host).prop_map(|(new, old)| {
        let of = json!({"alias_of":{"server_group":"g","host":format!("h{old}")}});
        Arrival::Act(format!("/hosts/g/h{new}/alias"), of)
    });
    let stacks = prop::collection::btree_map(0..3_u8, 0..3_u8, 0..3);
    let run = prop::option::weighted(0.8, 0..144_i64);
    let push = (stacks, run).prop_map(|(stacks, slot)| {
        let line = |(stack, state)| format!("drift_stack_state{{stack=\"h{stack}\"}} {state}\n");
        let states: String = stacks.into_iter().map(line).collect();
        // Half hours, as for the reports.
        let run = slot.map(|slot| 1_776_902_400 + slot * 1800);
        let run = run.map(|run| format!("drift_detection_last_run_timestamp {run}\n"));
        Arrival::Push(states + &run.unwrap_or_default())
    });
    prop_oneof![
        3 => push,
        8 => prop::collection::vec(report(), 1..6).prop_map(Arrival::Reports),
        1 => retire,
        1 => alias,
    ]
}

fn report() -> impl Strategy<Value = Value> {
    let status = prop::option::weighted(
        0.7,
        prop::sample::select(&["synced", "out_of_sync", "out_of_sync", "failed", "unknown"]),
    );
    let files = prop::option::of(prop::collection::vec(prop::sample::select(&["/a", "/b"]), 0..3));
    let max_age = prop::sample::select(&[600, 7200, 400_000]);
    // Half hours over three days, so that times collide, silences and midnights happen.
    let time = prop::option::weighted(0.9, 0..144_u32);
    (0..2_u8, status, files, time, max_age).prop_map(|(host, status, files, slot, max_age)| {
        let time = slot.map(|slot| {
            format!("2026-04-{:02}T{:02}:{:02}:00Z", 23 + slot / 48, slot / 2 % 24, slot % 2 * 30)
        });
        json!({"server_group":"g","host":format!("h{host}"),"status":status,"changed_files":files,
            "last_cron_check":time,"max_age":max_age})
    })
}

/// What is asked after each arrival, and again at the end, as of then.
const PAST: [&str; 4] = [
    "/reviews?from=2026-04-23T07:15:00Z&group_by=host",
    "/timeline?from=2026-04-23T10:00:00Z",
    "/timeline?step=7h",
    "/episodes?order=asc",
];

fn check(arrivals: &[Arrival]) -> Result<(), TestCaseError> {
    let server = Server::start();
    let (mut looks, mut known) = (Vec::new(), 0);
    for (at, arrival) in arrivals.iter().enumerate() {
        server.clock.advance(if at % 3 == 0 { 3600 * 5 } else { 1 });
        match arrival {
            Arrival::Reports(reports) => {
                server.post("/status/cron?create=true", &json!(reports)).ok();
            }
            Arrival::Push(body) => {
                let method = if body.is_empty() { "DELETE" } else { "POST" };
                let pushed = server.send(method, "/metrics/job/g", &[], Some(body.as_bytes()));
                prop_assert!([200, 202].contains(&pushed.status), "{}", pushed.text());
            }
            // Refused where it makes no sense.
            Arrival::Act(path, body) => {
                let status = server.post(path, body).status;
                prop_assert!([200, 404, 409].contains(&status), "{}", status);
            }
        }
        let verdict = verdict(&server);
        prop_assert_eq!(verdict.differences, vec![]);
        let now = server.clock.now();
        let present = server.json("/status");
        prop_assert_eq!(&server.json(&format!("/status?at={now}")), &present);
        // `as_of` ends at the newest entry: comparable only where that has just come.
        if verdict.entries > known {
            known = verdict.entries;
            looks.push((now, known, present, PAST.map(|path| server.json(path))));
        }
    }
    // However much is known by now.
    for (now, size, present, past) in looks {
        let then = format!("/status?server_group=g&at={now}&known_at={now}");
        prop_assert_eq!(server.json(&then), present, "{}", then);
        for (path, then) in PAST.iter().zip(past) {
            let sign = if path.contains('?') { '&' } else { '?' };
            let path = format!("{path}{sign}as_of={size}");
            prop_assert_eq!(server.json(&path), then, "{}", path);
        }
    }
    Ok(())
}

#[test]
fn projections_are_the_fold_and_the_past_stays_what_it_was_whatever_arrives() {
    let arrivals = prop::collection::vec(arrival(), 1..16);
    seeds::runner(file!(), 60, 300).run(&arrivals, |arrivals| check(&arrivals)).unwrap();
}

/// A stopped server's folder with some hosts' drifts.
fn drifted() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(folder.path());
    for (day, status) in [(1, "synced"), (2, "out_of_sync"), (3, "out_of_sync"), (5, "synced")] {
        for host in ["a", "b"] {
            let time = format!("2026-04-{day:02}T10:00:00Z");
            let report = json!({"server_group":"g","host":host,"status":status,
                "changed_files":if status == "synced" { json!([]) } else { json!(["/x"]) },
                "last_pipeline_run":time,"commit_sha":format!("c{day}")});
            server.post("/status/pipeline", &report).ok();
        }
    }
    assert!(server.stop().success());
    folder
}

fn verify_refold(folder: &std::path::Path) -> (i32, String) {
    let url = url(folder);
    run_with(folder, &[("DATABASE_URL", &url)], &["verify", "--refold"])
}

#[test]
fn a_damaged_projection_is_found_and_healed() {
    let damages = [
        ("UPDATE segment SET status = 0 WHERE status = 1", "segment, row 2"),
        (
            "DELETE FROM segment WHERE host_id = 2 AND start = (SELECT max(start) FROM segment)",
            "segment",
        ),
        ("UPDATE episode SET drifted = drifted + 1 WHERE id = 3", "g/a: episode, row 1"),
        ("DELETE FROM episode_files WHERE episode_id = 4", "g/b: episode_files, row 1"),
        (
            "UPDATE current_state SET state = json_set(state, '$[1]', 7) WHERE host_id = 1",
            "g/a: current_state",
        ),
        (
            "UPDATE current_state SET state = json_set(state, '$[20]', 7) WHERE host_id = 2",
            "g/b: current_state",
        ),
        ("INSERT INTO out_of_order VALUES (1, 3)", "g/a: out_of_order"),
        (
            "INSERT INTO segment SELECT 99, start, end, status, silent, file_set_id, reports, deployment_id, deployments FROM segment LIMIT 1",
            "rows of no host",
        ),
    ];
    let folder = drifted();
    assert_eq!(verify_refold(folder.path()).0, 0);
    for (damage, says) in damages {
        sql(&database(folder.path()), damage);
        let (code, said) = verify_refold(folder.path());
        assert_eq!(code, 1, "{damage}");
        assert!(said.contains(says) && said.contains("rebuild"), "{damage}: {said}");
        let url = url(folder.path());
        let (code, said) = run_with(folder.path(), &[("DATABASE_URL", &url)], &["rebuild"]);
        assert_eq!((code, said.as_str()), (0, ""), "{damage}");
        assert_eq!(verify_refold(folder.path()).0, 0, "{damage}");
    }
}

/// Puts the history into a database of the first version.
fn as_the_first_version_left_it(path: &Path) {
    const FIRST: &str = include_str!("../../migrations/V1__core.sql");
    const ENTRY: &str = "seq, host_id, received_at, lag, ahead, content_id, sender_id, run_id, kind, \
        source, late, transition, hash8";
    let newer = path.with_extension("newer");
    std::fs::rename(path, &newer).unwrap();
    std::fs::write(path, "").unwrap();
    let header = std::fs::read(&newer).unwrap();
    let application = u32::from_be_bytes(header[68..72].try_into().unwrap());
    let copied = format!(
        "{FIRST} ATTACH '{}' AS newer;
         INSERT INTO head (id, origin) SELECT id, origin FROM newer.head;
         INSERT INTO host SELECT * FROM newer.host;
         INSERT INTO content SELECT * FROM newer.content;
         INSERT INTO sender SELECT * FROM newer.sender;
         INSERT INTO run SELECT * FROM newer.run;
         INSERT INTO drift_history ({ENTRY}) SELECT {ENTRY} FROM newer.drift_history ORDER BY seq;
         INSERT INTO current_state (host_id, reports, first_time, status, newest_seq, legacy_reports)
             SELECT host_id, 1, 0, 0, applied, 0 FROM newer.current_state;
         CREATE TABLE refinery_schema_history AS
             SELECT * FROM newer.refinery_schema_history WHERE version = 1;
         PRAGMA application_id = {application};",
        newer.display()
    );
    sql(path, &copied);
}

#[test]
fn an_older_database_gets_its_timelines_at_the_next_start() {
    let folder = drifted();
    let before = {
        let mut server = Process::start(folder.path());
        let checkpoint = server.get("/checkpoint").text();
        let found = (server.json("/episodes?order=asc"), server.json("/status"), checkpoint);
        assert!(server.stop().success());
        found
    };
    as_the_first_version_left_it(&database(folder.path()));
    let (code, said) = verify_refold(folder.path());
    assert_eq!(code, 1);
    assert!(said.contains("schema 1 is older"), "{said}");
    let mut server = Process::start(folder.path());
    assert_eq!(server.json("/episodes?order=asc"), before.0);
    assert_eq!(server.get("/checkpoint").text(), before.2, "the tree is built, too");
    let still = |rows: &Value| {
        let mut rows = rows.clone();
        rows.as_array_mut()
            .unwrap()
            .iter_mut()
            .for_each(|row| drop(row["drift_age_seconds"].take()));
        rows
    };
    assert_eq!(still(&server.json("/status")), still(&before.1));
    assert!(server.stop().success());
    assert_eq!(verify_refold(folder.path()).0, 0);
}
