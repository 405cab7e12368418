//! Checkpoints and proofs, checked as somebody would who trusts nobody.

use crate::harness::{Server, check, with};
use crate::merkle::{Hash, hex, leaf, root, through_consistency, through_inclusion, unhex};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A checkpoint's origin, size and root.
fn checkpoint(server: &Server) -> (String, u64, Hash) {
    read(&server.get("/checkpoint").text())
}

fn read(note: &str) -> (String, u64, Hash) {
    let lines: Vec<&str> = note.lines().collect();
    assert_eq!((lines.len(), lines[3]), (5, ""), "{note}");
    let signature = lines[4].strip_prefix(&format!("— {} ", lines[0])).unwrap();
    // Four bytes of the key's id, and an Ed25519 signature.
    assert_eq!(STANDARD.decode(signature).unwrap().len(), 4 + 64);
    let root = STANDARD.decode(lines[2]).unwrap().try_into().unwrap();
    (lines[0].to_owned(), lines[1].parse().unwrap(), root)
}

fn hashes(list: &Value) -> Vec<Hash> {
    list.as_array().unwrap().iter().map(|hash| unhex(hash.as_str().unwrap())).collect()
}

fn leaves(server: &Server) -> Vec<Hash> {
    server.raw_lines().iter().map(|line| leaf(line)).collect()
}

/// So many cron reports in one request.
fn report(server: &Server, count: usize) {
    let report = |n: &usize| with(check("g", "h", "synced", ""), &json!({"branch": n.to_string()}));
    for chunk in (0..count).collect::<Vec<_>>().chunks(1000) {
        let mut reports: Vec<Value> = chunk.iter().map(report).collect();
        for report in &mut reports {
            report["last_cron_check"] = Value::Null;
        }
        server.post("/status/cron?create=true", &json!(reports)).ok();
    }
}

#[test]
fn a_checkpoint_covers_every_entry_answered_before_it() {
    let server = Server::start();
    let origin = server.json("/")["origin"].as_str().unwrap().to_owned();
    assert_eq!(checkpoint(&server), (origin.clone(), 0, root(&[])));
    for count in [1, 1, 5, 1, 248, 1, 300] {
        report(&server, count);
        let leaves = leaves(&server);
        assert_eq!(checkpoint(&server), (origin.clone(), leaves.len() as u64, root(&leaves)));
    }
    let key = server.get("/checkpoint/key");
    assert_eq!(key.header("content-type"), "text/plain; charset=utf-8");
    let key = key.text();
    let key = key.trim_end();
    let parts: Vec<&str> = key.splitn(3, '+').collect();
    assert_eq!((parts[0], STANDARD.decode(parts[2]).unwrap().len()), (origin.as_str(), 1 + 32));
    assert_eq!(server.get("/checkpoint").header("content-type"), "text/plain; charset=utf-8");
    let etag = server.get("/checkpoint").header("etag").to_owned();
    let again = server.send("GET", "/checkpoint", &[("If-None-Match", &etag)], None);
    assert_eq!(again.status, 304);
}

#[test]
fn every_entry_is_proven_against_every_later_checkpoint() {
    let server = Server::start();
    report(&server, 20);
    let leaves = leaves(&server);
    for size in 1..=20_u64 {
        let expected = root(&leaves[..size as usize]);
        for id in 1..=size {
            let proof = server.json(&format!("/proof/{id}?size={size}"));
            let hash = leaves[id as usize - 1];
            assert_eq!(proof["hash"], hex(&hash));
            assert_eq!((&proof["id"], &proof["size"]), (&json!(id.to_string()), &json!(size)));
            assert_eq!(proof["root"], hex(&expected));
            let found = through_inclusion(id - 1, size, hash, &hashes(&proof["proof"]));
            assert_eq!(found, expected, "{id} of {size}");
        }
        for from in 1..=size {
            let proof = server.json(&format!("/proof?from_size={from}&to_size={size}"));
            let old = root(&leaves[..from as usize]);
            let found = through_consistency(from, size, old, &hashes(&proof["proof"]));
            assert_eq!(found, (old, expected), "{from} to {size}");
            assert_eq!(
                (&proof["from_root"], &proof["to_root"]),
                (&json!(hex(&old)), &json!(hex(&expected)))
            );
        }
    }
}

#[test]
fn proofs_go_through_kept_subtrees() {
    let server = Server::start();
    report(&server, 1300);
    let leaves = leaves(&server);
    let whole = root(&leaves);
    for id in [1_u64, 255, 256, 257, 512, 513, 1024, 1025, 1280, 1281, 1299, 1300] {
        let proof = server.json(&format!("/proof/{id}"));
        let found =
            through_inclusion(id - 1, 1300, leaves[id as usize - 1], &hashes(&proof["proof"]));
        assert_eq!(found, whole, "{id}");
        let note = read(proof["checkpoint"].as_str().unwrap());
        assert_eq!((note.1, note.2), (1300, whole));
    }
    for (from, to) in [(1, 1300), (255, 1300), (256, 1024), (700, 1281), (1024, 1300), (1280, 1290)]
    {
        let proof = server.json(&format!("/proof?from_size={from}&to_size={to}"));
        let (old, new) = (root(&leaves[..from as usize]), root(&leaves[..to as usize]));
        assert_eq!(through_consistency(from, to, old, &hashes(&proof["proof"])), (old, new));
        assert_eq!(proof["checkpoint"].is_null(), to != 1300);
    }
}

#[test]
fn what_cannot_be_proven_is_refused_with_the_reason() {
    let server = Server::start();
    assert_eq!(
        server.get("/proof/1").problem(404)["type"],
        "urn:gitops-status-server:problem:unknown-entry"
    );
    let empty = server.get("/proof?from_size=1").problem(400);
    assert_eq!(empty["detail"], "from_size: there are no entries yet");
    report(&server, 5);
    for path in [
        "/proof/0",
        "/proof/6",
        "/proof/-1",
        "/proof/+1",
        "/proof/x",
        "/proof/1.0",
        "/proof/%FF",
        "/proof/99999999999999999999",
        "/proof/1/2",
        "/checkpoint/keys",
    ] {
        server.get(path).problem(404);
    }
    for path in [
        "/proof",
        "/proof?to_size=3",
        "/proof?from_size=0",
        "/proof?from_size=6",
        "/proof?from_size=3&to_size=2",
        "/proof?from_size=1&to_size=6",
        "/proof?from_size=x",
        "/proof?from_size=1&from_size=2",
        "/proof?from_size=1&size=3",
        "/proof/3?size=2",
        "/proof/3?size=6",
        "/proof/3?size=x",
        "/proof/3?sise=4",
    ] {
        server.get(path).problem(400);
    }
    assert_eq!(server.json("/proof?from_size=5")["proof"], json!([]));
}
