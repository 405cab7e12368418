//! CSV and NDJSON exports against the `sqlite3` shell printing the same columns.

use crate::support::book::{Book, Target};
use crate::support::plan::{Plan, power};
use crate::support::process::timed;
use crate::support::{data, ratios, server};
use std::process::Command;

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

pub fn run(plan: &Plan) {
    let rows = power(plan.middle);
    let mut book = Book::new("export", format!("export of {rows} rows to a file, whole process"));
    let path = data::quarter(plan.middle);
    let folder = data::scratch();
    let file = |name: &str| folder.path().join(name);
    let (mut shell, mut csv, mut ndjson, mut memory) = (vec![], vec![], vec![], vec![]);
    for _ in 0..plan.rounds.min(5) {
        let mut sqlite = Command::new("sqlite3");
        sqlite.args(["-readonly", "-csv", "-header"]).arg(&path).arg(SQL);
        shell.push(timed(&mut sqlite, &file("shell.csv")).0);
        for (format, times) in [("csv", &mut csv), ("ndjson", &mut ndjson)] {
            let mut export = server::command(&["export", "--format", format], &path);
            let (time, peak) = timed(&mut export, &file(format));
            times.push(time);
            memory.push(peak);
        }
    }
    let bytes = |name: &str| std::fs::metadata(file(name)).unwrap().len() >> 20;
    let (ours, theirs, lines) = (bytes("csv"), bytes("shell.csv"), bytes("ndjson"));
    book.note(format!("Sizes: CSV {ours} MiB, the shell's {theirs} MiB, NDJSON {lines} MiB."));
    book.row("sqlite3 -csv", "s", &shell);
    book.row("export, CSV", "s", &csv);
    book.row("export, NDJSON", "s", &ndjson);
    let speed = ratios(&shell, &csv);
    let target = Target::at_least(1.0).stretch(2.0);
    book.verdict("speed of a CSV export", "`sqlite3 -csv`", "×", &speed, target);
    let of_csv = ratios(&ndjson, &csv);
    book.verdict("time of an NDJSON export", "the CSV export", "×", &of_csv, Target::at_most(1.0));
    book.verdict("peak memory of an export", "", "MiB", &memory, Target::at_most(64.0));
    book.close(&plan.out);
}
