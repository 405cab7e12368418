//! What is measured on: bodies, and a database filled through the real write path.

use gitops_status_server::commands::{Database, Machine, Manner};
use gitops_status_server::domain::max_age::StaleAfter;
use gitops_status_server::domain::report::{Report, Sender, Source};
use gitops_status_server::domain::time::Timestamp;
use gitops_status_server::ingest;
use gitops_status_server::recorder::{Clock, Submission};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Hosts of the database.
pub const HOSTS: usize = 100;
/// Reports of each host in the database.
const ROUNDS: usize = 240;
/// 2026-01-01T00:00:00Z.
const BEGIN: i64 = 1_767_225_600_000_000;
/// The first quarter of 2026, in microseconds.
const QUARTER: i64 = 90 * 86_400_000_000;
/// What the clock says when the database is full.
pub const NOW: Timestamp = Timestamp(BEGIN + QUARTER);

/// Groups a host belongs to.
const GROUPS: usize = 10;

/// The group of a host.
pub fn group(host: usize) -> String {
    format!("rsyslog-{:02}", host % GROUPS)
}

/// The name of a host.
pub fn host(host: usize) -> String {
    format!("rsyslog-{host:04}")
}

/// A pipeline report in the contract's example form.
pub fn pipeline_body(at: usize, time: Timestamp) -> String {
    let (group, host) = (group(at), host(at));
    format!(
        r#"{{"project_name":"gitops-for-servers","repo_name":"rsyslog","server_group":"{group}","server_type":"rsyslog","environment":"prod","host":"{host}","status":"synced","changed_files":[],"validation_status":"passed","validation_message":"rsyslog syntax validation passed","commit_sha":"abc1234567890","branch":"master","updated_by":"woodpecker","last_pipeline_run":"{time}"}}"#
    )
}

/// A check, with or without a drift.
pub fn cron_body(at: usize, drifts: bool) -> String {
    let said = if drifts {
        r#""status":"out_of_sync","changed_files":["rsyslog.conf","rsyslog.d/30-lab.conf"]"#
    } else {
        r#""status":"synced","changed_files":[]"#
    };
    format!(r#"{{"server_group":"{}","host":"{}",{said}}}"#, group(at), host(at))
}

/// The only report of a body.
pub fn report(source: Source, body: &str) -> Report {
    ingest::parse_body(source, body.as_bytes(), &ages()).unwrap().reports.remove(0)
}

/// How long words are good for.
pub fn ages() -> StaleAfter {
    StaleAfter::parse("26h", "").unwrap()
}

/// A request of these reports.
pub fn submission(reports: Vec<Report>) -> Submission {
    let sender = Sender { reported_by: None, remote_address: Some("192.0.2.7".into()) };
    let sender = Arc::new(sender);
    Submission { reports, sender, create_hosts: true, key: None, push: None, bytes: 0 }
}

/// A temporary folder below `target/` with a database in it: a quarter of all hosts, with a drift in one of
/// 20 reports. It is filled at full speed, before valgrind comes.
pub fn folder() -> tempfile::TempDir {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/instructions");
    std::fs::create_dir_all(&target).unwrap();
    let folder = tempfile::tempdir_in(target).unwrap();
    let clock = Arc::new(AtomicI64::new(BEGIN));
    actix_web::rt::System::new().block_on(async {
        let database = open(&folder.path().join(DATABASE), clock.clone()).await;
        for round in 0..ROUNDS {
            let now = Timestamp(BEGIN + QUARTER / ROUNDS as i64 * round as i64);
            clock.store(now.0, Ordering::Relaxed);
            let one = |at| match round {
                0 => report(Source::Pipeline, &pipeline_body(at, now)),
                _ => report(Source::Cron, &cron_body(at, (at * 7 + round).is_multiple_of(20))),
            };
            let all = submission((0..HOSTS).map(one).collect());
            database.recorder.record(all).await.unwrap();
        }
        database.close().await;
    });
    folder
}

/// The database's name in its folder.
pub const DATABASE: &str = "quarter.db";

/// Opens (or creates) a database, with a clock that is set by the caller.
pub async fn open(path: &Path, clock: Arc<AtomicI64>) -> Database {
    let clock: Clock = Arc::new(move || Timestamp(clock.load(Ordering::Relaxed)));
    let machine = Machine::from(clock);
    let manner = Manner { read_deadline: PATIENCE, min_free: 0, alone: true };
    Database::open(&format!("sqlite://{}", path.display()), machine, manner).await.unwrap()
}

/// Under valgrind everything takes fifty times as long.
pub const PATIENCE: Duration = Duration::from_mins(5);
