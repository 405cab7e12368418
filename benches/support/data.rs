//! Databases to measure on, filled through the real write path with a clock that is moved on.
//!
//! One series for all figures: reports of 1,000 hosts, spread evenly over the first quarter of 2026.
//! Whatever their number, the drifts are the same (but for the smallest, which has too few rounds):
//! the quarter has 1,000 stretches, and a host drifts in five of them.

use super::plan::power;
use gitops_status_server::commands::{Database, Machine, Manner};
use gitops_status_server::domain::max_age::StaleAfter;
use gitops_status_server::domain::report::{Report, Sender, Source};
use gitops_status_server::domain::time::Timestamp;
use gitops_status_server::ingest;
use gitops_status_server::recorder::{Clock, Submission};
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest, Sha256};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// Hosts in every database.
pub const HOSTS: usize = 1000;
/// 2026-01-01T00:00:00Z.
const BEGIN: i64 = 1_767_225_600_000_000;
/// The first quarter of 2026, in microseconds.
const QUARTER: i64 = 90 * 86_400_000_000;
/// Behind every report of a kept database.
pub const QUARTER_END: i64 = BEGIN + QUARTER;
/// Stretches of a quarter in which a host's state is the same.
const STRETCHES: usize = 1000;
/// Two minutes: how often hosts report where it is not the number of rows that says it.
const CADENCE: i64 = 120_000_000;

/// A temporary folder below `target/`, on the same disk as the kept databases.
pub fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("scratch-").tempdir_in(folder()).unwrap()
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-data");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The group and the name of a host.
pub fn host(number: usize) -> (String, String) {
    (format!("rsyslog-{:02}", number % 20), format!("rsyslog-{number:04}"))
}

/// The pipeline report of a host, in the contract's example form (about 470 bytes).
pub fn pipeline_body(number: usize, time: &str) -> String {
    let (group, host) = host(number);
    format!(
        r#"{{"project_name":"gitops-for-servers","repo_name":"rsyslog","server_group":"{group}","server_type":"rsyslog","environment":"prod","host":"{host}","status":"synced","changed_files":[],"validation_status":"passed","validation_message":"rsyslog syntax validation passed","commit_sha":"abc1234567890","branch":"master","updated_by":"woodpecker","last_pipeline_run":"{time}"}}"#
    )
}

/// The check of a host: in sync, but for a drift in one of 200 rounds.
fn cron_body(number: usize, round: usize) -> String {
    let (group, host) = host(number);
    let drifts = (number * 31 + round).is_multiple_of(200);
    let said = if drifts {
        r#""status":"out_of_sync","changed_files":["rsyslog.conf","rsyslog.d/30-lab.conf"]"#
    } else {
        r#""status":"synced","changed_files":[]"#
    };
    format!(r#"{{"server_group":"{group}","host":"{host}",{said}}}"#)
}

/// The database of a quarter with so many reports, made once and kept below `target/`.
pub fn quarter(rows: usize) -> PathBuf {
    let rounds = rows / HOSTS;
    let each = (rounds / STRETCHES).max(1);
    let path = folder().join(format!("quarter-{rows}-{}.db", schema()));
    if !path.exists() {
        let part = path.with_extension("part");
        let started = Instant::now();
        let done = already(&part);
        room_for(rows - done);
        let cadence = QUARTER / rounds as i64;
        let body = move |host, round: usize| cron_body(host, (round / each).max(1));
        fill_rounds(&part, done..rows, cadence, body, true);
        let took = format!("{} {:.1}", rows - done, started.elapsed().as_secs_f64());
        std::fs::write(path.with_extension("filled"), took).unwrap();
        std::fs::rename(part, &path).unwrap();
    }
    path
}

/// Rows per second at which a kept database was filled.
pub fn fill_rate(rows: usize) -> Option<f64> {
    let text = std::fs::read_to_string(quarter(rows).with_extension("filled")).ok()?;
    let (rows, seconds) = text.split_once(' ')?;
    Some(rows.parse::<f64>().ok()? / seconds.parse::<f64>().ok()?)
}

/// A database of `rows` reports that all say the same, every two minutes.
pub fn fill_repeating(path: &Path, rows: usize) {
    fill_rounds(path, 0..rows, CADENCE, |host, _| cron_body(host, 1), false);
}

/// A digest of the migrations: a changed schema makes kept databases useless.
fn schema() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut digest = Sha256::new();
    for file in files {
        digest.update(std::fs::read(file).unwrap());
    }
    let digest = digest.finalize();
    format!("{:08x}", u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]))
}

