//! Writes that a browser sends for a page of another site: refused on every route, whatever they
//! hold; what no browser sends, and what our own pages send, goes through as before.

use crate::documents::{concrete, paths};
use crate::harness::{Answer, Server, pipeline_report};
use crate::tokens::{File, bearer, one_of_each};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;

const EVIL: &str = "http://evil.example";

/// Every method that is not safe on every path, declared or not: what is added later is among them.
fn writes() -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    let more = ["/none", "/metrics/job@base64/Zw", "/metrics/job/g/", "/status/cron/"];
    for path in paths().iter().map(|path| concrete(path)).chain(more.map(str::to_owned)) {
        for method in ["POST", "PUT", "DELETE", "PATCH", "FOO"] {
            all.push((method, path.clone()));
        }
    }
    assert!(all.len() > 150, "{}", all.len());
    all
}

/// The refusal of another site's write.
fn refused(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 403, "{what}: {}", answer.text());
    let problem = answer.problem(403);
    let kind = problem["type"].as_str().unwrap();
    assert_eq!(kind, "urn:gitops-status-server:problem:other-site", "{what}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("PUBLIC_URL") && detail.contains("nothing was stored"), "{detail}");
    assert_eq!(answer.header("www-authenticate"), "", "{what}");
    assert_eq!(answer.header("access-control-allow-origin"), "", "{what}");
}

/// A report as a page's script may send it without asking: declared as plain text.
fn sent(server: &Server, headers: &[(&str, &str)]) -> Answer {
    let body = b"drift_stack_state{stack=\"vpc\"} 0\n";
    server.send("POST", "/metrics/job/j", headers, Some(body))
}

#[test]
fn no_route_takes_a_write_of_another_site() {
    let server = Server::start();
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    let report = json!({"server_group": "g", "host": "h", "status": "synced"}).to_string();
    for (method, path) in writes() {
        for (name, value) in [
            ("Origin", EVIL),
            ("Origin", "null"),
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Site", "same-site"),
        ] {
            for declared in ["text/plain", "application/json", ""] {
                let mut headers = vec![(name, value)];
                if !declared.is_empty() {
                    headers.push(("Content-Type", declared));
                }
                let answer = server.send(method, &path, &headers, Some(report.as_bytes()));
                refused(&answer, &format!("{method} {path} {name}: {value} as {declared}"));
            }
        }
        let answer = server.send(method, &path, &[("Origin", EVIL)], None);
        refused(&answer, &format!("{method} {path} without a body"));
    }
    assert_eq!(server.lines().len(), 1, "nothing was recorded");
    assert_eq!(server.json("/rejections"), json!([]), "nor listed: any page could fill that list");
}

#[test]
fn a_token_changes_nothing() {
    let file = File::new(&one_of_each());
    let server = file.serve();
    for (method, path) in writes() {
        for token in ["report", "admin", "nobody"] {
            let headers = [("Authorization", &*bearer(token)), ("Origin", EVIL)];
            refused(
                &server.send(method, &path, &headers, Some(b"{}")),
                &format!("{method} {path}"),
            );
        }
        let answer = server.send(method, &path, &[("Origin", EVIL)], Some(b"{}"));
        refused(&answer, &format!("{method} {path} without a token"));
    }
    let read = ("Authorization", &*bearer("read"));
    assert_eq!(server.get_with("/history?format=ndjson", &[read]).text(), "");
    let metrics = server.get_with("/metrics", &[("Authorization", &bearer("metrics"))]).text();
    let count = "gitops_auth_failures_total{reason=\"other_site\"} ";
    let count = metrics.lines().find_map(|line| line.strip_prefix(count)).unwrap();
    assert_eq!(count, (4 * writes().len()).to_string());
    let route = "method=\"POST\",route=\"/metrics/job/{grouping}\",status=\"403\"";
    assert!(metrics.contains(route), "{metrics}");
}

