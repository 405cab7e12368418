//! What is told to those who may write and not read: nothing that they did not say themselves.

use crate::harness::{Answer, Server, pipeline_report};
use crate::tokens::{File, anonymous, bearer, entry, one_of_each};
use serde_json::{Value, json};

fn act(server: &Server, token: &str, path: &str, body: &Value) -> Answer {
    server.post_with(path, &[("Authorization", &bearer(token))], body)
}

/// What stands in the history, and what the acts below do not name.
const SECRETS: [&str; 4] = ["web-secret", "10.9.8.7", "hush", "host-02"];

fn with_history(tokens: &File) -> Server {
    let server = tokens.serve();
    for (host, extra) in [("host-01", "hush"), ("host-02", "hush")] {
        let mut report = pipeline_report("web", host, "2026-04-26T11:00:00Z");
        report["status"] = json!("out_of_sync");
        report["environment"] = json!(extra);
        act(&server, "report", "/status/pipeline", &report).ok();
    }
    let renamed = json!({"alias_of": {"server_group": "web", "host": "host-02"}});
    act(&server, "seer", "/hosts/web-secret/10.9.8.7/alias", &renamed).ok();
    server
}

/// The acts, with what they are answered: renamed already, unknown, done, done already, cycle.
fn acts(server: &Server, token: &str) -> Vec<(u16, Value)> {
    let of = |host: &str| json!({"alias_of": {"server_group": "web", "host": host}});
    let (retire, none) = ("/hosts/web/host-01/retire", json!({}));
    let answers = [
        act(server, token, "/hosts/web/host-0/retire", &none),
        act(server, token, "/hosts/new/h/alias", &of("host-0")),
        act(server, token, "/hosts/web/host-01/alias", &of("host-01")),
        act(server, token, "/hosts/new/h/alias", &of("host-01")),
        act(server, token, retire, &none),
        act(server, token, "/hosts/new/h/retire", &none),
        act(server, token, "/hosts/new/h/retire", &none),
    ];
    let read = |answer: &Answer| (answer.status, serde_json::from_slice(&answer.body).unwrap());
    answers.iter().map(read).collect()
}

const STATUSES: [u16; 7] = [404, 404, 409, 200, 409, 200, 409];

/// A token for each scope, one that reads as well, and more.
fn tokens(more: &str) -> File {
    File::new(&(one_of_each() + &entry("seer", &["admin", "read"], "") + more))
}

#[test]
fn an_admin_who_may_not_read_is_told_no_names_and_no_rows() {
    let file = tokens("");
    let server = with_history(&file);
    let answers = acts(&server, "admin");
    let statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, STATUSES, "{answers:?}");
    for (status, body) in &answers {
        assert_eq!(body.get("near"), None, "{body}");
        let text = body.to_string();
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        if *status == 200 {
            assert_eq!(
                (&body["status"], &body["report"]["drift_since"]),
                (&json!(null), &json!(null))
            );
            assert_eq!(body["report"]["hash"].as_str().unwrap().len(), 64, "the receipt stays");
        }
    }
    let renamed = act(&server, "admin", "/hosts/web/host-02/retire", &json!({})).problem(409);
    let detail = renamed["detail"].as_str().unwrap();
    assert!(detail.contains("web/host-02") && detail.contains("scope read"), "{detail}");
    assert!(!detail.contains("web-secret") && !detail.contains("10.9.8.7"), "{detail}");
    // Nor does `report` help: it is told of what it reports.
    let file = tokens(&entry("both", &["admin", "report"], ""));
    let both = with_history(&file);
    assert!(acts(&both, "both").iter().all(|(_, body)| !body.to_string().contains("hush")));
}

#[test]
fn an_admin_who_may_read_is_told_them() {
    for (more, token) in [(String::new(), "seer"), (anonymous(&["read"], ""), "admin")] {
        let file = tokens(&more);
        let server = with_history(&file);
        let answers = acts(&server, token);
        let statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses, STATUSES);
        assert_eq!(answers[0].1["near"][0]["host"], json!("host-01"), "{answers:?}");
        let row = &answers[3].1;
        assert_eq!(row["status"]["environment"], json!("hush"), "{row}");
        assert_eq!(row["report"]["drift_since"], json!("2026-04-26T11:00:00Z"));
        let detail = &answers[4].1["detail"];
        assert_eq!(detail, "web/host-01 is called new/h now");
    }
}
