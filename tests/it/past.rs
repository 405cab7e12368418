//! Timelines, episodes, annotations, reviews, acts of people: shapes, bad input, and what late reports
//! do to ids.

use crate::harness::Server;
use serde_json::{Value, json};

fn report(server: &Server, host: &str, status: &str, time: &str, files: &[&str]) -> Value {
    let body = json!({"server_group":"g","host":host,"status":status,"changed_files":files,
        "last_pipeline_run":time,"commit_sha":format!("c-{time}"),"max_age":3600});
    server.post("/status/pipeline", &body).ok()
}

/// One drift from 10:00 to 11:30 on the day of the frozen clock (12:00), with a silence in it.
fn drifted() -> Server {
    let server = Server::start();
    report(&server, "a", "synced", "2026-04-26T09:00:00Z", &[]);
    report(&server, "a", "out_of_sync", "2026-04-26T10:00:00Z", &["/y", "/x"]);
    report(&server, "a", "synced", "2026-04-26T11:30:00.5Z", &[]);
    server
}

/// A row of a timeline; no files while nothing was measured.
fn row(
    time: &str,
    end: Option<&str>,
    seconds: f64,
    said: (&str, i64),
    files: Option<&str>,
    reports: i64,
) -> Value {
    let whole = seconds.fract() == 0.0;
    json!({"server_group":"g","host":"a","time":time,"end":end,
        "duration_seconds":if whole { json!(seconds as i64) } else { json!(seconds) },
        "status":said.0,"status_code":said.1,
        "changed_files_count":files.map(|files| files.split(", ").filter(|f| !f.is_empty()).count()),
        "changed_files_text":files,"reports":reports})
}

#[test]
fn a_timeline_has_rows_that_grafana_takes_as_they_are() {
    let server = drifted();
    assert_eq!(
        server.json("/timeline?from=2026-04-26T09:30:00Z"),
        json!([
            row(
                "2026-04-26T09:30:00Z",
                Some("2026-04-26T10:00:00Z"),
                1800.0,
                ("synced", 0),
                Some(""),
                0
            ),
            row(
                "2026-04-26T10:00:00Z",
                Some("2026-04-26T11:00:00Z"),
                3600.0,
                ("out_of_sync", 1),
                Some("/x, /y"),
                1
            ),
            row(
                "2026-04-26T11:00:00Z",
                Some("2026-04-26T11:30:00.5Z"),
                1800.5,
                ("not_measured", 4),
                None,
                0
            ),
            row("2026-04-26T11:30:00.5Z", None, 1799.5, ("synced", 0), Some(""), 1),
        ])
    );
    let buckets = server.json("/timeline?step=1h&from=2026-04-26T09:30:00Z");
    assert_eq!(
        buckets,
        json!([
            row(
                "2026-04-26T09:00:00Z",
                Some("2026-04-26T10:00:00Z"),
                1800.0,
                ("synced", 0),
                Some(""),
                0
            ),
            row(
                "2026-04-26T10:00:00Z",
                Some("2026-04-26T11:00:00Z"),
                3600.0,
                ("out_of_sync", 1),
                Some("/x, /y"),
                1
            ),
            row("2026-04-26T11:00:00Z", None, 3600.0, ("synced", 0), Some(""), 1),
        ])
    );
    assert_eq!(server.json("/timeline?server_group=nobody"), json!([]));
}