/// Rows of a filling that was interrupted: it goes on there. Whole rounds only, as they are committed.
fn already(part: &Path) -> usize {
    let size = || -> rusqlite::Result<i64> {
        let connection = Connection::open_with_flags(part, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.query_row("SELECT size FROM head", [], |row| row.get(0))
    };
    let rows = if part.exists() { size().unwrap_or(0) as usize } else { 0 };
    if rows == 0 {
        for ending in ["part", "part-wal", "part-shm"] {
            let _ = std::fs::remove_file(part.with_extension(ending));
        }
    }
    rows
}

/// Stops with a clear line if the disk cannot take so many rows (about 90 bytes each, and the log).
fn room_for(rows: usize) {
    let disk = rustix::fs::statvfs(folder()).unwrap();
    let (free, needed) = (disk.f_bavail * disk.f_frsize, rows as u64 * 100 + (1 << 30));
    assert!(
        free > needed,
        "{} rows need {} MiB below target/bench-data; {} MiB are free",
        rows,
        needed >> 20,
        free >> 20
    );
}

fn fill_rounds(
    path: &Path,
    rows: std::ops::Range<usize>,
    cadence: i64,
    body: impl Fn(usize, usize) -> String,
    tell: bool,
) {
    let first = rows.start / HOSTS;
    let clock = Arc::new(AtomicI64::new(BEGIN + first as i64 * cadence));
    let now = clock.clone();
    let mut progress = Progress::new(rows.clone(), tell);
    actix_web::rt::System::new().block_on(async {
        let url = format!("sqlite://{}", path.display());
        let steered: Clock = Arc::new(move || Timestamp(now.load(Ordering::Relaxed)));
        let machine = Machine::from(steered);
        let manner = Manner { read_deadline: Duration::from_secs(2), min_free: 0, alone: true };
        let database = Database::open(&url, machine, manner).await.unwrap();
        let ages = StaleAfter::parse("26h", "").unwrap();
        for round in first..rows.end.div_ceil(HOSTS) {
            let hosts = HOSTS.min(rows.end - round * HOSTS);
            let reports = (0..hosts).map(|host| report(host, round, &body, &ages)).collect();
            let sender = Sender { reported_by: None, remote_address: Some("192.0.2.7".into()) };
            let submission = Submission {
                reports,
                sender: Arc::new(sender),
                create_hosts: true,
                key: None,
                push: None,
                bytes: 0,
            };
            database.recorder.record(submission).await.unwrap();
            clock.fetch_add(cadence, Ordering::Relaxed);
            progress.at(round * HOSTS + hosts);
        }
        database.close().await;
    });
}

fn report(
    host: usize,
    round: usize,
    body: &impl Fn(usize, usize) -> String,
    ages: &StaleAfter,
) -> Report {
    let (source, body) = if round == 0 {
        (Source::Pipeline, pipeline_body(host, &Timestamp(BEGIN).to_string()))
    } else {
        (Source::Cron, body(host, round))
    };
    ingest::parse_body(source, body.as_bytes(), ages).unwrap().reports.remove(0)
}

/// Says how a filling goes: on a terminal in one line, else twice a minute.
struct Progress {
    rows: std::ops::Range<usize>,
    started: Instant,
    said: Instant,
    every: Duration,
    tell: bool,
}

impl Progress {
    fn new(rows: std::ops::Range<usize>, tell: bool) -> Self {
        let started = Instant::now();
        let every = if std::io::stderr().is_terminal() { 1 } else { 30 };
        if tell {
            eprintln!("filling the database of {} rows (once) …", power(rows.end));
        }
        Self { rows, started, said: started, every: Duration::from_secs(every), tell }
    }

    fn at(&mut self, row: usize) {
        let last = row == self.rows.end;
        if !self.tell || (self.said.elapsed() < self.every && !last) {
            return;
        }
        self.said = Instant::now();
        let rate = (row - self.rows.start) as f64 / self.started.elapsed().as_secs_f64();
        let percent = row * 100 / self.rows.end;
        let minutes = (self.rows.end - row) as f64 / rate / 60.0;
        let end = if std::io::stderr().is_terminal() && !last { '\r' } else { '\n' };
        eprint!(
            "  {row} rows ({percent} %), {rate:.0} per second, {minutes:.1} minutes to go  {end}"
        );
    }
}
