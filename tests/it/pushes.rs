//! The Pushgateway drop-in: runs of a job become checks of its stacks; a stack that is left out is
//! gone, not clean; the job reads its own metrics back.

use crate::harness::{Answer, Client, Server, check};
use crate::process::{Process, run_with, url};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::Write;

const JOB: &str = "/metrics/job/drift-detection";

/// A push of stack states at a time (Unix seconds, 0 for none).
fn body(at: i64, stacks: &[(&str, u8)]) -> String {
    let line = |(stack, state): &(&str, u8)| {
        format!("drift_stack_state{{stack=\"{}\"}} {state}\n", stack.replace('"', "\\\""))
    };
    let states: String = stacks.iter().map(line).collect();
    let run =
        if at > 0 { format!("drift_detection_last_run_timestamp {at}\n") } else { String::new() };
    // As the nightly job does: what it computed by itself goes along.
    format!("{states}drift_stack_age_hours{{stack=\"any\"}} 0\ndrift_stack_count 1\n{run}")
}

fn push_to(client: &Client, path: &str, body: &str) -> Answer {
    // What `curl --data-binary` declares.
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    client.send("POST", path, &headers, Some(body.as_bytes()))
}

fn push(client: &Client, at: i64, stacks: &[(&str, u8)]) {
    let answer = push_to(client, JOB, &body(at, stacks));
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
}

/// `id kind host status time` of every entry.
fn told(client: &Client) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let line = |line: &Value| {
        ["id", "kind", "host", "status", "time"].map(|key| text(&line[key])).join(" ")
    };
    client.lines().iter().map(line).collect()
}

/// The samples of a family on `/metrics`.
fn samples(client: &Client, family: &str) -> Vec<String> {
    let text = client.get("/metrics").text();
    let of = |line: &&str| line.split(['{', ' ']).next() == Some(family);
    text.lines().filter(of).map(str::to_owned).collect()
}

fn refused(answer: &Answer) -> String {
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    answer.text().strip_suffix('\n').unwrap().to_owned()
}

const T0: i64 = 1_777_183_200; // 2026-04-26T06:00:00Z
const HOUR: i64 = 3600;

#[test]
fn each_stack_state_becomes_a_check_at_the_run() {
    let server = Server::start();
    push(&server, T0, &[("vpc", 0), ("dns", 1), ("db", 2)]);
    let line = server.lines().remove(1);
    assert_eq!(
        line,
        json!({
            "v": 1, "origin": line["origin"], "id": "2", "kind": "report", "source": "pushgateway",
            "server_group": "drift-detection", "host": "dns", "time": "2026-04-26T06:00:00Z",
            "reported_at": "2026-04-26T06:00:00Z", "received_at": "2026-04-26T12:00:00Z",
            "status": "out_of_sync", "changed_files": null, "declared_count": null, "max_age": 93600,
            "project_name": null, "repo_name": null, "server_type": null, "environment": null,
            "validation_status": null, "validation_message": null, "commit_sha": null, "branch": null,
            "updated_by": null, "last_pipeline_run": null, "last_cron_check": null, "labels": null,
            "run_id": null, "run_url": null, "late": 0, "transition": "opened", "reported_by": null,
            "remote_address": "127.0.0.1", "reason": null, "detail": null
        })
    );
    let shown = |host| {
        let row = server.row("drift-detection", host);
        format!("{} {} {}", row["status"], row["cron_status"], row["last_cron_check"])
    };
    assert_eq!(shown("vpc"), "\"synced\" \"synced\" \"2026-04-26T06:00:00Z\"");
    assert_eq!(shown("db"), "\"failed\" \"failed\" \"2026-04-26T06:00:00Z\"");
    // The same push again is a retry.
    push(&server, T0, &[("vpc", 0), ("dns", 1), ("db", 2)]);
    assert_eq!(server.lines().len(), 3);
}

