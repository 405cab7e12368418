//! What is remembered of long lists of files: little, and nobody sees a difference.

use crate::process::{Process, command};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A list that is long, in no order, with one path twice and with what JSON must escape.
fn long_list() -> Vec<Value> {
    let mut list: Vec<Value> = (0..400).rev().map(|at| json!(path(at))).collect();
    list[7] = json!({"path": path(392), "kind": "modified", "sha256": "0".repeat(64)});
    list.push(json!(path(3)));
    list
}

fn path(at: usize) -> String {
    format!("/etc/conf.d/\"ü\\\u{1f600}\t{at}, x")
}

/// The paths as they were sent.
fn paths(list: &[Value]) -> Vec<&str> {
    let path = |file: &'_ Value| file.as_str().is_some();
    list.iter()
        .map(|file| if path(file) { file } else { &file["path"] })
        .map(|path| path.as_str().unwrap())
        .collect()
}

fn shows(row: &Value, list: &[Value]) {
    let paths = paths(list);
    assert_eq!(row["changed_files_count"], paths.len());
    assert_eq!(row["changed_files_text"], paths.join(", "));
    assert_eq!(row["changed_files"], json!(paths));
}

fn report(host: &str, hour: u32, more: &Value) -> Value {
    let time = format!("2026-04-26T{hour:02}:00:00Z");
    let mut report = json!({"server_group": "g", "host": host, "status": "out_of_sync"});
    report["last_pipeline_run"] = json!(time);
    report["changed_files"] = more.clone();
    report
}

fn check(hour: u32) -> Value {
    json!({"server_group": "g", "host": "a", "last_cron_check": format!("2026-04-26T{hour:02}:00:00Z")})
}

/// A text without the values of a key that the clock changes.
fn without(text: &str, key: &str) -> String {
    let key = format!("\"{key}\":");
    let parts = text.split(&key);
    parts.map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.')).collect()
}

/// Everything that shows files.
fn answers(process: &Process) -> Vec<String> {
    let of = |path: &&str| {
        let answer = process.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let ages = ["drift_age_seconds", "duration_seconds"];
        ages.iter().fold(answer.text(), |text, age| without(&text, age))
    };
    [
        "/status",
        "/status/g",
        "/status?host=a",
        "/status/g/a",
        "/status?at=2026-04-26T12:30:00Z",
        "/status.json?repo=g&server=a",
        "/history",
        "/history?format=csv",
        "/timeline?to=2026-04-27T00:00:00Z",
        "/timeline?to=2026-04-27T00:00:00Z&as_of=2",
        "/episodes",
        "/episodes?as_of=6&format=csv",
        "/reviews?from=2026-04-26T00:00:00Z&to=2026-04-27T00:00:00Z&group_by=file",
    ]
    .iter()
    .map(of)
    .collect()
}

#[test]
fn a_long_list_of_files_is_shown_whole_wherever_files_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path());
    let list = long_list();
    let sent = report("a", 10, &json!(list));
    let answer = process.pipeline(&sent);
    shows(&answer["status"], &list);
    assert_eq!(answer["report"]["transition"], "opened");
    assert_eq!(process.pipeline(&sent)["report"]["duplicate"], true);

    // The same set in another order is no change; one file less is.
    let mut other = list.clone();
    other.rotate_left(1);
    let answer = process.pipeline(&report("a", 11, &json!(other)));
    assert_eq!(answer["report"]["transition"], "none");
    shows(&answer["status"], &other);
    let less = &list[1..];
    let answer = process.pipeline(&report("a", 12, &json!(less)));
    assert_eq!(answer["report"]["transition"], "changed");

    // Who only confirms is shown what is in force; so is who asks.
    shows(&process.cron(&check(13))["status"], less);
    shows(&process.row("g", "a"), less);
    shows(&process.json("/status")[0], less);
    shows(&process.json("/status?server_group=g")[0], less);
    shows(&process.json("/status/g/a?at=2026-04-26T11:30:00Z"), &other);
    let v1 = process.json("/status.json?repo=g&server=a");
    let names: Vec<Value> = paths(less).iter().map(|path| json!({"name": path})).collect();
    assert_eq!((&v1["files"], &v1["drift_count"]), (&json!(names), &json!(less.len())));
    let line: Value = serde_json::from_str(&process.raw_lines()[0]).unwrap();
    assert_eq!(line["changed_files"], json!(list));
    let distinct: BTreeSet<&str> = paths(&list).into_iter().collect();
    let episode = &process.json("/episodes")["items"][0];
    assert_eq!(episode["changed_files"], json!(distinct));
    let timeline = process.json("/timeline");
    assert_eq!(timeline[0]["changed_files_count"], distinct.len());
    let text = distinct.iter().copied().collect::<Vec<_>>().join(", ");
    assert_eq!(timeline[0]["changed_files_text"], text);

    // An array, one of which comes late, so that the host is folded anew.
    let array = json!([report("a", 9, &json!(other)), report("b", 14, &json!(list)), check(15)]);
    let array = json!(array.as_array().unwrap()[..2]);
    let answer = process.pipeline(&array);
    shows(&answer["statuses"][0], less);
    shows(&answer["statuses"][1], &list);
    assert_eq!(answer["reports"][0]["late"], true);

    let before = answers(&process);
    process.kill();
    process = Process::start(folder.path());
    assert_eq!(answers(&process), before);
    process.stop();
    process = Process::start(folder.path());
    assert_eq!(answers(&process), before);
    process.stop();
    let (code, said, error) = command(folder.path(), &["verify"]);
    assert_eq!(code, 0, "{said}{error}");
    let (code, said, error) = command(folder.path(), &["rebuild"]);
    assert_eq!(code, 0, "{said}{error}");
    process = Process::start(folder.path());
    assert_eq!(answers(&process), before);
}

/// Hosts with nearly as many files as fit, in arrays of as many hosts as fit.
const HOSTS: usize = 300;
const AT_ONCE: usize = 25;
const FILES: usize = 9_999;
/// What the server may take for them, in KiB: three quarters of what the chart gives it.
const MOST_KIB: u64 = 192 << 10;

#[test]
fn hosts_with_many_files_fit_into_the_memory_that_the_chart_gives() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path());
    for first in (0..HOSTS).step_by(AT_ONCE) {
        let hosts: Vec<Value> = (first..first + AT_ONCE)
            .map(|host| {
                let name = |at: usize| char::from(b'a' + ((at * 7 + host) % 26) as u8).to_string();
                let files: Vec<String> = (0..FILES).map(name).collect();
                json!({"server_group": "g", "host": format!("h-{host}"), "status": "out_of_sync",
                    "changed_files": files})
            })
            .collect();
        let answer = process.post("/status/pipeline", &json!(hosts));
        assert_eq!(answer.status, 200);
    }
    assert!(most_kib(&process) < MOST_KIB, "{} KiB", most_kib(&process));
    process.kill();
    process = Process::start(folder.path());
    assert!(most_kib(&process) < MOST_KIB, "{} KiB after a crash", most_kib(&process));
    process.stop();
    process = Process::start(folder.path());
    assert!(most_kib(&process) < MOST_KIB / 2, "{} KiB after a start", most_kib(&process));
    let metrics = process.get("/metrics").text();
    let line = r#"gitops_host_changed_files{server_group="g",host="h-299",environment=""} 9999"#;
    assert!(metrics.contains(line), "{metrics}");
}

/// The most that a process has had in memory, in KiB.
fn most_kib(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