#[test]
fn reading_is_not_writing() {
    let server = Server::start();
    for path in paths().iter().map(|path| concrete(path)) {
        for method in ["GET", "HEAD", "OPTIONS"] {
            let plain = server.send(method, &path, &[], None).status;
            let headers = [("Origin", EVIL), ("Sec-Fetch-Site", "cross-site")];
            let answer = server.send(method, &path, &headers, None);
            assert_eq!(answer.status, plain, "{method} {path}");
            assert_eq!(answer.header("access-control-allow-origin"), "", "{method} {path}");
        }
    }
}

#[test]
fn sec_fetch_site_decides_if_it_is_there() {
    let server = Server::start();
    let own = format!("http://{}", server.address);
    for (site, origin, taken) in [
        ("same-origin", None, true),
        ("none", None, true),
        ("same-origin", Some(EVIL), true),
        ("none", Some("null"), true),
        ("same-site", Some(own.as_str()), false),
        ("cross-site", Some(&own), false),
        ("cross-site", None, false),
        ("", None, false),
        ("Same-Origin", None, false),
        ("same-origin, none", None, false),
        ("same-universe", Some(&own), false),
    ] {
        let mut headers = vec![("Sec-Fetch-Site", site)];
        headers.extend(origin.map(|origin| ("Origin", origin)));
        let answer = sent(&server, &headers);
        if taken {
            assert_eq!(answer.status, 200, "{site:?} {origin:?}: {}", answer.text());
        } else {
            refused(&answer, &format!("{site:?} {origin:?}"));
        }
    }
    let twice = [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")];
    refused(&sent(&server, &twice), "twice");
}

/// Sends with this `Host` and these headers; answers the status.
fn asked(server: &Server, host: &str, headers: &[(&str, &str)]) -> u16 {
    let headers: Vec<_> = [("Host", host)].into_iter().chain(headers.iter().copied()).collect();
    let answer = sent(server, &headers);
    if answer.status != 200 {
        refused(&answer, &format!("{headers:?}"));
    }
    answer.status
}

#[test]
fn an_origin_is_the_host_asked_or_another_site() {
    let server = Server::start();
    for (host, origin, status) in [
        ("status.example.org", "http://status.example.org", 200),
        // Behind a proxy that ends TLS we are asked by http.
        ("status.example.org", "https://status.example.org", 200),
        ("status.example.org:443", "https://status.example.org", 200),
        ("status.example.org:80", "http://status.example.org", 200),
        ("status.example.org", "https://status.example.org:443", 200),
        ("STATUS.example.ORG", "https://status.example.org", 200),
        ("status.example.org", "HTTPS://Status.Example.Org", 200),
        ("status.example.org:8443", "https://status.example.org:8443", 200),
        ("[::1]:5000", "http://[0:0:0:0:0:0:0:1]:5000", 200),
        ("status.example.org:80", "https://status.example.org", 403),
        ("status.example.org", "https://status.example.org:8443", 403),
        ("status.example.org:8443", "https://status.example.org", 403),
        ("status.example.org", "https://example.org", 403),
        ("status.example.org", "https://status.example.org.evil.example", 403),
        ("status.example.org", "https://evil.example/status.example.org", 403),
        ("status.example.org", "https://status.example.org@evil.example", 403),
        ("status.example.org", "https://evil.example#status.example.org", 403),
        ("status.example.org", "ftp://status.example.org", 403),
        ("status.example.org", "chrome-extension://status.example.org", 403),
        ("status.example.org", "status.example.org", 403),
        ("status.example.org", "//status.example.org", 403),
        ("status.example.org", "https://", 403),
        ("null", "null", 403),
        ("", "null", 403),
        ("status.example.org", "", 403),
        // Nobody told us of this name.
        ("10.0.0.7:5000", "https://status.example.org", 403),
    ] {
        assert_eq!(asked(&server, host, &[("Origin", origin)]), status, "{host} {origin}");
    }
    let two = [("Origin", "http://a.example"), ("Origin", EVIL)];
    assert_eq!(asked(&server, "a.example", &two), 403);
}

#[test]
fn public_url_is_an_origin_of_ours() {
    let server = Server::with(&["--public-url", "https://Status.example.org:443/gitops/"]);
    for (origin, status) in [
        ("https://status.example.org", 200),
        ("https://status.example.org:443", 200),
        ("http://status.example.org", 403),
        ("https://status.example.org:8443", 403),
        ("https://example.org", 403),
        (EVIL, 403),
        ("null", 403),
        // The host asked counts beside it.
        ("http://10.0.0.7:5000", 200),
    ] {
        assert_eq!(asked(&server, "10.0.0.7:5000", &[("Origin", origin)]), status, "{origin}");
    }
    let unicode = Server::with(&["--public-url", "https://статус.example"]);
    let origin = [("Origin", "https://xn--80a7abcbg.example")];
    let answer = sent(&unicode, &origin);
    assert_eq!(answer.status, 200, "browsers send names in ASCII: {}", answer.text());
    assert_eq!(sent(&Server::with(&["--public-url", ""]), &[("Origin", EVIL)]).status, 403);
}

#[test]
fn a_forwarded_host_counts_from_a_trusted_proxy() {
    let origin = ("Origin", "https://status.example.org");
    let forwarded = |host| ("X-Forwarded-Host", host);
    let untrusting = Server::start();
    let here = [origin, forwarded("status.example.org")];
    assert_eq!(asked(&untrusting, "10.0.0.7", &here), 403, "anybody can send that header");
    let server = Server::with(&["--trusted-proxies", "127.0.0.1,10.0.0.0/8"]);
    for (hosts, for_, status) in [
        ("status.example.org", "192.0.2.1", 200),
        ("STATUS.example.org:443", "192.0.2.1", 200),
        ("evil.example", "192.0.2.1", 403),
        ("", "192.0.2.1", 403),
        // What stood there before the proxy added its own came from the client.
        ("status.example.org, inner.example", "192.0.2.1", 403),
        ("evil.example, status.example.org", "192.0.2.1", 200),
        // Two proxies of ours.
        ("status.example.org, inner.example", "192.0.2.1, 10.0.0.2", 200),
        ("status.example.org, inner.example", "10.0.0.2, 192.0.2.1", 403),
    ] {
        let headers = [origin, forwarded(hosts), ("X-Forwarded-For", for_)];
        assert_eq!(asked(&server, "10.0.0.7", &headers), status, "{hosts} for {for_}");
    }
    assert_eq!(asked(&server, "10.0.0.7", &[origin, forwarded("status.example.org")]), 200);
}

#[test]
fn what_no_browser_sends_goes_through_as_before() {
    let server = Server::start();
    assert_eq!(sent(&server, &[]).status, 200);
    assert_eq!(sent(&server, &[("Referer", EVIL), ("Sec-Fetch-Mode", "cors")]).status, 200);
    let report = pipeline_report("g", "h", "2026-04-26T11:00:00Z");
    assert_eq!(server.post("/status/pipeline", &report).status, 200);
    assert_eq!(server.lines().len(), 3);
}

/// The body is read before the answer, so that the client gets to read that, and the connection lives
/// on.
#[test]
fn the_body_of_a_refused_write_is_drained() {
    let server = Server::start();
    let mut stream = TcpStream::connect(server.address).unwrap();
    let length = 2 << 20;
    let head = format!(
        "POST /status/pipeline HTTP/1.1\r\nHost: a\r\nOrigin: {EVIL}\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&vec![b' '; length]).unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert!(answers.starts_with("HTTP/1.1 403 "), "{answers}");
    assert!(answers.contains("HTTP/1.1 200 "), "the connection goes on: {answers}");
}

#[test]
fn every_write_says_in_the_document_that_it_may_be_refused() {
    let document: Value = serde_json::from_str(gitops_status_server::http::document()).unwrap();
    for (path, method, operation) in crate::documents::operations(&document) {
        let said = operation["responses"]["403"]["description"].as_str().unwrap_or_default();
        assert_eq!(said.contains("other-site"), method != "get", "{method} {path}: {said}");
    }
}
