//! Status files of v1 and v2: `STATUS_FILE` at the first start, and `import FILE` by hand.

use crate::harness::{row, with};
use crate::process::{Process, SERVE, database, run_with, url};
use serde_json::{Value, json};
use std::path::Path;

fn v1() -> Value {
    json!({"repo":"rsyslog","server":"lab","sync_status":"OUT_OF_SYNC","drift_count":2,
        "files":[{"name":"/a"}],"last_check":"2026-01-01T10:30:00Z"})
}

fn v2() -> Value {
    json!({"version":"2.0","servers":{
        "web/a":{"server_group":"web","host":"a","status":"synced","environment":"prod",
            "commit_sha":"c1","last_pipeline_run":"2026-01-01T09:00:00Z",
            "last_cron_check":"2026-01-01T10:00:00Z","timestamp":"2026-01-01T10:00:00Z"},
        "web/b":{"server_group":"web","host":"b","status":"out_of_sync","changed_files":["/x"],
            "last_pipeline_run":"2026-01-01T08:00:00Z","last_cron_check":null,"timestamp":null},
        "web/c":{"status":"unknown"}}})
}

fn import(folder: &Path, contents: &str) -> (i32, String) {
    std::fs::write(folder.join("status.json"), contents).unwrap();
    run_with(folder, &[("DATABASE_URL", &url(folder))], &["import", "status.json"])
}

#[test]
fn a_v2_file_becomes_one_import_report_for_each_server() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(import(folder.path(), &v2().to_string()).0, 0);
    let server = Process::start(folder.path());
    let rows = server.json("/status");
    let max_age_passed = json!({"stale":1});
    let first = row(
        "web",
        "a",
        "2026-01-01T10:00:00Z",
        &json!({"environment":"prod","commit_sha":"c1","last_pipeline_run":"2026-01-01T09:00:00Z",
            "last_cron_check":"2026-01-01T10:00:00Z"}),
    );
    assert_eq!(rows[0], with(first, &max_age_passed));
    assert_eq!(rows[1]["timestamp"], "2026-01-01T08:00:00Z", "the newer of its two times");
    assert_eq!(rows[1]["drift_since"], "2026-01-01T08:00:00Z");
    assert_eq!(rows[2]["status"], "unknown");
    let lines = server.lines();
    assert_eq!(lines.len(), 3);
    for line in &lines {
        assert_eq!((&line["source"], &line["kind"]), (&json!("import"), &json!("report")));
        assert_eq!(line["remote_address"], json!(null));
    }
    assert_eq!(lines[0]["last_pipeline_run"], "2026-01-01T09:00:00Z");
    assert_eq!(lines[0]["last_cron_check"], "2026-01-01T10:00:00Z");
    assert_eq!(lines[2]["reported_at"], json!(null), "without any time: now");
}

#[test]
fn importing_twice_adds_nothing() {
    for file in [v1(), v2()] {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(import(folder.path(), &file.to_string()).0, 0);
        assert_eq!(import(folder.path(), &file.to_string()).0, 0);
        let mut server = Process::start(folder.path());
        let lines = server.raw_lines();
        assert_eq!(lines.len(), file["servers"].as_object().map_or(1, serde_json::Map::len));
        assert!(server.stop().success());
        assert_eq!(import(folder.path(), &file.to_string()).0, 0);
        assert_eq!(Process::start(folder.path()).raw_lines(), lines);
    }
}

#[test]
fn a_v1_file_becomes_a_host_that_v1_dashboards_recognise() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(import(folder.path(), &v1().to_string()).0, 0);
    let server = Process::start(folder.path());
    assert_eq!(server.json("/status.json"), v1());
    assert_eq!(server.json("/status")[0]["last_cron_check"], "2026-01-01T10:30:00Z");
}

#[test]
fn a_broken_file_is_named_with_its_place_and_changes_nothing() {
    for (contents, place) in [
        ("{".to_owned(), "status.json"),
        ("[]".to_owned(), "status.json"),
        (r#"{"version":"2.0","servers":[]}"#.to_owned(), "servers"),
        (r#"{"hello":"world"}"#.to_owned(), "status.json"),
        (with(v1(), &json!({"sync_status":"MAYBE"})).to_string(), "sync_status"),
        (with(v1(), &json!({"last_check":"soon"})).to_string(), "last_check"),
        (v2().to_string().replace("\"unknown\"", "\"odd\""), "web/c"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (code, said) = import(folder.path(), &contents);
        assert_eq!(code, 1, "{contents}: {said}");
        assert!(said.contains(place) && said.contains("status.json"), "{contents}: {said}");
        assert!(!database(folder.path()).exists(), "{contents}");
        let settings =
            [("DATABASE_URL", url(folder.path())), ("STATUS_FILE", "status.json".into())];
        let settings: Vec<(&str, &str)> = settings.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let (code, said) = run_with(folder.path(), &settings, &SERVE);
        assert_eq!(code, 1, "{contents}: {said}");
        assert!(said.contains(place), "{contents}: {said}");
        let later = Process::start(folder.path());
        assert_eq!(later.json("/status"), json!([]), "{contents}");
    }
    let folder = tempfile::tempdir().unwrap();
    let settings = [("DATABASE_URL", url(folder.path()))];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(n, v)| (*n, v.as_str())).collect();
    assert_eq!(run_with(folder.path(), &settings, &["import", "none.json"]).0, 1);
}

#[test]
fn status_file_is_imported_once_at_the_first_start() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("STATUS_FILE", "status.json")];
    std::fs::write(folder.path().join("status.json"), v2().to_string()).unwrap();
    let mut server = Process::with(folder.path(), &settings);
    assert_eq!(server.json("/status").as_array().unwrap().len(), 3);
    server.pipeline(&json!({"server_group":"web","host":"a","status":"failed"}));
    assert!(server.stop().success());
    // Later starts do not look at it, not even at a broken one.
    std::fs::write(folder.path().join("status.json"), "{").unwrap();
    let server = Process::with(folder.path(), &settings);
    assert_eq!(server.lines().len(), 4);
}

#[test]
fn a_missing_or_empty_status_file_is_a_fresh_start() {
    for contents in [None, Some(""), Some(" \n"), Some("{}")] {
        let folder = tempfile::tempdir().unwrap();
        if let Some(contents) = contents {
            std::fs::write(folder.path().join("status.json"), contents).unwrap();
        }
        let server = Process::with(folder.path(), &[("STATUS_FILE", "status.json")]);
        assert_eq!(server.json("/status"), json!([]), "{contents:?}");
    }
}

#[test]
fn an_import_is_late_if_older_than_any_report_of_its_host() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(folder.path());
    server
        .post(
            "/status/cron?create=true",
            &json!({"server_group":"web","host":"a",
        "status":"failed","last_cron_check":"2026-01-02T00:00:00Z"}),
        )
        .ok();
    assert!(server.stop().success());
    assert_eq!(import(folder.path(), &v2().to_string()).0, 0);
    let server = Process::start(folder.path());
    assert_eq!(server.lines()[1]["late"], 1);
    let row = server.row("web", "a");
    assert_eq!((&row["status"], &row["commit_sha"]), (&json!("failed"), &json!("c1")));
}
