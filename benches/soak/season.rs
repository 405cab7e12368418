//! The season: which requests are due at which step. All chance comes from dice of our own, so that every run
//! plays the same.

use super::host::{Does, Host, Status};
use gitops_status_server::domain::time::Timestamp;
use std::collections::BTreeMap;
use std::path::Path;

/// Hosts.
pub const HOSTS: usize = 1000;
/// Groups they belong to; a group is deployed at once.
pub const GROUPS: usize = 20;
/// A quarter of the hosts reports at each step: every host every two minutes.
const STEPS: usize = 4;
/// Half a minute, in microseconds: how far the clock moves at each step.
pub const STEP: i64 = 30_000_000;
/// Steps of a day.
pub const STEPS_OF_A_DAY: f64 = 2880.0;
/// 2026-01-01T00:00:00Z.
pub const BEGIN: i64 = 1_767_225_600_000_000;

/// Chance that is the same in every run (SplitMix64).
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// Each seed has its own, far from its neighbours'.
    pub fn new(seed: u64) -> Self {
        Self(Self(seed).next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `most`.
    pub fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    /// Whether the one of so many cases has come.
    pub fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
}

/// A request and what it tells.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where to.
    pub path: &'static str,
    /// Its body.
    pub body: String,
    /// Host, time and status of each report.
    pub tells: Vec<(usize, i64, Status)>,
    /// Whether the server has all of it already.
    pub known: bool,
}

/// The season as far as it was played.
pub struct Season {
    /// The hosts by number.
    pub hosts: Vec<Host>,
    dice: Dice,
    step: u64,
    deployments: [u64; GROUPS],
    /// Requests that are sent at a later step.
    held: BTreeMap<u64, Vec<Request>>,
}

impl Season {
    /// Before its first step.
    pub fn new() -> Self {
        let hosts = (0..HOSTS).map(Host::new).collect();
        let (dice, deployments) = (Dice::new(0), [0; GROUPS]);
        Self { hosts, dice, step: 0, deployments, held: BTreeMap::new() }
    }

    /// What the clock says.
    pub fn now(&self) -> i64 {
        BEGIN + self.step as i64 * STEP
    }

    /// Deploys all groups, which makes the hosts known.
    pub fn begin(&mut self) -> Vec<Request> {
        (0..GROUPS).filter_map(|group| self.deploy(group)).collect()
    }

    /// Moves the clock on; what is sent then.
    pub fn advance(&mut self) -> Vec<Request> {
        self.step += 1;
        let mut due = self.held.remove(&self.step).unwrap_or_default();
        for at in (self.step as usize % STEPS..HOSTS).step_by(STEPS) {
            match self.hosts[at].round() {
                Does::Nothing => {}
                Does::Reports => due.push(self.check(at, at % 2 == 0)),
                Does::ReportsLate(rounds) => {
                    let check = self.check(at, true);
                    let later = self.step + rounds * STEPS as u64 + 1;
                    self.held.entry(later).or_default().push(check);
                }
                Does::ReportsTwice => {
                    let check = self.check(at, true);
                    let again = Request { known: true, ..check.clone() };
                    self.held.entry(self.step + 1).or_default().push(again);
                    due.push(check);
                }
            }
        }
        for group in 0..GROUPS {
            // Every group every second day.
            if self.dice.one_in(2 * STEPS_OF_A_DAY as u64) {
                due.extend(self.deploy(group));
            }
        }
        due
    }

    /// A check; without a time of its own it counts when it comes.
    fn check(&self, at: usize, timed: bool) -> Request {
        let (host, now) = (&self.hosts[at], self.now());
        let (group, said) = (host.group(), host.said());
        let time = if timed {
            format!(r#","last_cron_check":"{}""#, Timestamp(now))
        } else {
            String::new()
        };
        let body = format!(
            r#"{{"server_group":"rsyslog-{group:02}","host":"rsyslog-{at:04}",{said}{time}}}"#
        );
        let tells = vec![(at, now, host.status())];
        Request { path: "/status/cron", body, tells, known: false }
    }

    /// A group's next commit, for all of its hosts that are not silent, in one request.
    fn deploy(&mut self, group: usize) -> Option<Request> {
        self.deployments[group] += 1;
        let commit = self.deployments[group] * 100 + group as u64;
        // Between two steps: no other report of these hosts has that time.
        let time = self.now() - STEP / 3;
        let (mut reports, mut tells) = (Vec::new(), Vec::new());
        for host in self.hosts.iter_mut().filter(|host| host.group() == group) {
            if host.is_silent() {
                continue;
            }
            host.deploy();
            let (at, when) = (host.at, Timestamp(time));
            reports.push(format!(
                r#"{{"project_name":"gitops-for-servers","repo_name":"rsyslog","server_group":"rsyslog-{group:02}","server_type":"rsyslog","environment":"prod","host":"rsyslog-{at:04}","status":"synced","changed_files":[],"validation_status":"passed","validation_message":"rsyslog syntax validation passed","commit_sha":"abc{commit:010}","branch":"master","updated_by":"woodpecker","last_pipeline_run":"{when}"}}"#
            ));
            tells.push((at, time, Status::Synced));
        }
        let body = format!("[{}]", reports.join(","));
        let request = Request { path: "/status/pipeline", body, tells, known: false };
        (!request.tells.is_empty()).then_some(request)
    }

    /// How many hosts `/summary` must count as synced, out of sync, failed and stale.
    pub fn summary(&self) -> [u64; 4] {
        let mut counts = [0; 4];
        for host in &self.hosts {
            let place = match host.told.newest {
                _ if host.told.is_stale(self.now()) => 3,
                Some((_, Status::Synced)) => 0,
                Some((_, Status::OutOfSync)) => 1,
                Some((_, Status::Failed)) => 2,
                None => continue,
            };
            counts[place] += 1;
        }
        counts
    }
}

/// Removes a database and what lies beside it.
pub fn remove(database: &Path) {
    let name = database.file_name().unwrap().to_str().unwrap();
    for file in std::fs::read_dir(database.parent().unwrap()).unwrap().flatten() {
        if file.file_name().to_str().is_some_and(|other| other.starts_with(name)) {
            let _ = std::fs::remove_file(file.path());
        }
    }
}
