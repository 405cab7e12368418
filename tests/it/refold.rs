//! The state is the fold of a host's reports in the order of (time, id), and nothing else: whatever
//! the order of arrival, and however often the server starts anew in between.

use crate::process::Process;
use crate::seeds;
use gitops_status_server::domain::time::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A host's state as far as the naive fold knows it.
#[derive(Default)]
struct Folded {
    status: Option<Value>,
    files: Vec<Value>,
    drift_since: Value,
    pipeline_status: Value,
    cron_status: Value,
    last_pipeline_run: Value,
    last_cron_check: Value,
    last_report: Value,
    commit_sha: Value,
    branch: Value,
    reports: u64,
}

impl Folded {
    fn take(&mut self, line: &Value) {
        let said = line["status"].clone();
        let named = line["changed_files"].as_array().cloned();
        let pipeline = line["source"] == "pipeline";
        self.reports += 1;
        self.last_report = line["time"].clone();
        match named {
            Some(files) => self.files = files,
            None if pipeline || said == "synced" => self.files = Vec::new(),
            None => {}
        }
        if !said.is_null() {
            match said.as_str().unwrap() {
                "synced" => self.drift_since = Value::Null,
                "out_of_sync" if self.drift_since.is_null() => {
                    self.drift_since = line["time"].clone();
                }
                _ => {}
            }
            self.status = Some(said.clone());
        }
        if pipeline {
            self.pipeline_status = said;
            self.last_pipeline_run = line["time"].clone();
            self.commit_sha = line["commit_sha"].clone();
            self.branch = line["branch"].clone();
        } else {
            if !said.is_null() {
                self.cron_status = said;
            }
            self.last_cron_check = line["time"].clone();
        }
    }

    /// What `/status` shows of it.
    fn shown(&self) -> Value {
        let path = |file: &Value| file.get("path").unwrap_or(file).clone();
        json!({
            "status": self.status.clone().unwrap_or(json!("unknown")),
            "changed_files": self.files.iter().map(path).collect::<Vec<_>>(),
            "drift_since": self.drift_since, "pipeline_status": self.pipeline_status,
            "cron_status": self.cron_status, "last_pipeline_run": self.last_pipeline_run,
            "last_cron_check": self.last_cron_check, "last_report": self.last_report,
            "commit_sha": self.commit_sha, "branch": self.branch, "reports": self.reports,
        })
    }
}

/// The fold of an export, by host.
fn fold(mut lines: Vec<Value>) -> BTreeMap<String, Value> {
    lines.sort_by_key(|line| {
        let id: u64 = line["id"].as_str().unwrap().parse().unwrap();
        (Timestamp::parse(line["time"].as_str().unwrap()).unwrap(), id)
    });
    let mut hosts: BTreeMap<String, Folded> = BTreeMap::new();
    for line in &lines {
        hosts.entry(line["host"].as_str().unwrap().to_owned()).or_default().take(line);
    }
    hosts.into_iter().map(|(host, folded)| (host, folded.shown())).collect()
}

/// The same keys of `/status`, by host.
fn shown(rows: &Value) -> BTreeMap<String, Value> {
    let keys: Vec<String> =
        Folded::default().shown().as_object().unwrap().keys().cloned().collect();
    let pick = |row: &Value| {
        let picked = keys.iter().map(|key| (key.clone(), row[key].clone())).collect();
        (row["host"].as_str().unwrap().to_owned(), Value::Object(picked))
    };
    rows.as_array().unwrap().iter().map(pick).collect()
}

/// Where a report goes, and what it says. Few hosts, few times: most come late, many collide.
fn report() -> impl Strategy<Value = (&'static str, Value)> {
    let status =
        prop::sample::select(vec!["synced", "out_of_sync", "out_of_sync", "failed", "unknown"]);
    let files = prop::option::of(prop::collection::vec(
        prop::sample::select(vec![json!("/a"), json!("/b"), json!({"path":"/c","kind":"extra"})]),
        0..3,
    ));
    let time = prop::option::weighted(0.9, 0..30_u32);
    (0..4_u8, 0..3_u8, prop::option::weighted(0.8, status), files, time, 0..3_u8).prop_map(
        |(kind, host, status, files, minute, commit)| {
            let time = minute.map(|minute| format!("2026-01-01T10:{minute:02}:00.5Z"));
            let host = format!("h{host}");
            let commit = format!("c{commit}");
            match kind {
                0 => (
                    "/status/pipeline",
                    json!({"server_group":"g","host":host,"status":status.unwrap_or("failed"),
                        "changed_files":files,"last_pipeline_run":time,"commit_sha":commit}),
                ),
                1 => (
                    "/api/status",
                    json!({"repo":"g","server":host,"last_check":time,"files":files,
                        "sync_status":if status == Some("synced") {"SYNCED"} else {"OUT_OF_SYNC"}}),
                ),
                _ => (
                    "/status/cron?create=true",
                    json!({"server_group":"g","host":host,"status":status,"changed_files":files,
                        "last_cron_check":time,"commit_sha":commit}),
                ),
            }
        },
    )
}

/// `/status` without what the clock alone changes.
fn still(server: &Process) -> Value {
    let mut rows = server.json("/status");
    for row in rows.as_array_mut().unwrap() {
        row["drift_age_seconds"].take();
    }
    rows
}

#[test]
fn status_is_the_fold_of_the_export_whatever_the_order_of_arrival() {
    let rounds = prop::collection::vec(prop::collection::vec(report(), 1..40), 1..4);
    seeds::runner(file!(), 12, 40)
        .run(&rounds, |rounds| {
            let folder = tempfile::tempdir().unwrap();
            let mut server = Process::start(folder.path());
            for reports in &rounds {
                for (path, body) in reports {
                    let answer = server.post(path, body).ok();
                    let again = server.post(path, body).ok();
                    let row = &again["status"];
                    if again["report"]["duplicate"] == true {
                        prop_assert_eq!(&again["report"]["hash"], &answer["report"]["hash"]);
                    } else if path != &"/api/status" {
                        prop_assert_eq!(
                            &row["reports"],
                            &json!(answer["status"]["reports"].as_u64().unwrap() + 1)
                        );
                    }
                }
                let before = still(&server);
                prop_assert_eq!(shown(&before), fold(server.lines()));
                if reports.len() % 2 == 0 {
                    server.kill();
                } else {
                    let _ = server.stop();
                }
                server = Process::start(folder.path());
                prop_assert_eq!(still(&server), before);
            }
            Ok(())
        })
        .unwrap();
}
