//! What is projected follows the history a little behind, and nobody notices.

use crate::process::{Process, command, database, rows, run_with, sql, url, while_open};
use serde_json::{Value, json};
use std::path::Path;

/// Reports of a few hosts: drifts, silences, deployments, files, retries, late ones, and acts.
fn play(server: &Process, mut after_each: impl FnMut(&Process)) {
    let mut post = |path: &str, body: Value| {
        server.post(path, &body).ok();
        after_each(server);
    };
    let check = |host: &str, status: &str, files: &[&str], time: &str| {
        json!({"server_group":"g","host":host,"status":status,"changed_files":files,
            "last_cron_check":time,"max_age":7200})
    };
    let deploy = |host: &str, commit: &str, time: &str| {
        json!({"server_group":"g","host":host,"status":"synced","environment":"prod",
            "commit_sha":commit,"last_pipeline_run":time})
    };
    for host in ["a", "b", "c", "old"] {
        post("/status/pipeline", deploy(host, "c1", "2026-04-01T10:00:00Z"));
    }
    for (host, status, files, time) in [
        ("a", "out_of_sync", &["/x"][..], "2026-04-01T11:00:00Z"),
        ("a", "out_of_sync", &["/x", "/y"], "2026-04-01T12:00:00Z"),
        ("b", "out_of_sync", &["/z"], "2026-04-01T12:00:00Z"),
        ("a", "synced", &[], "2026-04-02T12:00:00Z"),
        ("old", "out_of_sync", &["/q"], "2026-04-02T12:30:00Z"),
    ] {
        post("/status/cron", check(host, status, files, time));
    }
    // Again, too late, of one time, and a retry of what is long settled.
    post("/status/cron", check("a", "synced", &[], "2026-04-02T12:00:00Z"));
    post("/status/cron", check("b", "synced", &[], "2026-04-01T11:30:00Z"));
    post("/status/cron", check("c", "failed", &["/w"], "2026-04-01T10:00:00Z"));
    // One that says nothing of status or files.
    let silent = json!({"server_group":"g","host":"b","last_cron_check":"2026-04-01T12:30:00Z"});
    post("/status/cron", silent);
    post("/status/pipeline", deploy("a", "c1", "2026-04-01T10:00:00Z"));
    post("/hosts/g/new/alias", json!({"alias_of":{"server_group":"g","host":"old"}}));
    post("/status/cron", check("old", "synced", &[], "2026-04-03T01:00:00Z"));
    post("/status/cron", check("new", "out_of_sync", &["/r"], "2026-04-03T02:00:00Z"));
    post("/hosts/g/c/retire", json!({"reason":"gone"}));
    post("/status/cron", check("b", "out_of_sync", &["/z", "/zz"], "2026-04-03T02:00:00Z"));
    post("/status/pipeline", deploy("a", "c2", "2026-04-03T03:00:00Z"));
}

/// Everything that is kept by host; retirements and renamings bear the time at which they were made.
fn kept_by_host(folder: &Path) -> Vec<Vec<String>> {
    let path = database(folder);
    vec![
        rows(
            &path,
            "SELECT host_id, state->>1, state->>3, state->>4, state->>5, state->>6, state->>7, state->>8, \
             state->>9, state->>10, state->>11, state->>12, state->>13, state->>18, state->>19, \
             state->>20, state->>21, state->>22, state->>23 FROM current_state ORDER BY 1",
        ),
        rows(&path, "SELECT host_id, start, status, silent, reports FROM segment ORDER BY 1, 2"),
        rows(&path, "SELECT id, host_id, started_at, closed_seq, reports FROM episode ORDER BY 1"),
        rows(&path, "SELECT episode_id, seq FROM episode_files ORDER BY 1, 2"),
        rows(&path, "SELECT host_id, seq FROM host_entry ORDER BY 1, 2"),
        rows(&path, "SELECT host_id, seq FROM host_confirmation ORDER BY 1, 2"),
        rows(&path, "SELECT host_id, seq FROM out_of_order ORDER BY 1, 2"),
        rows(&path, "SELECT size, watermark FROM head"),
        rows(&path, "SELECT 0, count(*) FROM refold"),
    ]
}

