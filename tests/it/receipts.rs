//! The receipt: anyone can recompute its hash from the exported line.

use crate::harness::{Server, check, with};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// RFC 6962: a leaf's hash is SHA-256 over a zero byte and the leaf.
pub fn leaf_hash(line: &str) -> String {
    let digest = Sha256::new().chain_update([0]).chain_update(line).finalize();
    gitops_status_server::domain::line::hex(&digest)
}

#[test]
fn the_hash_of_each_receipt_is_the_leaf_hash_of_its_exported_line() {
    let server = Server::start();
    let text = "quote \" backslash \\ tab \t bell \u{7} slash / é 😀 \u{2028} \u{7f}";
    let mut receipts = Vec::new();
    for body in [
        json!({"server_group":"g/1","host":"ü%","status":"out_of_sync","changed_files":[text,
            {"path":"/b","kind":"extra"}],"labels":{"é":"1","z":text,"a":"2"},"branch":text,
            "validation_message":text,"run_url":"https://ci/1","last_pipeline_run":"2026-04-26T11:00:00.5Z"}),
        json!([{"server_group":"g","host":"a","status":"synced"},
            {"server_group":"g","host":"b","status":"failed","max_age":1}]),
    ] {
        let answer = server.pipeline(&body);
        match &answer["reports"] {
            Value::Null => receipts.push(answer["report"].clone()),
            list => receipts.extend(list.as_array().unwrap().iter().cloned()),
        }
    }
    let legacy = json!({"repo":"r","server":"s","sync_status":"UNKNOWN","drift_count":3});
    receipts.push(server.post("/api/status", &legacy).ok()["report"].clone());
    receipts
        .push(server.cron(&check("g", "a", "unknown", "2026-04-26T10:00:00Z"))["report"].clone());
    let lines = server.raw_lines();
    assert_eq!(lines.len(), receipts.len());
    for (at, (line, receipt)) in lines.iter().zip(&receipts).enumerate() {
        let parsed: Value = serde_json::from_str(line).unwrap();
        assert_eq!(receipt["hash"], leaf_hash(line), "{line}");
        assert_eq!(receipt["id"], (at + 1).to_string());
        assert_eq!((&receipt["id"], &receipt["origin"]), (&parsed["id"], &parsed["origin"]));
    }
}

#[test]
fn the_origin_is_the_programs_name_and_32_hex_digits() {
    let server = Server::start();
    let origin = server.json("/")["origin"].as_str().unwrap().to_owned();
    let (program, digits) = origin.split_once('/').unwrap();
    assert_eq!(program, "gitops-status-server");
    assert_eq!(digits.len(), 32);
    assert!(digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{digits}");
    let other = Server::start();
    assert_ne!(other.json("/")["origin"], origin);
}

#[test]
fn exported_lines_are_canonical_json() {
    let server = Server::start();
    server.pipeline(&json!({"server_group":"g","host":"h","status":"out_of_sync",
        "changed_files":["/é\u{1f}\"\\\u{8}",{"sha256":"0".repeat(64),"path":"/b"}],
        "labels":{"b":"2","a":"1"},"max_age":60}));
    let line = &server.raw_lines()[0];
    let origin = serde_json::from_str::<Value>(line).unwrap()["origin"].clone();
    let expected = concat!(
        r#"{"branch":null,"changed_files":["/é\u001f\"\\\b",{"kind":null,"path":"/b","sha256":"ZEROS"}],"#,
        r#""commit_sha":null,"declared_count":null,"detail":null,"environment":null,"host":"h","id":"1","#,
        r#""kind":"report","labels":{"a":"1","b":"2"},"last_cron_check":null,"last_pipeline_run":null,"#,
        r#""late":0,"max_age":60,"origin":ORIGIN,"project_name":null,"reason":null,"#,
        r#""received_at":"2026-04-26T12:00:00Z","remote_address":"127.0.0.1","repo_name":null,"#,
        r#""reported_at":null,"reported_by":null,"run_id":null,"run_url":null,"server_group":"g","#,
        r#""server_type":null,"source":"pipeline","status":"out_of_sync","time":"2026-04-26T12:00:00Z","#,
        r#""transition":"opened","updated_by":null,"v":1,"validation_message":null,"#,
        r#""validation_status":null}"#,
    );
    let expected = expected.replace("ZEROS", &"0".repeat(64));
    assert_eq!(*line, expected.replace("ORIGIN", &origin.to_string()));
}

#[test]
fn the_address_behind_a_trusted_proxy_is_recorded() {
    let proxied = Server::with(&["--trusted-proxies", "127.0.0.0/8,10.0.0.1"]);
    let report = json!({"server_group":"g","host":"h","status":"synced"});
    for (forwarded, recorded) in [
        ("203.0.113.7", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7, 10.0.0.1", "203.0.113.7"),
        ("evil", "127.0.0.1"),
    ] {
        proxied.post_with("/status/pipeline", &[("X-Forwarded-For", forwarded)], &report).ok();
        assert_eq!(proxied.lines().last().unwrap()["remote_address"], recorded);
    }
    let open = Server::start();
    open.post_with("/status/pipeline", &[("X-Forwarded-For", "203.0.113.7")], &report).ok();
    assert_eq!(with(open.lines()[0].clone(), &json!({}))["remote_address"], "127.0.0.1");
}
