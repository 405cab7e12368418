//! The `OpenAPI` document, Swagger UI, and that answers have the documented shapes.

use crate::harness::{Server, check, pipeline_report};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

fn document() -> Value {
    serde_json::from_str(gitops_status_server::http::document()).unwrap()
}

/// Every operation as (path, method, operation).
pub fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if METHODS.contains(&method.as_str()) {
                all.push((path.clone(), method.clone(), operation.clone()));
            }
        }
    }
    all
}

/// A documented path with names filled in.
pub fn concrete(path: &str) -> String {
    path.replace("{server_group}", "g").replace("{host}", "h").replace("{grouping}", "g")
}

/// Every documented path.
pub fn paths() -> Vec<String> {
    document()["paths"].as_object().unwrap().keys().cloned().collect()
}

fn keys(object: &Value) -> BTreeSet<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_committed_document_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json");
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == gitops_status_server::http::document(),
        "openapi/openapi.json is out of date; run: cargo run -- openapi > openapi/openapi.json"
    );
}

#[test]
fn the_document_is_served_as_it_is_committed() {
    let server = Server::start();
    let answer = server.get("/api-docs/openapi.json");
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(answer.text() == gitops_status_server::http::document());
}

#[test]
fn the_document_says_everything_about_every_operation() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut ids = BTreeSet::new();
    let mut missing = Vec::new();
    let said = |value: &Value| value.as_str().is_some_and(|text| !text.trim().is_empty());
    for (path, method, operation) in operations(&document) {
        let place = format!("{method} {path}");
        for member in ["summary", "description", "operationId"] {
            if !said(&operation[member]) {
                missing.push(format!("{place}: {member}"));
            }
        }
        if !said(&operation["tags"][0]) {
            missing.push(format!("{place}: tag"));
        }
        assert!(ids.insert(operation["operationId"].to_string()), "{place}: operationId twice");
        for (status, response) in operation["responses"].as_object().unwrap() {
            if !said(&response["description"]) {
                missing.push(format!("{place}: description of {status}"));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_parameter_and_every_answer_has_an_example() {
    let document = document();
    let mut missing = Vec::new();
    let schema_has_example = |schema: &Value| {
        let text = schema.to_string();
        text.contains("$ref") || text.contains("\"example")
    };
    for (path, method, operation) in operations(&document) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let given = parameter.get("example").is_some() || parameter.get("examples").is_some();
            if !given && !schema_has_example(&parameter["schema"]) {
                missing.push(format!("{method} {path}: parameter {}", parameter["name"]));
            }
        }
        for (status, response) in operation["responses"].as_object().unwrap() {
            for (media, content) in response["content"].as_object().into_iter().flatten() {
                let given = content.get("example").is_some() || content.get("examples").is_some();
                if !given && !schema_has_example(&content["schema"]) {
                    missing.push(format!("{method} {path}: {status} {media}"));
                }
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_documented_path_is_there_and_takes_its_methods() {
    let server = Server::start();
    for (path, method, operation) in operations(&document()) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            if let Some(problem) = response["content"].get("application/problem+json") {
                let example = &problem["example"];
                assert_eq!(example["status"].to_string(), *status, "{method} {path}");
                assert_ne!(example["detail"], Value::Null, "{method} {path}: {status}");
            }
        }
        let path = concrete(&path);
        let answer = match method.as_str() {
            "post" => server.post(&path, &json!({})),
            _ => server.send(&method.to_uppercase(), &path, &[], None),
        };
        assert_ne!(answer.status, 405, "{method} {path}");
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let kind = body["type"].as_str().unwrap_or_default();
        assert!(!kind.ends_with("no-such-path"), "{method} {path}");
    }
}

#[test]
fn answers_have_exactly_the_documented_keys() {
    let server = Server::start();
    let mut answer = server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    server.cron(&check("g", "h", "out_of_sync", "2026-04-26T11:00:00Z"));
    server.post("/status/cron", &json!({"server_group":"g","host":"x"})).problem(404);
    let document = document();
    let documented = |schema: &str| keys(&document["components"]["schemas"][schema]["properties"]);
    for row in server.json("/status").as_array().unwrap() {
        assert_eq!(keys(row), documented("StatusRow"));
    }
    let page = server.json("/history");
    assert_eq!(keys(&page), documented("HistoryPage"));
    for item in page["items"].as_array().unwrap() {
        assert_eq!(keys(item), documented("HistoryItem"));
    }
    assert_eq!(keys(&server.json("/api/status")), documented("V1Status"));
    assert_eq!(keys(&server.json("/summary")), documented("Counts"));
    assert_eq!(keys(&server.json("/rejections")[0]), documented("RejectionRow"));
    assert_eq!(keys(&server.json("/")), documented("Index"));
    assert_eq!(keys(&server.json("/health")), documented("Health"));
    assert_eq!(keys(&answer), documented("ReportAnswer_StatusRow"));
    assert_eq!(keys(&answer["report"].take()), documented("ReportReceipt"));
}

#[test]
fn keys_that_are_always_there_are_required() {
    let document = document();
    // Bodies that clients send, and the few objects whose keys may be left out.
    let open = ["PipelineReport", "CronReport", "V1Report", "FileObject", "RetireBody"];
    let open = [&open[..], &["Problem", "FieldProblem"]].concat();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let Some(properties) = schema["properties"].as_object() else { continue };
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let optional = properties.keys().filter(|key| !required.contains(&json!(key)));
        assert_eq!(optional.count() > 0, open.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn the_documented_request_examples_are_taken() {
    let (pushes, others): (Vec<_>, Vec<_>) =
        operations(&document()).into_iter().partition(|(path, ..)| path.starts_with("/metrics"));
    for (path, method, operation) in pushes {
        let Some(content) = operation["requestBody"]["content"].get("text/plain") else { continue };
        let (server, path) = (Server::start(), path.replace("{grouping}", "drift-detection"));
        let body = content["example"].as_str().unwrap().as_bytes();
        assert_eq!(server.send(&method.to_uppercase(), &path, &[], Some(body)).status, 200);
        assert!(!server.lines().is_empty(), "{method} {path}");
    }
    for (path, method, operation) in others {
        let content = &operation["requestBody"]["content"]["application/json"];
        let named = content["examples"].as_object().into_iter().flatten();
        let mut examples: Vec<Value> = named.map(|(_, example)| example["value"].clone()).collect();
        examples.extend(content.get("example").cloned());
        assert_eq!(examples.is_empty(), method != "post", "{method} {path}");
        for example in examples {
            let server = Server::with(&["--cron-creates-hosts"]);
            if path.starts_with("/hosts") {
                // Acts are about hosts that are there.
                for (group, host) in [("rsyslog-prod", "rsyslog-01"), ("rsyslog", "rsyslog-lab")] {
                    let report = json!({"server_group":group,"host":host});
                    server.post("/status/cron", &report).ok();
                }
            }
            let path =
                path.replace("{server_group}", "rsyslog-prod").replace("{host}", "rsyslog-01");
            let answer = server.post(&path, &example).ok();
            assert_eq!(answer["warnings"], json!([]), "{path}: {example}");
        }
    }
}

#[test]
fn swagger_ui_is_there_and_needs_no_network() {
    let server = Server::start();
    let page = server.get("/swagger-ui/");
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"));
    let moved = server.get("/swagger-ui");
    assert!((300..400).contains(&moved.status), "{}", moved.status);
    assert_eq!(moved.header("location"), "/swagger-ui/");
    let page = page.text();
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http"), "{page}");
    for asset in ["swagger-ui.css", "swagger-ui-bundle.js", "swagger-initializer.js"] {
        assert_eq!(server.get(&format!("/swagger-ui/{asset}")).status, 200, "{asset}");
    }
    let start = server.get("/swagger-ui/swagger-initializer.js").text();
    assert!(start.contains("/api-docs/openapi.json"), "{start}");
}

#[test]
fn swagger_ui_takes_head_like_every_other_page() {
    let server = Server::start();
    let head = server.send("HEAD", "/swagger-ui/", &[], None);
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn swagger_ui_answers_an_undeclared_method_with_405_and_allow() {
    let server = Server::start();
    for method in ["PUT", "DELETE", "OPTIONS"] {
        let answer = server.send(method, "/swagger-ui/", &[], None);
        answer.problem(405);
        assert!(answer.header("allow").contains("GET"), "{method}");
    }
}

#[test]
fn a_file_that_swagger_ui_does_not_have_is_a_404_problem() {
    Server::start().get("/swagger-ui/none.js").problem(404);
}
