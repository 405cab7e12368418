//! Access tokens: which scope a route asks for, which groups a report may be for, and what is told to
//! those who may not.

use crate::documents::{concrete, operations};
use crate::harness::{Answer, Server, check, pipeline_report};
use gitops_status_server::domain::line::hex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use tempfile::TempDir;

pub const SCOPES: [&str; 4] = ["report", "read", "metrics", "admin"];

/// A file of tokens in a folder of its own.
pub struct File {
    pub folder: TempDir,
}

impl File {
    pub fn new(text: &str) -> Self {
        let file = Self { folder: tempfile::tempdir().unwrap() };
        file.write(text);
        file
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("tokens.toml")
    }

    pub fn write(&self, text: &str) {
        std::fs::write(self.path(), text).unwrap();
    }

    pub fn serve(&self) -> Server {
        Server::with(&["--tokens-file", self.path().to_str().unwrap()])
    }
}

/// The entry of a token whose text is `secret-of-NAME`.
pub fn entry(name: &str, scopes: &[&str], more: &str) -> String {
    let digest = hex(&Sha256::digest(format!("secret-of-{name}")));
    format!("[{name}]\nsha256 = \"{digest}\"\nscopes = {scopes:?}\n{more}\n")
}

pub fn anonymous(scopes: &[&str], more: &str) -> String {
    format!("[anonymous]\nscopes = {scopes:?}\n{more}\n")
}

/// A token for each scope, of the same name.
pub fn one_of_each() -> String {
    SCOPES.iter().map(|scope| entry(scope, &[scope], "")).collect()
}

pub fn bearer(name: &str) -> String {
    format!("Bearer secret-of-{name}")
}

fn get(server: &Server, name: &str, path: &str) -> Answer {
    server.get_with(path, &[("Authorization", &bearer(name))])
}

fn post(server: &Server, name: &str, path: &str, body: &Value) -> Answer {
    server.post_with(path, &[("Authorization", &bearer(name))], body)
}

fn push(server: &Server, method: &str, name: &str, path: &str, body: &str) -> Answer {
    server.send(method, path, &[("Authorization", &bearer(name))], Some(body.as_bytes()))
}

