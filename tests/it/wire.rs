//! HTTP itself: `ETag`, gzip, HEAD, slashes, methods, and what is at no path.

use crate::harness::{Answer, Server, pipeline_report};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use std::io::Read;

/// A server with enough hosts for bodies that are worth compressing.
fn server() -> Server {
    let server = Server::start();
    for host in ["a", "b", "c"] {
        server.pipeline(&pipeline_report("g", host, "2026-04-26T11:00:00Z"));
    }
    server
}

fn unzipped(answer: &Answer) -> Vec<u8> {
    assert_eq!(answer.header("content-encoding"), "gzip");
    let mut body = Vec::new();
    GzDecoder::new(&*answer.body).read_to_end(&mut body).unwrap();
    body
}

const READS: [&str; 10] = [
    "/",
    "/status",
    "/status/g",
    "/status/g/a",
    "/summary",
    "/rejections",
    "/history",
    "/history/g/a",
    "/api/status",
    "/api-docs/openapi.json",
];

#[test]
fn every_read_carries_an_etag_and_is_304_while_nothing_changes() {
    let server = server();
    for path in READS {
        let answer = server.get(path);
        let etag = answer.header("etag").to_owned();
        assert!(etag.starts_with('"') && etag.len() > 10, "{path}: {etag}");
        for known in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".into()] {
            let same = server.get_with(path, &[("If-None-Match", &known)]);
            assert_eq!((same.status, same.body.len()), (304, 0), "{path} {known}");
            assert_eq!(same.header("etag"), etag, "{path}");
        }
        let other = server.get_with(path, &[("If-None-Match", "\"0123456789abcdef\"")]);
        assert_eq!(other.status, 200, "{path}");
        assert_eq!(other.body, answer.body, "{path}");
    }
}

#[test]
fn the_etag_changes_with_the_state_and_with_the_clock() {
    let server = server();
    let etag = |path: &str| server.get(path).header("etag").to_owned();
    let before = etag("/status");
    server.clock.advance(3600);
    assert_eq!(etag("/status"), before, "nothing to see changed");
    server.clock.advance(25 * 3600 + 1);
    let stale = etag("/status");
    assert_ne!(stale, before);
    server.pipeline(&json!({"server_group":"g","host":"a","status":"failed"}));
    assert_ne!(etag("/status"), stale);
}

#[test]
fn gzip_goes_out_only_when_asked_for() {
    let server = server();
    for path in ["/status", "/history", "/history?format=ndjson", "/history?format=csv"] {
        let plain = server.get(path);
        assert_eq!(plain.header("content-encoding"), "", "{path}");
        for asked in ["gzip", "deflate, GZIP;q=0.5", "br, gzip"] {
            let zipped = server.get_with(path, &[("Accept-Encoding", asked)]);
            assert_eq!(unzipped(&zipped), plain.body, "{path} {asked}");
        }
        for not_asked in ["identity", "br, zstd", "*", "gzip;q=0", ""] {
            let answer = server.get_with(path, &[("Accept-Encoding", not_asked)]);
            assert_eq!(answer.header("content-encoding"), "", "{path} {not_asked}");
            assert_eq!(answer.body, plain.body, "{path} {not_asked}");
        }
    }
}

