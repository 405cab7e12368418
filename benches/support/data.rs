//! Databases to measure on, filled through the real write path with a clock that is moved on.

use gitops_status_server::commands::{Database, Machine, Manner};
use gitops_status_server::domain::max_age::StaleAfter;
use gitops_status_server::domain::report::{Report, Sender, Source};
use gitops_status_server::domain::time::Timestamp;
use gitops_status_server::ingest;
use gitops_status_server::recorder::Submission;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Hosts in every database.
pub const HOSTS: usize = 1000;
/// Two minutes, in microseconds: how often a host reports.
const CADENCE: i64 = 120_000_000;
/// 2026-01-01T00:00:00Z.
const BEGIN: i64 = 1_767_225_600_000_000;

/// A line about the machine.
pub fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("?");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("machine: {cores} x {model}")
}

/// A temporary folder below `target/`, on the same disk as the kept databases.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(folder()).unwrap()
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-data");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The pipeline report of a host, in the contract's example form (about 470 bytes).
pub fn pipeline_body(host: usize, time: Timestamp) -> String {
    format!(
        r#"{{"project_name":"gitops-for-servers","repo_name":"rsyslog","server_group":"rsyslog-{:02}","server_type":"rsyslog","environment":"prod","host":"rsyslog-{host:04}","status":"synced","changed_files":[],"validation_status":"passed","validation_message":"rsyslog syntax validation passed","commit_sha":"abc1234567890","branch":"master","updated_by":"woodpecker","last_pipeline_run":"{time}"}}"#,
        host % 20
    )
}

/// The check of a host: in sync, but for a drift in one of 200 rounds.
fn cron_body(host: usize, round: usize) -> String {
    let drifts = (host * 31 + round).is_multiple_of(200);
    let said = if drifts {
        r#""status":"out_of_sync","changed_files":["rsyslog.conf","rsyslog.d/30-lab.conf"]"#
    } else {
        r#""status":"synced","changed_files":[]"#
    };
    format!(r#"{{"server_group":"rsyslog-{:02}","host":"rsyslog-{host:04}",{said}}}"#, host % 20)
}

/// A database of `rows` reports of [`HOSTS`] hosts, made once and kept below `target/`.
pub fn filled(rows: usize) -> PathBuf {
    kept(&rows.to_string(), |part| fill(part, rows, true))
}

/// A database of `rows` reports of [`HOSTS`] hosts, spread evenly over the first quarter of 2026, with
/// the same drifts however many rows: 1,000 stretches of the quarter, of which a host drifts in five.
pub fn quarter(rows: usize) -> PathBuf {
    let rounds = rows / HOSTS;
    let each = rounds / QUARTER_STRETCHES;
    let cadence = QUARTER / rounds as i64;
    kept(&format!("quarter-{rows}"), |part| {
        fill_rounds(part, rows, cadence, move |host, round| cron_body(host, (round / each).max(1)));
    })
}

/// The first quarter of 2026, in microseconds.
const QUARTER: i64 = 90 * 86_400_000_000;
/// Stretches of a quarter in which a host's state is the same.
const QUARTER_STRETCHES: usize = 1000;

fn kept(name: &str, fill: impl FnOnce(&Path)) -> PathBuf {
    // A changed schema makes the kept ones useless.
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let files = std::fs::read_dir(migrations).unwrap();
    let schema: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    let path = folder().join(format!("{name}-{schema}.db"));
    if !path.exists() {
        eprintln!("filling the database {name} (once) …");
        let part = path.with_extension("part");
        let _ = std::fs::remove_file(&part);
        fill(&part);
        std::fs::rename(part, &path).unwrap();
    }
    path
}

/// Fills a database through the recorder, a round of all hosts every two minutes of its clock.
pub fn fill(path: &Path, rows: usize, with_drifts: bool) {
    fill_rounds(path, rows, CADENCE, move |host, round| {
        cron_body(host, if with_drifts { round } else { 1 })
    });
}

fn fill_rounds(
    path: &Path,
    rows: usize,
    cadence: i64,
    body: impl Fn(usize, usize) -> String + 'static,
) {
    let clock = Arc::new(AtomicI64::new(BEGIN));
    let now = clock.clone();
    let system = actix_web::rt::System::new();
    system.block_on(async {
        let url = format!("sqlite://{}", path.display());
        let clock_fn = Arc::new(move || Timestamp(now.load(Ordering::Relaxed)));
        let machine = Machine { clock: clock_fn, free_bytes: None };
        let read_deadline = std::time::Duration::from_secs(2);
        let manner = Manner { read_deadline, min_free: 0, alone: true };
        let database = Database::open(&url, machine, manner).await.unwrap();
        let ages = StaleAfter::parse("26h", "").unwrap();
        for round in 0..rows.div_ceil(HOSTS) {
            let hosts = HOSTS.min(rows - round * HOSTS);
            let reports = (0..hosts).map(|host| report(host, round, &body, &ages)).collect();
            let submission = Submission {
                reports,
                sender: Arc::new(Sender {
                    reported_by: None,
                    remote_address: Some("192.0.2.7".into()),
                }),
                create_hosts: true,
                key: None,
                push: None,
                bytes: 0,
            };
            database.recorder.record(submission).await.unwrap();
            clock.fetch_add(cadence, Ordering::Relaxed);
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
        (Source::Pipeline, pipeline_body(host, Timestamp(BEGIN)))
    } else {
        (Source::Cron, body(host, round))
    };
    ingest::parse_body(source, body.as_bytes(), ages).unwrap().reports.remove(0)
}