#[test]
fn what_a_crash_left_behind_the_watermark_is_applied_as_if_nothing_had_happened() {
    let (steady, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut server = Process::start(steady.path());
    // After every report: nothing is ever left.
    play(&server, |_| while_behind(steady.path()));
    assert!(server.stop().success());
    let mut server = Process::start(crashed.path());
    play(&server, |_| {});
    server.kill();
    let head = rows(&database(crashed.path()), "SELECT size, watermark FROM head");
    let (size, watermark) = head[0].split_once(' ').unwrap();
    assert_ne!(size, watermark, "nothing was left, so that nothing is tested");
    let (code, said) =
        run_with(crashed.path(), &[("DATABASE_URL", &url(crashed.path()))], &["verify"]);
    assert_eq!(code, 0, "{said}");
    let mut server = Process::start(crashed.path());
    let folded = server.json("/status");
    assert_eq!(folded.as_array().unwrap().len(), 3, "{folded}");
    assert!(server.stop().success());
    let (found, right) = (kept_by_host(crashed.path()), kept_by_host(steady.path()));
    assert!(right.iter().all(|table| !table.is_empty()), "{right:?}");
    assert_eq!(found, right);
    let (code, said) =
        run_with(crashed.path(), &[("DATABASE_URL", &url(crashed.path()))], &["verify"]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn every_answer_by_host_has_what_was_just_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path());
    for minute in 0..30 {
        let time = format!("2026-04-01T10:{minute:02}:00Z");
        let status = if minute % 3 == 0 { "out_of_sync" } else { "synced" };
        let report = json!({"server_group":"g","host":"h","status":status,"last_cron_check":time});
        let answer = server.post("/status/cron?create=true", &report).ok();
        let page = server.json("/history?server_group=g&host=h&limit=1");
        assert_eq!(page["items"][0]["id"], answer["report"]["id"], "{page}");
        let reports: i64 = server
            .json("/timeline?from=2026-04-01T00:00:00Z")
            .as_array()
            .unwrap()
            .iter()
            .map(|segment| segment["reports"].as_i64().unwrap())
            .sum();
        assert_eq!(reports, minute + 1);
    }
}

#[test]
fn commands_beside_a_server_and_after_a_crash_see_all_of_a_host() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(folder.path());
    play(&server, |_| {});
    let export = ["export", "--format", "ndjson", "--filter", "host=a"];
    let beside = command(folder.path(), &export).1;
    assert_eq!(beside.lines().count(), 5, "{beside}");
    server.post("/status/cron", &json!({"server_group":"g","host":"a"})).ok();
    server.kill();
    let (code, after, said) = command(folder.path(), &export);
    assert_eq!((code, after.lines().count()), (0, 6), "{said}");
    let (code, review, said) = command(folder.path(), &["review", "2026-Q2", "--format", "csv"]);
    assert!(code == 0 && review.contains('g'), "{review} {said}");
}

/// Waits until everything is projected, which takes a second or two.
fn while_behind(folder: &Path) {
    let behind = "SELECT 1, 1 FROM head WHERE watermark < size OR EXISTS (SELECT 1 FROM refold)";
    let begun = std::time::Instant::now();
    while !rows(&database(folder), behind).is_empty() {
        assert!(begun.elapsed().as_secs() < 30, "it is never projected");
        std::thread::yield_now();
    }
}

#[test]
fn while_nobody_can_write_the_newest_is_read_by_host_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path());
    while_behind(folder.path());
    let time = "2026-04-01T10:00:00Z";
    for (status, time) in [("synced", time), ("out_of_sync", "2026-04-01T11:00:00Z")] {
        let report =
            json!({"server_group":"g","host":"h","status":status,"last_pipeline_run":time});
        server.post("/status/pipeline", &report).ok();
    }
    while_open(&database(folder.path()), "BEGIN IMMEDIATE", || {
        let by_host = server.json("/history?server_group=g&host=h");
        assert_eq!(by_host["items"].as_array().unwrap().len(), 2, "{by_host}");
        let episodes = server.json("/episodes?server_group=g&host=h");
        assert_eq!(episodes["items"][0]["started_at"], "2026-04-01T11:00:00Z", "{episodes}");
        let args = ["review", "2026-Q2", "--format", "json", "--group-by", "host"];
        let (code, review, said) = command(folder.path(), &args);
        assert!(code == 0 && review.contains("\"h\""), "{review} {said}");
    });
}

/// What is projected with a batch cannot even be prepared: there is too much behind the watermark, and
/// a column is gone.
#[test]
fn a_damaged_projection_refuses_no_report() {
    const MOST_BYTES: usize = 8 << 20;
    const REPORT_BYTES: usize = 800_000;
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(folder.path());
    sql(&database(folder.path()), "ALTER TABLE file_set RENAME COLUMN digest TO gone");
    let reports = MOST_BYTES / REPORT_BYTES + 4;
    for number in 0..reports {
        let file = |n: usize| format!("{number}-{n}-{}", "x".repeat(4000));
        let files: Vec<String> = (0..REPORT_BYTES / 4000).map(file).collect();
        let body =
            json!({"server_group":"g","host":"a","status":"out_of_sync","changed_files":files});
        let answer = server.post("/status/pipeline", &body);
        assert_eq!(answer.status, 200, "report {number}");
    }
    let stored = rows(&database(folder.path()), "SELECT watermark, size FROM head");
    assert_eq!(stored, [format!("0 {reports}")]);
    assert!(server.stop().success());
}