#[test]
fn head_is_get_without_the_body() {
    let server = server();
    for path in READS.into_iter().chain(["/health", "/ready", "/status/pipeline"]) {
        let (get, head) = (server.get(path), server.send("HEAD", path, &[], None));
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
        for name in ["content-type", "content-length", "etag"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
    for path in ["/history?format=csv", "/history?format=ndjson"] {
        let (get, head) = (server.get(path), server.send("HEAD", path, &[], None));
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
    }
    assert_eq!(server.send("HEAD", "/status/g/none", &[], None).status, 404);
    assert_eq!(server.send("HEAD", "/none", &[], None).status, 404);
}

#[test]
fn one_trailing_slash_is_tolerated() {
    let server = server();
    for path in READS.into_iter().skip(1).chain(["/health", "/ready", "/-/healthy", "/-/ready"]) {
        let (bare, slash) = (server.get(path), server.get(&format!("{path}/")));
        assert_eq!((slash.status, &slash.body), (200, &bare.body), "{path}/");
    }
    let report = pipeline_report("g", "slash", "2026-04-26T11:00:00Z");
    server.post("/status/pipeline/", &report).ok();
    assert_eq!(server.json("/status?host=slash").as_array().unwrap().len(), 1);
}

#[test]
fn an_undeclared_method_is_405_with_allow() {
    let server = server();
    let posts = ["/status/pipeline", "/status/cron", "/api/status"];
    let more = ["/health", "/ready", "/-/healthy", "/-/ready", "/status.json", "/swagger-ui"];
    for path in READS.into_iter().chain(posts).chain(more) {
        let allow = if posts.contains(&path) { "GET, HEAD, POST" } else { "GET, HEAD" };
        for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "BREW"] {
            let answer = server.send(method, path, &[], None);
            answer.problem(405);
            assert_eq!(answer.header("allow"), allow, "{method} {path}");
        }
        if !posts.contains(&path) {
            let answer = server.post(path, &json!({}));
            answer.problem(405);
            assert_eq!(answer.header("allow"), allow, "POST {path}");
        }
    }
}

#[test]
fn what_is_at_no_path_is_a_404_problem() {
    let server = server();
    let none = [
        "/none",
        "/status/a/b/c",
        "//",
        "/history/g",
        "/metrics/x/y/z/w",
        "/%FF",
        "/Status",
        "/health/x",
        "/api-docs",
        "/../etc/passwd",
        "/api",
    ];
    for path in none {
        for method in ["GET", "DELETE"] {
            server.send(method, path, &[], None).problem(404);
        }
        server.post(path, &json!({})).problem(404);
    }
}

#[test]
fn health_and_readiness_are_answered_under_both_names() {
    let server = Server::start();
    for path in ["/health", "/-/healthy"] {
        assert_eq!(server.json(path), json!({"status":"ok"}), "{path}");
    }
    for path in ["/ready", "/-/ready"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
}

#[test]
fn the_index_names_the_program_and_links_that_work() {
    let server = Server::start();
    let index = server.json("/");
    assert_eq!(index["name"], "gitops-status-server");
    assert_eq!(index["version"], env!("CARGO_PKG_VERSION"));
    let links = index["links"].as_object().unwrap();
    assert!(links.len() >= 6, "{links:?}");
    for link in links.values().map(|link| link.as_str().unwrap()) {
        assert_eq!(server.get(link).status, 200, "{link}");
    }
}

#[test]
fn infinity_gets_json_and_csv_as_it_asks() {
    let server = server();
    let accept = |accept: &str| {
        let answer = server.get_with("/history", &[("Accept", accept)]);
        assert_eq!(answer.status, 200, "{accept}");
        answer.header("content-type").to_owned()
    };
    for json in ["application/json;q=0.9,text/plain", "*/*", "text/html", "", "application/json"] {
        assert_eq!(accept(json), "application/json", "{json}");
    }
    for csv in ["text/csv; charset=utf-8", "text/csv", "application/json;q=0.1, text/csv;q=0.2"] {
        assert!(accept(csv).starts_with("text/csv"), "{csv}");
    }
    assert_eq!(accept("application/x-ndjson"), "application/x-ndjson");
    let status = server.get_with("/status", &[("Accept", "text/csv; charset=utf-8")]);
    let rows: Value = serde_json::from_slice(&status.body).unwrap();
    assert_eq!((status.status, rows.as_array().unwrap().len()), (200, 3), "never a 406");
    let format = server.get_with("/history?format=json", &[("Accept", "text/csv")]);
    assert_eq!(format.header("content-type"), "application/json", "the parameter wins");
}