#[test]
fn an_episode_carries_its_bounds_on_both_sides() {
    let server = drifted();
    let page = server.json("/episodes");
    assert_eq!(
        page,
        json!({"items":[{"id":"2","server_group":"g","host":"a",
            "started_at":"2026-04-26T10:00:00Z","started_after":"2026-04-26T09:00:00Z",
            "ended_at":"2026-04-26T11:30:00.5Z","ended_after":"2026-04-26T10:00:00Z",
            "duration_seconds":5400.5,"duration_min_seconds":0,"duration_max_seconds":9000.5,
            "drifted_seconds":3600,"changed_files":["/x","/y"],"changed_files_count":2,
            "changed_files_text":"/x, /y","reports":1,"closed_by":"pipeline",
            "commit_sha":"c-2026-04-26T11:30:00.5Z"}],"next_cursor":null,"as_of":"3"})
    );
    assert_eq!(server.json("/episodes/2"), page["items"][0]);
    assert_eq!(
        server.json("/annotations"),
        json!([{"time":"2026-04-26T10:00:00Z","timeEnd":"2026-04-26T11:30:00.5Z",
            "title":"Drift: g/a","text":"1h 30m, 2 files: /x, /y; ended by pipeline",
            "tags":"drift,g,a"}])
    );
    for (filter, found) in [
        ("open=true", 0),
        ("open=false", 1),
        ("file=/x", 1),
        ("file=/x*", 1),
        ("file=/z", 0),
        ("to=2026-04-26T10:00:00Z", 0),
        ("from=2026-04-26T11:30:00.5Z", 0),
        ("from=2026-04-26T11:30:00Z", 1),
        ("host=b", 0),
    ] {
        let page = server.json(&format!("/episodes?{filter}"));
        assert_eq!(page["items"].as_array().unwrap().len(), found, "{filter}");
    }
    let csv = server.get("/episodes?format=csv").text();
    assert_eq!(csv.lines().count(), 2, "{csv}");
    assert_eq!(server.get("/episodes?format=ndjson").text().lines().count(), 1);
}

