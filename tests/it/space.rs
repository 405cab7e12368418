//! Room on the disk: reports are refused before it is full, reads go on, and it heals by itself.

use crate::harness::{Server, check, pipeline_report};
use crate::process::Process;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

/// Waits for `/ready` to be answered so: the disk is looked at once a second.
fn until_ready_is(server: &Server, status: u16) {
    let begun = Instant::now();
    while server.get("/ready").status != status {
        assert!(begun.elapsed() < Duration::from_secs(10), "/ready never was {status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn too_little_room_is_503_before_anything_is_written_and_heals() {
    let free = Arc::new(AtomicU64::new(64 * MIB));
    let server = Server::on_disk(&[], Some(free.clone()));
    let report = pipeline_report("g", "h", "2026-04-26T11:00:00Z");
    server.pipeline(&report);
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains(&format!("\ngitops_database_free_bytes {}\n", 64 * MIB)), "{metrics}");
    free.store(64 * MIB - 1, Ordering::SeqCst);
    until_ready_is(&server, 503);
    let size = || std::fs::metadata(format!("{}-wal", server.database().display())).unwrap().len();
    let before = (server.raw_lines(), size());
    let check = check("g", "h", "out_of_sync", "2026-04-26T11:30:00Z");
    for refused in [
        server.post("/status/pipeline", &report),
        server.post("/status/cron", &check),
        server.post("/hosts/g/h/retire", &json!({"reason": "gone"})),
        server.send("POST", "/metrics/job/j", &[], Some(b"drift_stack_state{stack=\"a\"} 1\n")),
    ] {
        assert_eq!(refused.status, 503);
        assert_eq!(refused.header("retry-after"), "30");
        let body = refused.problem(503);
        assert_eq!(body["type"], "urn:gitops-status-server:problem:unavailable");
        assert!(body["detail"].as_str().unwrap().contains("disk is nearly full"), "{body}");
        assert_eq!(body.get("stored"), None, "it is surely not stored");
    }
    server.post("/status/cron", &json!({"server_group": "g"})).problem(400);
    assert_eq!((server.raw_lines(), size()), before, "reads go on, and nothing is written");
    assert_eq!(server.row("g", "h")["status"], "synced");
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.json("/rejections"), json!([]));
    free.store(64 * MIB, Ordering::SeqCst);
    until_ready_is(&server, 200);
    assert_eq!(server.cron(&check)["report"]["id"], "2");
}

#[test]
fn a_system_that_does_not_say_is_believed_to_have_room() {
    let free = Arc::new(AtomicU64::new(u64::MAX));
    let server = Server::on_disk(&[], Some(free));
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    assert_eq!(server.get("/ready").status, 200);
    assert!(!server.get("/metrics").text().contains("gitops_database_free_bytes"));
}

#[test]
fn the_setting_can_be_switched_off() {
    let server = Server::on_disk(&["--min-free-bytes", "0"], Some(Arc::default()));
    server.pipeline(&pipeline_report("g", "h", "2026-04-26T11:00:00Z"));
    assert_eq!(server.get("/ready").status, 200);
}

#[test]
fn the_real_disk_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path());
    let metrics = server.get("/metrics").text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("gitops_database_free_bytes "));
    assert!(line.unwrap().parse::<u64>().unwrap() > 64 * MIB, "{line:?}");
}
