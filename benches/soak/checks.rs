//! What must hold at the end: all that was acknowledged is there, states are right, nothing has grown but the
//! history.

use super::Plan;
use super::player::Played;
use super::samples::Sample;
use gitops_status_server::domain::time::Timestamp;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// Memory that the server may take, in MiB.
const MEMORY: f64 = 96.0;
/// Bytes that SQLite's log may take: twice what it is cut back to.
const LOG: f64 = 64.0 * 1024.0 * 1024.0;
/// What the last quarter may be, of the second: the first is warming up.
const GROWTH: f64 = 1.15;
/// The same of latencies, which neighbours move too.
const SLOWER: f64 = 1.5;
/// Samples without which quarters say nothing: a short run is not judged by growth.
const ENOUGH: usize = 80;

/// A verdict.
#[derive(Debug)]
pub struct Check {
    /// What must hold.
    pub name: String,
    /// What was found.
    pub found: String,
    /// Whether it holds.
    pub holds: bool,
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mark = if self.holds { "holds " } else { "FAILED" };
        write!(f, "{mark}  {}: {}", self.name, self.found)
    }
}

fn check(name: impl Into<String>, found: impl Into<String>, holds: bool) -> Check {
    Check { name: name.into(), found: found.into(), holds }
}

fn at_most(name: &str, value: f64, most: f64) -> Check {
    check(format!("{name} is at most {most:.2}"), format!("{value:.2}"), value <= most)
}

/// All of them.
pub fn all(plan: &Plan, played: &Played, database: &Path) -> Vec<Check> {
    let took = played.took.as_secs_f64() / 60.0;
    let broken = played.broken.as_deref();
    let mut checks = vec![
        check(
            format!("{} days are played within {} min", plan.days, plan.within.as_secs() / 60),
            broken.map_or_else(|| format!("{:.2} in {took:.1} min", played.days), str::to_owned),
            broken.is_none(),
        ),
        check(
            "every acknowledged report is an entry",
            format!("{} acknowledged, {} entries", played.acknowledged, played.entries),
            played.acknowledged == played.entries,
        ),
        states(played),
        check("the server stops in order", played.stopped.to_string(), played.stopped),
        verify(database),
    ];
    checks.extend(bounds(&played.samples));
    if played.samples.len() >= ENOUGH {
        checks.extend(growth(&played.samples));
    }
    checks
}

/// Every host's row against what it was told.
fn states(played: &Played) -> Check {
    let (hosts, now) = (&played.season.hosts, played.season.now());
    let rows = played.rows.as_array().map_or(&[][..], Vec::as_slice);
    let mut wrong = Vec::new();
    for host in hosts {
        let name = format!("rsyslog-{:04}", host.at);
        let told = &host.told;
        let newest = told.newest.map(|(time, _)| Timestamp(time).to_string());
        let since = told.drift_since().map(|time| Timestamp(time).to_string());
        let expected = json!([
            told.newest.map(|(_, status)| status.word()),
            newest,
            since,
            told.reports,
            u8::from(told.is_stale(now))
        ]);
        let row = rows.iter().find(|row| row["host"] == name.as_str()).unwrap_or(&Value::Null);
        let found = ["status", "last_report", "drift_since", "reports", "stale"];
        let found = json!(found.map(|key| row[key].clone()));
        if found != expected {
            wrong.push(format!("{name} is {found}, not {expected}"));
        }
    }
    let name = "status, newest report, drift, count and staleness of every host are as told";
    match wrong.first() {
        Some(first) => check(name, format!("{} are not; {first}", wrong.len()), false),
        None => check(name, format!("{} hosts", hosts.len()), hosts.len() == rows.len()),
    }
}

/// The program's own judgement.
fn verify(database: &Path) -> Check {
    let url = format!("sqlite://{}", database.display());
    let ran = Command::new(env!("CARGO_BIN_EXE_gitops-status-server"))
        .args(["verify", "--database-url", &url])
        .output()
        .unwrap();
    let right = ran.status.success();
    let said = if right { ran.stdout } else { ran.stderr };
    let said = String::from_utf8_lossy(&said);
    // The last line sums up what is right.
    let found = if right { said.lines().last().unwrap_or_default() } else { said.trim() };
    check("`verify` finds the history whole", found.replace('\n', "; "), right)
}

/// What may not be exceeded at any time.
fn bounds(samples: &[Sample]) -> Vec<Check> {
    let most = |value: fn(&Sample) -> f64| samples.iter().map(value).fold(0.0, f64::max);
    let mib = 1024.0 * 1024.0;
    vec![
        at_most("peak memory in MiB", most(|sample| sample.memory[1]), MEMORY),
        at_most("SQLite's log in MiB", most(|sample| sample.log as f64) / mib, LOG / mib),
    ]
}

/// The last quarter of the season beside the second.
fn growth(samples: &[Sample]) -> Vec<Check> {
    let quarter = samples.len() / 4;
    let (second, last) = (&samples[quarter..2 * quarter], &samples[3 * quarter..]);
    let ratio = |name: &str, most: f64, value: &dyn Fn(&Sample) -> Option<f64>| {
        let of = |samples: &[Sample]| median(samples.iter().filter_map(value).collect());
        at_most(&format!("{name}, last quarter / second quarter,"), of(last) / of(second), most)
    };
    let mut checks = vec![
        ratio("resident memory", GROWTH, &|sample| Some(sample.memory[0])),
        ratio("anonymous memory", GROWTH, &|sample| Some(sample.memory[2])),
        ratio("SQLite's log", GROWTH, &|sample| Some(sample.log as f64)),
        ratio("open handles", 1.0, &|sample| Some(sample.handles as f64)),
        ratio("threads", 1.0, &|sample| Some(sample.threads)),
    ];
    for name in ["page", "deep page", "status", "report"] {
        let value = |sample: &Sample| sample.times.get(name).map(|[median, _]| *median);
        checks.push(ratio(&format!("median latency of a {name}"), SLOWER, &value));
    }
    let each = |samples: &[Sample]| {
        let (first, last) = (&samples[0], &samples[samples.len() - 1]);
        (last.database as f64 - first.database as f64) / (last.reports - first.reports) as f64
    };
    let name = "bytes for each report, last quarter / second quarter,";
    checks.push(at_most(name, each(last) / each(second), GROWTH));
    checks
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// All that is known of the run, for the report and the plots.
pub fn record(plan: &Plan, played: &Played, checks: &[Check]) -> Value {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("?");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let checks: Vec<Value> = checks
        .iter()
        .map(|check| json!({ "name": check.name, "found": check.found, "holds": check.holds }))
        .collect();
    json!({
        "machine": format!("{cores} x {model}"),
        "planned_days": plan.days,
        "planned_seconds": plan.within.as_secs_f64(),
        "hosts": played.season.hosts.len(),
        "days": played.days,
        "seconds": played.took.as_secs_f64(),
        "reports": played.acknowledged,
        "repeated": played.known,
        "checks": checks,
        "samples": played.samples.iter().map(Sample::json).collect::<Vec<_>>(),
    })
}