#[test]
fn pages_of_episodes_show_each_once_whatever_arrives() {
    let server = Server::start();
    for minute in 0..50 {
        let status = if minute % 2 == 0 { "out_of_sync" } else { "synced" };
        report(&server, "a", status, &format!("2026-04-26T10:{minute:02}:00Z"), &["/x"]);
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.json(&format!("/episodes?limit=7&cursor={cursor}"));
        let ids = page["items"].as_array().unwrap().iter();
        seen.extend(ids.map(|item| item["started_at"].as_str().unwrap().to_owned()));
        // What comes meanwhile is not in this walk, not even if it changes what was.
        report(&server, "a", "synced", &format!("2026-04-26T10:{:02}:30Z", seen.len()), &[]);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    let all: Vec<String> =
        (0..50).step_by(2).rev().map(|minute| format!("2026-04-26T10:{minute:02}:00Z")).collect();
    assert_eq!(seen, all);
    let problem = server.get("/episodes?open=true&cursor=".to_owned().as_str()).status;
    assert_eq!(problem, 200);
}

#[test]
fn an_id_that_a_late_report_retires_says_what_replaced_it() {
    let server = drifted();
    report(&server, "a", "out_of_sync", "2026-04-26T09:30:00Z", &["/z"]);
    assert_eq!(server.json("/episodes/2"), json!({"id":"2","superseded_by":"4"}));
    assert_eq!(server.json("/episodes/4")["started_at"], "2026-04-26T09:30:00Z");
    // A report that never opened a drift was never an episode.
    report(&server, "a", "out_of_sync", "2026-04-26T10:30:00Z", &["/z"]);
    for id in ["5", "3", "99", "0", "x", "+4"] {
        server.get(&format!("/episodes/{id}")).problem(404);
    }
    // By what was known then, it is what it was.
    assert_eq!(server.json("/episodes?as_of=3")["items"][0]["id"], "2");
}

#[test]
fn questions_about_the_past_are_refused_with_what_is_allowed() {
    let server = drifted();
    for (path, field, says) in [
        ("/reviews/2026-Q5", "period", "a quarter (2026-Q3)"),
        ("/reviews/soon", "period", "a year (2026)"),
        ("/reviews/2026-Q3", "period", "has not begun; now is 2026-04-26T12:00:00Z"),
        ("/reviews", "from", "/reviews/2026-Q3"),
        ("/reviews?from=2026-05-01", "from", "has not begun"),
        ("/reviews?from=2026-04-02&to=2026-04-01", "from", "lies behind to"),
        ("/reviews/2026?group_by=shoe_size", "group_by", "server_group, host, environment"),
        ("/reviews/2026?from=2026-01-01", "from", "not with a period"),
        ("/reviews/2026?as_of=4", "as_of", "the newest is 3"),
        ("/reviews/2026?sever_group=g", "sever_group", "is not a parameter here"),
        ("/reviews/2026?format=ndjson", "format", "json or csv"),
        ("/timeline?step=0", "step", "from 1s"),
        ("/timeline?step=0s", "step", "from 1s"),
        ("/timeline?step=-5m", "step", "from 1s"),
        ("/timeline?step=fast", "step", "like 30s, 5m"),
        ("/timeline?from=${__from}", "from", "dashboard macro"),
        ("/episodes?open=maybe", "open", "true or false"),
        ("/episodes?cursor=abc", "cursor", "is not a cursor"),
        ("/annotations?limit=5", "limit", "is not a parameter here"),
        ("/status?at=2026-04-27", "at", "lies in the future"),
        ("/status?at=then", "at", "is not a time"),
        ("/status?at=2026-04-26&known_at=2026-04-26", "known_at", "needs a server_group or a host"),
    ] {
        let problem = server.get(path).problem(400);
        let error = &problem["errors"][0];
        assert_eq!(error["field"], field, "{path}: {problem}");
        assert!(error["message"].as_str().unwrap().contains(says), "{path}: {problem}");
    }
    // Two hours and a half in seconds are few; years are not.
    assert_eq!(server.get("/timeline?step=1s").status, 200);
    report(&server, "b", "synced", "2020-01-01T00:00:00Z", &[]);
    let problem = server.get("/timeline?step=1m").problem(400);
    let says = problem["errors"][0]["message"].as_str().unwrap();
    let step = says.rsplit(' ').next().unwrap();
    assert!(says.contains("more than 100000 rows") && step.ends_with('s'), "{says}");
    let rows = server.json(&format!("/timeline?step={step}"));
    assert!(rows.as_array().unwrap().len() <= 100_000);
}

#[test]
fn a_retired_host_leaves_and_a_report_revives_it() {
    let server = drifted();
    report(&server, "a", "out_of_sync", "2026-04-26T11:45:00Z", &["/x"]);
    let answer = server.post("/hosts/g/a/retire", &json!({"reason":"sold"})).ok();
    assert_eq!(answer["status"], Value::Null);
    let line = server.lines().pop().unwrap();
    assert_eq!(
        (&line["kind"], &line["reason"], &line["source"]),
        (&json!("retire"), &json!("sold"), &Value::Null)
    );
    assert_eq!(answer["report"]["id"], line["id"]);
    assert_eq!(server.json("/status"), json!([]));
    assert_eq!(server.json("/summary")["total"], 0);
    assert_eq!(server.json("/status.json")["sync_status"], "UNKNOWN");
    assert!(server.get("/status/g/a").problem(404)["detail"].as_str().unwrap().contains("retired"));
    server.post("/hosts/g/a/retire", &json!({})).problem(409);
    let episode = &server.json("/episodes")["items"][0];
    assert_eq!(
        (&episode["closed_by"], &episode["ended_at"]),
        (&json!("retire"), &json!("2026-04-26T12:00:00Z"))
    );
    server.clock.advance(3600);
    let review = server.json("/reviews/2026?group_by=host");
    assert_eq!(review["totals"]["open_episodes"], 0);
    assert_eq!(review["totals"]["mean_time_to_repair_seconds"], 5400.5);
    // A check that only confirms has nothing to confirm.
    let revived = server.post("/status/cron", &json!({"server_group":"g","host":"a"})).ok();
    assert_eq!(
        (&revived["status"]["status"], &revived["status"]["changed_files"]),
        (&json!("unknown"), &json!([]))
    );
    assert_eq!(revived["status"]["commit_sha"], "c-2026-04-26T11:45:00Z");
    let rows = server.json("/timeline?from=2026-04-26T11:50:00Z");
    let times: Vec<&Value> = rows.as_array().unwrap().iter().map(|row| &row["time"]).collect();
    assert_eq!(
        times,
        [&json!("2026-04-26T11:50:00Z")],
        "the hour between belongs to nobody: {rows}"
    );
}

#[test]
fn a_renamed_host_keeps_one_timeline() {
    let server = drifted();
    let answer = server
        .post("/hosts/new/a/alias", &json!({"alias_of":{"server_group":"g","host":"a"}}))
        .ok();
    assert_eq!(
        (&answer["status"]["server_group"], &answer["status"]["reports"]),
        (&json!("new"), &json!(3))
    );
    let line = server.lines().pop().unwrap();
    assert_eq!(
        (&line["kind"], &line["detail"]),
        (&json!("alias"), &json!({"host":"a","server_group":"g"}))
    );
    // A client that still sends the former name.
    let later = report(&server, "a", "out_of_sync", "2026-04-26T11:50:00Z", &["/x"]);
    assert_eq!(
        (&later["status"]["server_group"], &later["status"]["reports"]),
        (&json!("new"), &json!(4))
    );
    let again = report(&server, "a", "out_of_sync", "2026-04-26T11:50:00Z", &["/x"]);
    assert_eq!(again["report"]["duplicate"], true);
    assert_eq!(server.lines().pop().unwrap()["server_group"], "g");
    assert_eq!(server.json("/status").as_array().unwrap().len(), 1);
    assert_eq!(server.json("/episodes?server_group=new")["items"].as_array().unwrap().len(), 2);
    assert_eq!(server.json("/episodes?server_group=g")["items"], json!([]));
    assert_eq!(server.json("/history?server_group=g")["items"].as_array().unwrap().len(), 4);
    assert_eq!(server.json("/history/new/a")["items"].as_array().unwrap().len(), 1);
    let gone = server.get("/status/g/a").problem(404);
    assert_eq!(gone["near"], json!([{"server_group":"new","host":"a"}]));
    for (path, of, status) in [
        ("/hosts/g/a/alias", ("new", "a"), 409),
        ("/hosts/new/a/alias", ("new", "a"), 409),
        ("/hosts/other/a/alias", ("g", "a"), 409),
        ("/hosts/other/a/alias", ("g", "nobody"), 404),
        ("/hosts/g/a/retire", ("", ""), 409),
        ("/hosts/x/y/retire", ("", ""), 404),
    ] {
        let body = if of.0.is_empty() {
            json!({})
        } else {
            json!({"alias_of":{"server_group":of.0,"host":of.1}})
        };
        server.post(path, &body).problem(status);
    }
    server.post("/hosts/new/a/alias", &json!({"alias_of":7})).problem(400);
    // A chain: what folded into the old one folds into the newest.
    server
        .post("/hosts/newest/a/alias", &json!({"alias_of":{"server_group":"new","host":"a"}}))
        .ok();
    let row = report(&server, "a", "synced", "2026-04-26T11:55:00Z", &[]);
    assert_eq!(
        (&row["status"]["server_group"], &row["status"]["reports"]),
        (&json!("newest"), &json!(5))
    );
    assert_eq!(server.json("/history?kind=alias")["items"].as_array().unwrap().len(), 2);
}

#[test]
fn an_episode_that_late_reports_split_is_whole_as_of_before_them() {
    let server = Server::start();
    report(&server, "a", "out_of_sync", "2026-04-26T00:00:00Z", &["/x"]);
    let review = "/reviews?from=2026-04-26T07:15:00Z&group_by=host";
    let then = server.json(review);
    assert_eq!(then["items"][0]["open_episodes"], 1);
    report(&server, "a", "out_of_sync", "2026-04-26T04:00:00Z", &["/x"]);
    report(&server, "a", "synced", "2026-04-26T00:30:00Z", &[]);
    assert_eq!(server.json(&format!("{review}&as_of=1")), then);
}
