//! What every answer says to browsers and caches, whatever it answers.

use crate::documents::{concrete, paths};
use crate::harness::{Answer, Server, pipeline_report};
use serde_json::json;

const API_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

fn one_of_each(server: &Server) -> Vec<(String, Answer)> {
    let mut answers = Vec::new();
    for path in paths() {
        let path = concrete(&path);
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"] {
            let body = (method != "GET" && method != "HEAD").then_some(&b"{}"[..]);
            let answer = server.send(method, &path, &[], body);
            answers.push((format!("{method} {path}: {}", answer.status), answer));
        }
    }
    let etag = server.get("/status").header("etag").to_owned();
    let large = vec![b' '; 2 << 20];
    for (name, answer) in [
        ("304", server.get_with("/status", &[("If-None-Match", &etag)])),
        ("404", server.get("/none")),
        ("413", server.post_bytes("/status/pipeline", &[], &large)),
        ("200", server.pipeline_answer()),
        ("CSV", server.get("/history?format=csv")),
        ("NDJSON", server.get("/history?format=ndjson")),
        ("page", server.get("/swagger-ui/")),
        ("gzip", server.get_with("/api-docs/openapi.json", &[("Accept-Encoding", "gzip")])),
    ] {
        answers.push((name.to_owned(), answer));
    }
    answers
}

impl Server {
    fn pipeline_answer(&self) -> Answer {
        self.post("/status/pipeline", &pipeline_report("g", "h", "2026-04-26T11:00:00Z"))
    }
}

#[test]
fn every_answer_says_what_a_browser_may_make_of_it() {
    let server = Server::start();
    server.pipeline_answer();
    let answers = one_of_each(&server);
    assert!(answers.len() > 100);
    for (place, answer) in answers {
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("x-frame-options", "DENY"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            let values: Vec<_> = answer.headers.get_all(name).iter().collect();
            assert_eq!(values, [value], "{name} of {place}");
        }
        let policies = answer.headers.get_all("content-security-policy").iter().count();
        assert_eq!(policies, 1, "{place}");
        if place != "page" {
            assert_eq!(answer.header("content-security-policy"), API_POLICY, "{place}");
        }
        for name in ["server", "x-powered-by", "access-control-allow-origin", "set-cookie"] {
            assert_eq!(answer.header(name), "", "{name} of {place}");
        }
    }
}

#[test]
fn swagger_ui_may_run_its_own_files_and_nothing_else() {
    let server = Server::start();
    for file in ["", "swagger-ui-bundle.js", "swagger-ui.css"] {
        let answer = server.get(&format!("/swagger-ui/{file}"));
        let policy = answer.header("content-security-policy").to_owned();
        let rules = [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self' 'unsafe-inline'",
            "connect-src 'self'",
        ];
        for rule in rules {
            assert!(policy.contains(&format!("{rule};")), "{policy}");
        }
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(policy.matches("unsafe").count(), 1, "only styles are inline: {policy}");
    }
}

#[test]
fn answers_are_kept_only_to_be_asked_about() {
    let server = Server::start();
    server.pipeline_answer();
    for (place, answer) in one_of_each(&server) {
        let kept = answer.header("cache-control");
        if answer.status >= 400 || place.starts_with('P') || place.starts_with('D') {
            assert_eq!(kept, "no-store", "{place}");
        } else if !answer.header("etag").is_empty() {
            assert_eq!(kept, "no-cache", "{place}");
        }
        assert!(["no-cache", "no-store"].contains(&kept), "{place}: {kept}");
        assert!(answer.status != 304 || kept == "no-cache", "{place}");
    }
    assert_eq!(server.get("/status").header("cache-control"), "no-cache");
    assert_eq!(server.get("/none").header("cache-control"), "no-store");
    assert_eq!(server.pipeline_answer().header("cache-control"), "no-store");
    let report = json!({"server_group":"g","host":"x"});
    assert_eq!(server.post("/status/cron", &report).header("cache-control"), "no-store");
}