#[test]
fn a_stack_that_is_left_out_is_gone_and_not_clean() {
    let server = Server::start();
    push(&server, T0, &[("vpc", 0), ("dns", 1)]);
    push(&server, T0 + HOUR, &[("dns", 1)]);
    let gone = server.lines().remove(3);
    assert_eq!(gone["kind"], "inferred");
    assert_eq!(gone["source"], "pushgateway");
    assert_eq!(gone["status"], "unknown");
    assert_eq!(gone["time"], "2026-04-26T07:00:00Z");
    assert_eq!(
        gone["reason"],
        "missing from the push to /metrics/job/drift-detection of 2026-04-26T07:00:00Z, which holds 1 other stack"
    );
    assert_eq!(server.row("drift-detection", "vpc")["status"], "unknown");
    // Once is enough; and it may come back.
    push(&server, T0 + 2 * HOUR, &[("dns", 0)]);
    push(&server, T0 + 3 * HOUR, &[("dns", 0), ("vpc", 0)]);
    assert_eq!(
        told(&server)[3..],
        [
            "4 inferred vpc unknown 2026-04-26T07:00:00Z",
            "5 report dns synced 2026-04-26T08:00:00Z",
            "6 report dns synced 2026-04-26T09:00:00Z",
            "7 report vpc synced 2026-04-26T09:00:00Z",
        ]
    );
    // Other sources are asked for as ever.
    assert_eq!(server.json("/history?kind=inferred")["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_push_without_stacks_says_nothing_about_them() {
    let server = Server::start();
    push(&server, T0, &[("vpc", 0)]);
    for (method, path) in [("POST", JOB), ("PUT", JOB)] {
        for body in ["", "up 1\n", "drift_detection_last_run_timestamp 1777190000\n"] {
            assert_eq!(server.send(method, path, &[], Some(body.as_bytes())).status, 200);
        }
    }
    assert_eq!(server.lines().len(), 1);
    assert_eq!(
        samples(&server, "drift_detection_last_run_timestamp"),
        [format!("drift_detection_last_run_timestamp {T0}")]
    );
}

#[test]
fn groupings_with_other_labels_do_not_touch_each_other() {
    let server = Server::start();
    let prod = format!("{JOB}/env/prod");
    assert_eq!(push_to(&server, &prod, &body(T0, &[("vpc", 0), ("dns", 0)])).status, 200);
    push(&server, T0 + HOUR, &[("other", 0)]);
    assert_eq!(server.lines().len(), 3);
    assert_eq!(server.lines()[0]["labels"], json!({"env": "prod"}));
    assert_eq!(server.row("drift-detection", "vpc")["labels_text"], "env=prod");
    let deleted = server.send("DELETE", &prod, &[], None);
    assert_eq!((deleted.status, deleted.text().as_str()), (202, ""));
    assert_eq!(
        told(&server)[3..],
        [
            "4 inferred vpc unknown 2026-04-26T12:00:00Z",
            "5 inferred dns unknown 2026-04-26T12:00:00Z"
        ]
    );
    assert_eq!(server.lines()[3]["reason"], "/metrics/job/drift-detection/env/prod was deleted");
    assert_eq!(server.lines()[3]["reported_at"], Value::Null);
    // Twice, or what never was, is deleted all the same, and is no news.
    for path in [prod.as_str(), "/metrics/job/never"] {
        assert_eq!(server.send("DELETE", path, &[], None).status, 202);
    }
    assert_eq!(server.lines().len(), 5);
}

#[test]
fn a_late_push_concludes_nothing() {
    let server = Server::start();
    push(&server, T0 + 2 * HOUR, &[("vpc", 0), ("dns", 0)]);
    push(&server, T0, &[("dns", 1), ("old", 0)]);
    assert_eq!(server.lines().len(), 4);
    assert_eq!(server.row("drift-detection", "dns")["status"], "synced");
    assert_eq!(samples(&server, "drift_detection_last_run_timestamp").len(), 1);
    // What it held is missed by the next run, which nobody else would notice.
    push(&server, T0 + 3 * HOUR, &[("vpc", 0), ("dns", 0)]);
    assert_eq!(told(&server)[6..], ["7 inferred old unknown 2026-04-26T09:00:00Z"]);
}

#[test]
fn a_retired_stack_stays_retired_when_it_is_left_out() {
    let server = Server::start();
    push(&server, T0, &[("vpc", 0), ("dns", 0)]);
    server.post("/hosts/drift-detection/vpc/retire", &json!({"reason": "destroyed"})).ok();
    push(&server, T0 + HOUR, &[("dns", 0)]);
    assert_eq!(server.lines().len(), 4);
    assert_eq!(server.get("/status/drift-detection/vpc").status, 404);
    assert!(samples(&server, "drift_stack_state").iter().all(|line| !line.contains("vpc")));
}

#[test]
fn members_and_the_last_run_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Process::start(folder.path());
    push(&first, T0, &[("vpc", 0), ("dns", 1)]);
    assert!(first.stop().success());
    let mut second = Process::start(folder.path());
    assert_eq!(
        samples(&second, "drift_detection_last_run_timestamp"),
        [format!("drift_detection_last_run_timestamp {T0}")]
    );
    push(&second, T0 + HOUR, &[("dns", 1)]);
    assert_eq!(told(&second)[3..], ["4 inferred vpc unknown 2026-04-26T07:00:00Z"]);
    assert!(second.stop().success());
    let url = url(folder.path());
    let (code, said) = run_with(folder.path(), &[("DATABASE_URL", &url)], &["verify", "--refold"]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn the_job_reads_its_own_metrics_back() {
    let server = Server::start();
    push(&server, T0 - 96 * HOUR, &[("vpc", 0), ("net/\"dns\"", 1), ("db", 1), ("app", 0)]);
    push(&server, T0, &[("vpc", 0), ("net/\"dns\"", 1), ("db", 2), ("app", 1)]);
    server.cron(&check("drift-detection", "vpc", "synced", "2026-04-26T11:00:00Z"));
    server.post(
        "/status/pipeline",
        &json!({"server_group": "elsewhere", "host": "x", "status": "synced"}),
    );
    let text = server.get("/metrics").text();
    let family: Vec<&str> = text.lines().filter(|line| line.starts_with("drift_")).collect();
    let first = T0 - 96 * HOUR;
    assert_eq!(
        family,
        [
            r#"drift_stack_state{stack="app"} 1"#.to_owned(),
            r#"drift_stack_state{stack="db"} 2"#.into(),
            r#"drift_stack_state{stack="net/\"dns\""} 1"#.into(),
            r#"drift_stack_state{stack="vpc"} 0"#.into(),
            format!(r#"drift_stack_first_seen{{stack="app"}} {T0}"#),
            format!(r#"drift_stack_first_seen{{stack="db"}} {first}"#),
            format!(r#"drift_stack_first_seen{{stack="net/\"dns\""}} {first}"#),
            r#"drift_stack_age_hours{stack="app"} 6"#.into(),
            r#"drift_stack_age_hours{stack="db"} 102"#.into(),
            r#"drift_stack_age_hours{stack="net/\"dns\""} 102"#.into(),
            r#"drift_stack_age_hours{stack="vpc"} 0"#.into(),
            "drift_stack_count 2".into(),
            "drift_error_count 1".into(),
            "drift_clean_count 1".into(),
            format!("drift_detection_last_run_timestamp {T0}"),
        ]
    );
    // Days later nobody has looked again: what was clean is not said to be so any more.
    server.clock.advance(48 * HOUR);
    assert_eq!(samples(&server, "drift_clean_count"), ["drift_clean_count 0"]);
    assert_eq!(samples(&server, "drift_stack_state").len(), 3);
}

#[test]
fn another_job_or_none_can_be_the_one_shown() {
    let other = Server::with(&["--pushgateway-compat-job", "stacks"]);
    push(&other, T0, &[("vpc", 0)]);
    assert_eq!(samples(&other, "drift_stack_state"), Vec::<String>::new());
    assert_eq!(push_to(&other, "/metrics/job/stacks", &body(T0, &[("a", 1)])).status, 200);
    assert_eq!(samples(&other, "drift_stack_state"), [r#"drift_stack_state{stack="a"} 1"#]);
    let none = Server::with(&["--pushgateway-compat-job", ""]);
    push(&none, T0, &[("vpc", 0)]);
    assert!(!none.get("/metrics").text().contains("\ndrift_"));
}

#[test]
fn what_a_pushgateway_refuses_is_refused_whole_and_listed() {
    let server = Server::start();
    let good = "drift_stack_state{stack=\"vpc\"} 0\n";
    for (body, says) in [
        (format!("{good}drift_stack_state{{stack=\"dns\"}} 1"), "unexpected end of input stream"),
        (format!("{good}this is {{not}} it\n"), "expected float as value, got \"is\""),
        (format!("{good}{good}"), "was collected before with the same name and label values"),
        (format!("{good}up 1 1777183200000\n"), "pushed metrics must not have timestamps"),
        (format!("{good}drift_stack_state{{stack=\"dns\"}} 7\n"), "is 7; it must be 0 (clean)"),
    ] {
        let why = refused(&push_to(&server, JOB, &body));
        assert!(why.contains(says), "{body:?}: {why}");
    }
    for (path, says) in [
        ("/metrics/job/j4/onlyname", "odd number of components in label string \"/onlyname\""),
        ("/metrics/job/j4/bad-label/x", "improper label name \"bad-label\""),
        ("/metrics/job@base64/a*b", "illegal base64 data at input byte 1"),
        ("/metrics/job/", "job name is required"),
        ("/metrics/job/%FF", "is not UTF-8"),
    ] {
        let why = refused(&push_to(&server, path, good));
        assert!(why.contains(says), "{path}: {why}");
    }
    assert!(server.lines().is_empty());
    let listed = server.json("/rejections");
    assert_eq!(listed.as_array().unwrap().len(), 10);
    assert_eq!(listed[9]["source"], "pushgateway");
    assert_eq!(listed[9]["server_group"], "drift-detection");
    assert!(listed[9]["reason"].as_str().unwrap().starts_with("400: text format parsing error"));
    let counted = samples(&server, "gitops_reports_total");
    assert!(
        counted
            .contains(&r#"gitops_reports_total{result="rejected",source="pushgateway"} 10"#.into()),
        "{counted:?}"
    );
}

#[test]
fn what_is_not_plain_text_is_unpacked_or_refused() {
    let server = Server::start();
    let text = body(T0, &[("vpc", 1)]);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    let packed = gzip.finish().unwrap();
    let send = |headers: &[(&str, &str)], body: &[u8]| server.send("PUT", JOB, headers, Some(body));
    assert_eq!(send(&[("Content-Encoding", "gzip")], &packed).status, 200);
    assert_eq!(server.row("drift-detection", "vpc")["status"], "out_of_sync");
    let openmetrics = [("Content-Type", "application/openmetrics-text; version=1.0.0")];
    assert_eq!(send(&openmetrics, b"up 1\n").status, 200);
    refused(&send(&[("Content-Encoding", "gzip")], b"no gzip at all, but long"));
    assert_eq!(refused(&send(&[("Content-Encoding", "gzip")], &packed[..9])), "unexpected EOF");
    send(&[("Content-Encoding", "snappy")], text.as_bytes()).problem(415);
    let protobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    let told = send(&[("Content-Type", protobuf)], b"\x30\x0a").problem(415);
    assert!(told["detail"].as_str().unwrap().contains("text format"));
    // A megabyte of labels, as it is and as a small body that becomes one.
    let huge = format!("drift_stack_state{{stack=\"{}\"}} 1\n", "x".repeat(1 << 20));
    send(&[], huge.as_bytes()).problem(413);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(huge.as_bytes()).unwrap();
    let why = refused(&send(&[("Content-Encoding", "gzip")], &gzip.finish().unwrap()));
    assert!(why.contains("when unpacked"), "{why}");
    assert_eq!(server.lines().len(), 1);
}

#[test]
fn methods_are_those_of_a_pushgateway() {
    let server = Server::start();
    assert_eq!(server.get(JOB).problem(405)["status"], 405);
    assert_eq!(server.get(JOB).header("allow"), "POST, PUT, DELETE");
    assert_eq!(server.send("POST", "/metrics", &[], Some(b"")).header("allow"), "GET, HEAD");
    assert_eq!(server.send("POST", "/metrics/jobs/x", &[], Some(b"")).status, 404);
    assert_eq!(server.get("/-/healthy").status, 200);
    // A key makes a push without a time safe to repeat.
    let keyed = [("Idempotency-Key", "run-7")];
    for _ in 0..2 {
        assert_eq!(
            server.send("PUT", JOB, &keyed, Some(body(0, &[("a", 1)]).as_bytes())).status,
            200
        );
    }
    assert_eq!(server.lines().len(), 1);
    server.send("PUT", JOB, &keyed, Some(b"drift_stack_state{stack=\"b\"} 1\n")).problem(409);
    let elsewhere = "/metrics/job/other";
    server.send("PUT", elsewhere, &keyed, Some(body(0, &[("a", 1)]).as_bytes())).problem(409);
}

#[test]
fn a_body_of_several_gzip_members_is_read_whole() {
    let server = Server::start();
    push(&server, T0, &[("vpc", 0), ("dns", 1)]);
    let member = |text: &str| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap()
    };
    let packed = [member(&body(T0 + HOUR, &[("vpc", 0)])), member(&body(0, &[]))].concat();
    assert_eq!(
        server.send("POST", JOB, &[("Content-Encoding", "gzip")], Some(&packed)).status,
        400
    );
    let more = "drift_stack_state{stack=\"dns\"} 1\n";
    let packed = [member(&body(T0 + HOUR, &[("vpc", 0)])), member(more)].concat();
    assert_eq!(
        server.send("POST", JOB, &[("Content-Encoding", "gzip")], Some(&packed)).status,
        200
    );
    assert_eq!(told(&server)[2..].len(), 2);
    assert_eq!(server.row("drift-detection", "dns")["status"], "out_of_sync");
}

#[test]
fn a_stack_with_a_new_name_is_not_gone() {
    let server = Server::start();
    push(&server, T0, &[("vpc-old", 1), ("dns", 0)]);
    let alias = json!({"alias_of": {"server_group": "drift-detection", "host": "vpc-old"}});
    server.post("/hosts/drift-detection/vpc/alias", &alias).ok();
    push(&server, T0 + HOUR, &[("vpc", 1), ("dns", 0)]);
    assert!(told(&server).iter().all(|line| !line.contains("inferred")));
    assert_eq!(server.row("drift-detection", "vpc")["status"], "out_of_sync");
}

#[test]
fn a_job_that_is_deleted_has_no_last_run_any_more() {
    let server = Server::start();
    let prod = format!("{JOB}/env/prod");
    push(&server, T0, &[("vpc", 0)]);
    assert_eq!(push_to(&server, &prod, &body(T0 + HOUR, &[("dns", 0)])).status, 200);
    let last_run = |at: i64| vec![format!("drift_detection_last_run_timestamp {at}")];
    assert_eq!(samples(&server, "drift_detection_last_run_timestamp"), last_run(T0 + HOUR));
    server.send("DELETE", &prod, &[], None);
    assert_eq!(samples(&server, "drift_detection_last_run_timestamp"), last_run(T0));
    server.send("DELETE", JOB, &[], None);
    assert!(samples(&server, "drift_detection_last_run_timestamp").is_empty());
}

#[test]
fn only_what_was_pushed_is_a_stack() {
    let server = Server::start();
    push(&server, T0, &[("vpc", 0)]);
    server.pipeline(&json!({"server_group": "drift-detection", "host": "web", "status": "synced"}));
    assert_eq!(samples(&server, "drift_clean_count"), ["drift_clean_count 1"]);
    assert_eq!(samples(&server, "drift_stack_state"), [r#"drift_stack_state{stack="vpc"} 0"#]);
}

#[test]
fn every_refused_push_is_listed_and_an_encoded_path_is_the_same_path() {
    let server = Server::start();
    let text = body(T0, &[("vpc", 0)]);
    let long = "k".repeat(300);
    let keyed = [("Idempotency-Key", long.as_str())];
    server.send("POST", JOB, &keyed, Some(text.as_bytes())).problem(400);
    push_to(&server, &format!("{JOB}?create=maybe"), &text).problem(400);
    refused(&server.send("DELETE", &format!("{JOB}/odd"), &[], None));
    assert_eq!(server.json("/rejections").as_array().unwrap().len(), 3);
    for path in ["/metrics/job%40base64/am9i", "/metrics/%6Aob/job", "/metrics/job/job%20"] {
        assert_eq!(push_to(&server, path, &text).status, 200, "{path}");
    }
    // Three times the same push of the same job.
    assert_eq!(told(&server), ["1 report vpc synced 2026-04-26T06:00:00Z"]);
}
