//! CSV export of 1 million rows against the `sqlite3` shell printing the same columns.

use super::server::memory_of;
use super::{data, median, row, verdict};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;

/// The columns of an item out of the tables. The shell has no SHA-256, so its last column is the
/// kept part of the hash.
const SQL: &str = "SELECT 1, (SELECT origin FROM head), h.seq, h.kind, h.source, o.server_group, o.host, \
    strftime('%Y-%m-%dT%H:%M:%SZ', h.time / 1000000, 'unixepoch'), \
    strftime('%Y-%m-%dT%H:%M:%SZ', h.reported_at / 1000000, 'unixepoch'), \
    strftime('%Y-%m-%dT%H:%M:%SZ', h.received_at / 1000000, 'unixepoch'), c.status, c.changed_files, \
    c.declared_count, c.max_age, c.project_name, c.repo_name, c.server_type, c.environment, \
    c.validation_status, c.validation_message, c.commit_sha, c.branch, c.updated_by, \
    c.last_pipeline_run, c.last_cron_check, c.labels, r.run_id, r.run_url, h.late, h.transition, \
    s.reported_by, s.remote_address, c.reason, c.detail, c.status, json_array_length(c.changed_files), \
    c.changed_files, printf('%016x', h.hash8) \
    FROM drift_history h JOIN host o ON o.id = h.host_id JOIN content c ON c.id = h.content_id \
    JOIN sender s ON s.id = h.sender_id LEFT JOIN run r ON r.id = h.run_id ORDER BY h.time DESC, h.seq DESC";

pub fn run() {
    println!("\nexport: CSV of 1,000,000 rows to a file");
    let path = data::filled(1_000_000);
    let folder = data::scratch();
    let (mut shell, mut ours, mut ratios, mut memory) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let mut sqlite = Command::new("sqlite3");
        sqlite.args(["-readonly", "-csv", "-header"]).arg(&path).arg(SQL);
        let (time, _) = timed(sqlite, &folder.path().join("shell.csv"));
        let mut export = Command::new(server_binary());
        let url = format!("sqlite://{}", path.display());
        export.args(["export", "--format", "csv", "--database-url", &url]);
        let (our_time, peak) = timed(export, &folder.path().join("ours.csv"));
        shell.push(time);
        ours.push(our_time);
        ratios.push(time / our_time);
        memory.push(peak);
    }
    let bytes = std::fs::metadata(folder.path().join("ours.csv")).unwrap().len();
    println!("  our file: {bytes} bytes");
    row("sqlite3 -csv", "s", &shell);
    row("gitops-status-server export", "s", &ours);
    row("peak memory of the export", "MiB", &memory);
    let ratio = median(&ratios);
    verdict("speed of export / sqlite3 -csv", ratio, ratio >= 0.5, "at least 0.50");
    let peak = median(&memory);
    verdict("peak memory in MiB", peak, peak < 64.0, "under 64");
}

/// The release binary beside this bench.
pub fn server_binary() -> &'static str {
    env!("CARGO_BIN_EXE_gitops-status-server")
}

/// Runs a command into a file; seconds, and peak memory in MiB.
pub fn timed(mut command: Command, output: &Path) -> (f64, f64) {
    let file = std::fs::File::create(output).unwrap();
    let started = Instant::now();
    let mut child = command.stdout(Stdio::from(file)).spawn().unwrap();
    let mut peak: f64 = 0.0;
    loop {
        peak = peak.max(memory_of(child.id(), "VmHWM"));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            return (started.elapsed().as_secs_f64(), peak);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
