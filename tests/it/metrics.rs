//! `/metrics`: what Prometheus scrapes.

use crate::harness::{Server, check, pipeline_report, with};
use serde_json::json;
use std::collections::BTreeMap;

/// Samples by name and labels.
fn scrape(server: &Server) -> BTreeMap<String, u64> {
    let text = server.get("/metrics").text();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap_or(u64::MAX))
    };
    let mut all = BTreeMap::new();
    for line in samples {
        let (name, value) = sample(line);
        assert!(all.insert(name.clone(), value).is_none(), "{name} stands there twice");
    }
    all
}

#[test]
fn hosts_are_metrics() {
    let server = Server::start();
    let prod = json!({"environment": "prod \"a\\b\""});
    server.pipeline(&with(pipeline_report("web", "web-01", "2026-04-26T10:00:00Z"), &prod));
    server.pipeline(&pipeline_report("web", "web-02", "2026-04-26T10:00:00Z"));
    let drift = json!({"changed_files": ["a", "b"], "max_age": 60});
    let drift = with(check("web", "web-01", "out_of_sync", "2026-04-26T11:00:00.5Z"), &drift);
    server.cron(&drift);
    let text = server.get("/metrics").text();
    let hosts: Vec<&str> = text.lines().filter(|line| line.starts_with("gitops_host")).collect();
    let one = r#"server_group="web",host="web-01",environment="prod \"a\\b\"""#;
    let two = r#"server_group="web",host="web-02",environment="""#;
    let status = |labels: &str, word: &str, value: u8| {
        format!("gitops_host_status{{{labels},status=\"{word}\"}} {value}")
    };
    assert_eq!(
        hosts,
        [
            status(one, "synced", 0),
            status(one, "out_of_sync", 1),
            status(one, "failed", 0),
            status(one, "unknown", 0),
            status(two, "synced", 1),
            status(two, "out_of_sync", 0),
            status(two, "failed", 0),
            status(two, "unknown", 0),
            format!("gitops_host_stale{{{one}}} 1"),
            format!("gitops_host_stale{{{two}}} 0"),
            format!("gitops_host_changed_files{{{one}}} 2"),
            format!("gitops_host_changed_files{{{two}}} 0"),
            format!("gitops_host_drift_since_timestamp_seconds{{{one}}} 1777201200.500000"),
            r#"gitops_host_last_report_timestamp_seconds{server_group="web",host="web-01",source="pipeline"} 1777197600"#.into(),
            r#"gitops_host_last_report_timestamp_seconds{server_group="web",host="web-01",source="cron"} 1777201200.500000"#.into(),
            r#"gitops_host_last_report_timestamp_seconds{server_group="web",host="web-02",source="pipeline"} 1777197600"#.into(),
        ]
    );
    server.post("/hosts/web/web-01/retire", &json!({"reason": "gone"})).ok();
    assert!(!server.get("/metrics").text().contains("web-01"));
}

#[test]
fn reports_and_answers_are_counted() {
    let server = Server::start();
    let report = pipeline_report("web", "web-01", "2026-04-26T10:00:00Z");
    server.pipeline(&report);
    server.pipeline(&report);
    server.post("/status/pipeline", &json!([{"server_group": "web"}, {"host": "x"}])).problem(400);
    server.post("/status/cron", &json!({"server_group": "web", "host": "web-1"})).problem(404);
    server
        .post("/api/status", &json!({"repo": "web", "server": "web-01", "sync_status": "SYNCED"}))
        .ok();
    server.get("/no/such/path").problem(404);
    server.send("DELETE", "/status", &[], None).problem(405);
    let samples = scrape(&server);
    let reports = |source: &str, result: &str| {
        samples[&format!("gitops_reports_total{{result=\"{result}\",source=\"{source}\"}}")]
    };
    assert_eq!(reports("pipeline", "stored"), 1);
    assert_eq!(reports("pipeline", "duplicate"), 1);
    assert_eq!(reports("pipeline", "rejected"), 2);
    assert_eq!(reports("cron", "rejected"), 1);
    assert_eq!(reports("legacy", "stored"), 1);
    assert_eq!(reports("cron", "failed"), 0);
    let answers = |method: &str, route: &str, status: u16| {
        let labels = format!("method=\"{method}\",route=\"{route}\",status=\"{status}\"");
        samples[&format!("gitops_http_request_duration_seconds_count{{{labels}}}")]
    };
    assert_eq!(answers("POST", "/status/pipeline", 200), 2);
    assert_eq!(answers("POST", "/status/pipeline", 400), 1);
    assert_eq!(answers("POST", "/status/cron", 404), 1);
    assert_eq!(answers("DELETE", "/status", 405), 1);
    assert_eq!(answers("GET", "none", 404), 1);
    assert_eq!(samples["gitops_history_entries"], 2);
    assert_eq!(
        samples[concat!("gitops_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}")],
        1
    );
    let bytes = server.database().metadata().unwrap().len();
    assert_eq!(samples["gitops_database_size_bytes{file=\"main\"}"], bytes);
}

#[test]
fn a_scrape_is_text_format_to_the_letter() {
    let server = Server::start();
    // What Prometheus 2.42 sends.
    let headers = [
        (
            "Accept",
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        ),
        ("Accept-Encoding", "gzip"),
    ];
    let packed = server.get_with("/metrics", &headers);
    assert_eq!(packed.status, 200);
    assert_eq!(packed.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert_eq!(server.send("HEAD", "/metrics", &[], None).status, 200);
    let text = server.get("/metrics").text();
    assert!(text.ends_with('\n'));
    let mut described = Vec::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            described.push(help.split(' ').next().unwrap().to_owned());
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            assert_eq!(kind.split(' ').next(), described.last().map(String::as_str));
        } else {
            assert!(line.starts_with(described.last().unwrap().as_str()), "{line}");
        }
    }
    let once: std::collections::BTreeSet<_> = described.iter().collect();
    assert_eq!(once.len(), described.len(), "{described:?}");
}