/// What the history has, by a token that may read it.
fn lines(server: &Server) -> Vec<Value> {
    let text = get(server, "read", "/history?format=ndjson&sort=id").text();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn rejections(server: &Server) -> Vec<Value> {
    get(server, "read", "/rejections").ok().as_array().unwrap().clone()
}

fn sample(server: &Server, name: &str) -> u64 {
    let text = get(server, "metrics", "/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("there is no {name}")).parse().unwrap()
}

fn denials(server: &Server, reason: &str) -> u64 {
    sample(server, &format!("gitops_auth_failures_total{{reason=\"{reason}\"}}"))
}

fn rejected(server: &Server, source: &str) -> u64 {
    sample(server, &format!("gitops_reports_total{{result=\"rejected\",source=\"{source}\"}}"))
}

/// The scope that the contract says an operation needs.
fn scope_of(method: &str, path: &str) -> Option<&'static str> {
    match method {
        _ if OPEN.contains(&path) || path.starts_with("/checkpoint") => None,
        "get" if path == "/metrics" => Some("metrics"),
        "get" => Some("read"),
        _ if path.starts_with("/hosts/") => Some("admin"),
        _ => Some("report"),
    }
}

/// The scope that the document says it needs.
fn documented_scope(operation: &Value) -> Option<String> {
    let security = operation["security"].as_array().expect("each says what it needs");
    let first = security.first()?;
    assert_eq!(first["token"], security[1]["api_key"]);
    Some(first["token"][0].as_str().unwrap().to_owned())
}

const OPEN: [&str; 7] =
    ["/", "/health", "/ready", "/-/healthy", "/-/ready", "/swagger-ui", "/api-docs/openapi.json"];

#[test]
fn every_operation_asks_for_its_scope_and_no_other() {
    let file = File::new(&one_of_each());
    let server = file.serve();
    let document: Value = serde_json::from_str(gitops_status_server::http::document()).unwrap();
    let mut methods = Vec::new();
    for (path, method, operation) in operations(&document) {
        let scope = documented_scope(&operation);
        assert_eq!(scope.as_deref(), scope_of(&method, &path), "{method} {path}");
        let path = concrete(&path);
        methods.push((method.to_uppercase(), path.clone(), scope.clone()));
        if method == "get" {
            methods.push(("HEAD".into(), path, scope));
        }
    }
    // What the document does not have by itself.
    let report = || Some("report".to_owned());
    methods.push(("PUT".into(), "/metrics/job@base64/Zw".into(), report()));
    methods.push(("DELETE".into(), "/metrics/job/g/".into(), report()));
    methods.push(("GET".into(), "/status/".into(), Some("read".into())));
    methods.push(("GET".into(), "/swagger-ui/swagger-ui.css".into(), None));
    assert!(methods.len() > 50, "{}", methods.len());
    for (method, path, scope) in methods {
        let body = if method == "GET" || method == "HEAD" { None } else { Some(&b"{}"[..]) };
        let send = |headers: &[(&str, &str)]| server.send(&method, &path, headers, body);
        let Some(scope) = scope else {
            for token in ["Bearer nonsense", "Bearer secret-of-read"] {
                let status = send(&[("Authorization", token)]).status;
                assert!(![401, 403].contains(&status), "{method} {path}: {status}");
            }
            continue;
        };
        let without = send(&[]);
        assert_eq!(without.status, 401, "{method} {path}");
        assert_eq!(without.header("www-authenticate"), "Bearer");
        for token in SCOPES {
            let headers =
                [("Authorization", bearer(token)), ("X-Api-Key", bearer(token)[7..].into())];
            for (name, value) in &headers {
                let answer = send(&[(name, value)]);
                let admitted = ![401, 403].contains(&answer.status);
                assert_eq!(admitted, token == scope, "{token}: {method} {path} {}", answer.status);
                if !admitted && method != "HEAD" {
                    let detail = answer.problem(403)["detail"].to_string();
                    assert!(detail.contains(&format!("the scope {scope}")), "{detail}");
                }
            }
        }
    }
}

#[test]
fn what_is_not_there_or_not_taken_is_told_to_everybody() {
    let file = File::new(&one_of_each());
    let server = file.serve();
    server.get("/none").problem(404);
    for (method, path) in
        [("DELETE", "/status"), ("OPTIONS", "/status/cron"), ("PATCH", "/metrics")]
    {
        server.send(method, path, &[], None).problem(405);
    }
}

#[test]
fn strangers_are_told_the_same_whatever_is_wrong() {
    let expired = entry("late", &["read"], "expires = 2026-04-26T12:00:00Z");
    let file = File::new(&(one_of_each() + &expired));
    let server = file.serve();
    let mut bodies = Vec::new();
    for (headers, reason) in [
        (&[][..], "missing"),
        (&[("Authorization", "Basic YTpi")], "missing"),
        (&[("Authorization", "Bearer ")], "unknown"),
        (&[("X-Api-Key", "")], "unknown"),
        (&[("Authorization", "Bearer nonsense")], "unknown"),
        (&[("X-Api-Key", "Secret-of-read")], "unknown"),
        (&[("X-Api-Key", "secret-of-rea")], "unknown"),
        (&[("X-Api-Key", "gss_nonsense")], "mistyped"),
        (&[("Authorization", "Bearer secret-of-late")], "expired"),
        (&[("Authorization", "Bearer secret-of-read"), ("X-Api-Key", "other")], "ambiguous"),
        (&[("X-Api-Key", "secret-of-read"), ("X-Api-Key", "secret-of-report")], "ambiguous"),
    ] {
        let before = denials(&server, reason);
        let answer = server.get_with("/status", headers);
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{headers:?}");
        let mut body = answer.problem(401);
        body["instance"].take();
        bodies.push(body);
        assert_eq!(denials(&server, reason), before + 1, "{headers:?}");
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    // The same token twice is one; schemes are in any case; Basic is for somebody on the way.
    for headers in [
        &[("Authorization", "bearer  secret-of-read"), ("X-Api-Key", "secret-of-read")][..],
        &[("Authorization", "Basic YTpi"), ("X-Api-Key", " secret-of-read ")],
        &[("Authorization", "Basic YTpi"), ("Authorization", "BEARER secret-of-read")],
    ] {
        assert_eq!(server.get_with("/status", headers).status, 200, "{headers:?}");
    }
}

#[test]
fn a_token_expires_by_the_clock() {
    let file = File::new(&entry("late", &["read"], "expires = 2026-04-26T12:00:01Z"));
    let server = file.serve();
    assert_eq!(get(&server, "late", "/status").status, 200);
    server.clock.advance(1);
    get(&server, "late", "/status").problem(401);
}

#[test]
fn groups_bind_every_report_of_every_form() {
    let bound = entry("web", &["report"], "groups = [\"web-*\", \"d?s\"]");
    let file = File::new(&(one_of_each() + &bound));
    let server = file.serve();
    let report = |group: &str| json!({"server_group": group, "host": "h", "status": "synced"});
    let v1 = |group: &str| json!({"repo": group, "server": "h", "sync_status": "SYNCED"});
    for group in ["web-prod", "web-", " web-prod ", "dns"] {
        post(&server, "web", "/status/pipeline", &report(group)).ok();
        post(&server, "web", "/status/cron", &report(group)).ok();
        post(&server, "web", "/api/status", &v1(group)).ok();
    }
    let stored = lines(&server).len();
    assert_eq!(stored, 12);
    for (path, body, field, place) in [
        ("/status/pipeline", report("web"), "server_group", None),
        ("/status/pipeline", report("Web-prod"), "server_group", None),
        ("/status/cron?create=true", report("my-web-prod"), "server_group", None),
        ("/api/status", v1("dnss"), "repo", None),
        (
            "/status/pipeline",
            json!([report("web-a"), report("web"), report("dns")]),
            "server_group",
            Some(1),
        ),
        ("/status/cron", json!([report("other")]), "server_group", Some(0)),
    ] {
        let problem = post(&server, "web", path, &body).problem(403);
        assert!(problem["type"].as_str().unwrap().ends_with(":forbidden"));
        assert_eq!(problem["errors"][0]["field"], json!(field), "{problem}");
        assert_eq!(problem["errors"][0]["index"], json!(place), "{problem}");
        for known in ["web-*", "d?s"] {
            assert!(!problem.to_string().contains(known), "{problem}");
        }
    }
    let problem =
        post(&server, "web", "/status/pipeline", &json!([report("b"), report("a"), report("b")]));
    let detail = problem.problem(403)["detail"].to_string();
    assert!(detail.contains(r#"groups \"a\", \"b\""#), "{detail}");
    assert_eq!(lines(&server).len(), stored, "nothing was stored");
    assert_eq!(denials(&server, "group"), 7);
    // Another token may.
    post(&server, "report", "/status/pipeline", &report("web")).ok();
}

#[test]
fn near_names_are_those_that_a_token_may_know() {
    let bound = |name: &str, scopes: &[&str]| entry(name, scopes, "groups = [\"web-*\"]");
    let texts = [one_of_each(), bound("web", &["report"]), bound("seer", &["report", "read"])];
    let file = File::new(&texts.concat());
    let server = file.serve();
    for group in ["web-prod", "dns"] {
        let report = pipeline_report(group, "host-01", "2026-04-26T11:00:00Z");
        post(&server, "report", "/status/pipeline", &report).ok();
    }
    let typo = json!({"server_group": "web-lab", "host": "host-01"});
    for (name, near) in [("web", vec!["web-prod"]), ("seer", vec!["dns", "web-prod"])] {
        let problem = post(&server, name, "/status/cron", &typo).problem(404);
        let hosts = problem["near"].as_array().unwrap();
        let mut groups: Vec<&str> =
            hosts.iter().map(|host| host["server_group"].as_str().unwrap()).collect();
        groups.sort_unstable();
        assert_eq!(groups, near, "{name}: {problem}");
    }
}

#[test]
fn groups_bind_pushes_by_their_job() {
    let bound = entry("web", &["report"], "groups = [\"drift-detection\"]");
    let file = File::new(&(one_of_each() + &bound));
    let server = file.serve();
    let state = "drift_stack_state{stack=\"vpc\"} 0\n";
    assert_eq!(push(&server, "POST", "web", "/metrics/job/drift-detection", state).status, 200);
    let encoded = "/metrics/job@base64/ZHJpZnQtZGV0ZWN0aW9u";
    assert_eq!(push(&server, "PUT", "web", encoded, state).status, 200);
    let stored = lines(&server).len();
    for path in
        ["/metrics/job/other", "/metrics/job/other/stack/vpc", "/metrics/job@base64/b3RoZXI"]
    {
        for method in ["POST", "PUT", "DELETE"] {
            for body in [state, "", "up 1\n"] {
                let problem = push(&server, method, "web", path, body).problem(403);
                assert!(problem["detail"].as_str().unwrap().contains("\"other\""), "{problem}");
            }
        }
    }
    // What is malformed is told in a Pushgateway's words.
    let malformed = push(&server, "POST", "web", "/metrics/job/other", "x{\n");
    assert_eq!(
        (malformed.status, malformed.header("content-type")),
        (400, "text/plain; charset=utf-8")
    );
    assert_eq!(lines(&server).len(), stored);
    assert_eq!(push(&server, "DELETE", "web", "/metrics/job/drift-detection", "").status, 202);
    let gone = lines(&server).pop().unwrap();
    assert_eq!((&gone["kind"], &gone["reported_by"]), (&json!("inferred"), &json!("web")));
}

#[test]
fn groups_do_not_bind_acts_of_people() {
    let file = File::new(&entry("ops", &["report", "admin"], "groups = [\"web\"]"));
    let server = file.serve();
    post(&server, "ops", "/status/pipeline", &pipeline_report("web", "h", "2026-04-26T11:00:00Z"))
        .ok();
    let old = json!({"alias_of": {"server_group": "web", "host": "h"}});
    post(&server, "ops", "/hosts/other/h/alias", &old).ok();
    post(&server, "ops", "/hosts/other/h/retire", &json!({"reason": "gone"})).ok();
}

#[test]
fn a_refusal_for_a_group_is_listed_and_a_stranger_is_not() {
    let bound = entry("web", &["report"], "groups = [\"web\"]");
    let file = File::new(&(one_of_each() + &bound));
    let server = file.serve();
    let body = json!([
        check("web", "a", "synced", "2026-04-26T11:00:00Z"),
        check("dns", "b", "synced", "2026-04-26T11:00:00Z")
    ]);
    server.post("/status/cron", &body).problem(401);
    server.send("POST", "/metrics/job/dns", &[], Some(b"up 1\n")).problem(401);
    assert_eq!(rejections(&server), Vec::<Value>::new());
    assert_eq!(rejected(&server, "cron"), 0);
    post(&server, "web", "/status/cron", &body).problem(403);
    let listed = rejections(&server);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((&listed[0]["server_group"], &listed[0]["host"]), (&json!("dns"), &json!("b")));
    assert!(
        listed[0]["reason"].as_str().unwrap().starts_with("403: The token \"web\""),
        "{listed:?}"
    );
    assert_eq!(rejected(&server, "cron"), 2, "both reports of the request");
    push(&server, "POST", "web", "/metrics/job/dns", "up 1\n").problem(403);
    post(&server, "read", "/status/pipeline", &body).problem(403);
    let sources: Vec<Value> = rejections(&server).iter().map(|row| row["source"].clone()).collect();
    assert_eq!(sources, [json!("pipeline"), json!("pushgateway"), json!("cron")]);
    assert_eq!((rejected(&server, "pushgateway"), rejected(&server, "pipeline")), (1, 1));
    assert_eq!(denials(&server, "scope"), 1);
}

#[test]
fn the_history_says_whose_token_it_was() {
    let file = File::new(&(one_of_each() + &entry("ci", &["report"], "")));
    let server = file.serve();
    let body = json!({"server_group": "g", "host": "h", "status": "synced"});
    let key = |name: &str| [("Authorization", bearer(name)), ("Idempotency-Key", "k".into())];
    let send = |name: &str, body: &Value| {
        let headers = key(name);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        server.post_with("/status/pipeline", &headers, body)
    };
    assert_eq!(send("ci", &body).ok()["report"]["duplicate"], json!(false));
    assert_eq!(send("ci", &body).ok()["report"]["duplicate"], json!(true));
    // A key is the token's own.
    assert_eq!(send("report", &body).ok()["report"]["duplicate"], json!(false));
    send("ci", &json!({"server_group": "g", "host": "h", "status": "failed"})).problem(409);
    post(&server, "admin", "/hosts/g/h/retire", &json!({"reason": "gone"})).ok();
    let names: Vec<Value> = lines(&server).iter().map(|line| line["reported_by"].clone()).collect();
    assert_eq!(names, [json!("ci"), json!("report"), json!("admin")]);
}

#[test]
fn without_a_tokens_file_tokens_are_nothing() {
    let server = Server::start();
    let body = json!({"server_group": "g", "host": "h", "status": "synced"});
    post(&server, "ci", "/status/pipeline", &body).ok();
    assert_eq!(server.lines()[0]["reported_by"], json!(null));
    let metrics = server.get("/metrics").text();
    assert!(!metrics.contains("gitops_token"), "{metrics}");
    assert!(metrics.contains("gitops_auth_failures_total{reason=\"unknown\"} 0\n"));
}
