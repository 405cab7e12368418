//! The review of a period: what every host's time was, added up by group.
//!
//! Each microsecond of a host's life in the period is in sync, drifted, or not measured. Sums are
//! exact; shares are cut, never rounded up, so that 100 % means all of it.

use super::content::Content;
use super::file_set::FileSet;
use super::names::HostKey;
use super::report::Status;
use super::state::HostState;
use super::time::Timestamp;
use std::collections::{BTreeMap, HashMap};

/// What a review is grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the contract's names, section 7")]
pub enum GroupBy {
    ServerGroup,
    Host,
    Environment,
    ServerType,
    RepoName,
    File,
}

impl GroupBy {
    /// The words, in the order of [`GroupBy::ALL`].
    pub const WORDS: &[&str] =
        &["server_group", "host", "environment", "server_type", "repo_name", "file"];
    /// Every value.
    pub const ALL: &[Self] = &[
        Self::ServerGroup,
        Self::Host,
        Self::Environment,
        Self::ServerType,
        Self::RepoName,
        Self::File,
    ];

    /// The word used outside.
    pub fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }

    /// The names of an item's keys.
    pub fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Host => &["server_group", "host"],
            _ => &Self::WORDS[self as usize..=self as usize],
        }
    }
}

/// What a host is, at the end of the period.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the contract's names, section 4")]
pub struct Attributes {
    pub key: HostKey,
    pub environment: Option<String>,
    pub server_type: Option<String>,
    pub repo_name: Option<String>,
    pub project_name: Option<String>,
}

impl Attributes {
    /// Of a host of which nothing but its name is known.
    pub fn bare(key: HostKey) -> Self {
        Self { key, environment: None, server_type: None, repo_name: None, project_name: None }
    }

    /// Of a host now.
    pub fn of(state: &HostState) -> Self {
        let content = state.deployment.as_ref().map(|word| &*word.value);
        Self::deployed(state.key.clone(), content, state.only_legacy())
    }

    /// Of a host whose newest deployment said this. `only_legacy`: only v1 clients have reported it.
    pub fn deployed(key: HostKey, deployment: Option<&Content>, only_legacy: bool) -> Self {
        let Some(content) = deployment else {
            let repo_name = only_legacy.then(|| key.server_group.to_string());
            return Self { repo_name, ..Self::bare(key) };
        };
        Self {
            key,
            environment: content.environment.clone(),
            server_type: content.server_type.clone(),
            repo_name: content.repo_name.clone(),
            project_name: content.project_name.clone(),
        }
    }
}

/// Time of one host spent alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// The status in force.
    pub status: Status,
    /// Whether nobody's word was good.
    pub silent: bool,
    /// The files in force.
    pub files: FileSet,
    /// How long, in the period.
    pub micros: i64,
    /// Reports with a time in it.
    pub reports: u64,
}

/// An episode as far as a review counts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Whether a report ended it (and not a retirement).
    pub repaired: bool,
    /// All files seen.
    pub files: FileSet,
}

/// Everything a review knows of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the parts are documented by their types")]
pub struct HostPeriod {
    pub attributes: Attributes,
    pub stretches: Vec<Stretch>,
    pub drifts: Vec<Drift>,
}

/// The bounds of a review: from inclusive, to exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Bounds {
    pub from: Timestamp,
    pub to: Timestamp,
}

impl Bounds {
    fn holds(self, time: Timestamp) -> bool {
        (self.from..self.to).contains(&time)
    }

    /// How much of an episode lies within.
    fn clip(self, drift: &Drift) -> i64 {
        let end = drift.ended_at.map_or(self.to, |end| end.min(self.to));
        (end.0 - drift.started_at.max(self.from).0).max(0)
    }
}

/// What was added up for one item, or for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Hosts with a life in the period.
    pub hosts: u64,
    /// Reports with a time in the period.
    pub reports: u64,
    /// Episodes that began in the period.
    pub episodes: u64,
    /// Episodes that were open at its end.
    pub open_episodes: u64,
    /// Microseconds in sync.
    pub in_sync: i128,
    /// Microseconds drifted.
    pub drifted: i128,
    /// Microseconds not measured.
    pub not_measured: i128,
    /// Microseconds of the longest drift, as far as it lies in the period.
    pub longest_drift: i64,
    repaired: u64,
    repair_micros: i128,
    by_file: HashMap<String, i128>,
}

impl Tally {
    /// Microseconds from `out_of_sync` to `synced`, on average over the episodes that a report ended
    /// in the period; `None` if there are none.
    pub fn mean_time_to_repair(&self) -> Option<i128> {
        (self.repaired > 0).then(|| self.repair_micros / i128::from(self.repaired))
    }

    /// The file that differed longest; of equals the first by name.
    pub fn most_drifted_file(&self) -> Option<&str> {
        let longest = self.by_file.iter().max_by(|a, b| a.1.cmp(b.1).then_with(|| b.0.cmp(a.0)));
        longest.map(|(path, _)| path.as_str())
    }

    /// Share of the measured time in sync, in percent.
    pub fn in_sync_percent(&self) -> Option<f64> {
        percent(self.in_sync, self.in_sync + self.drifted)
    }

    /// Share of the time that was measured, in percent.
    pub fn coverage_percent(&self) -> Option<f64> {
        let measured = self.in_sync + self.drifted;
        percent(measured, measured + self.not_measured)
    }

    fn add_drift(&mut self, drift: &Drift, bounds: Bounds) {
        self.episodes += u64::from(bounds.holds(drift.started_at));
        let ended_within = drift.ended_at.filter(|end| bounds.holds(*end));
        let open_at_end =
            drift.started_at < bounds.to && drift.ended_at.is_none_or(|end| end >= bounds.to);
        self.open_episodes += u64::from(open_at_end);
        if let Some(end) = ended_within.filter(|_| drift.repaired) {
            self.repaired += 1;
            self.repair_micros += i128::from(end.0 - drift.started_at.0);
        }
        self.longest_drift = self.longest_drift.max(bounds.clip(drift));
    }

    fn add_host(&mut self, host: &HostPeriod, bounds: Bounds) {
        self.hosts += 1;
        for stretch in &host.stretches {
            self.reports += stretch.reports;
            let micros = i128::from(stretch.micros);
            match stretch.kind() {
                Kind::InSync => self.in_sync += micros,
                Kind::NotMeasured => self.not_measured += micros,
                Kind::Drifted => {
                    self.drifted += micros;
                    for path in stretch.files.paths() {
                        match self.by_file.get_mut(path) {
                            Some(sum) => *sum += micros,
                            None => drop(self.by_file.insert(path.to_owned(), micros)),
                        }
                    }
                }
            }
        }
        for drift in &host.drifts {
            self.add_drift(drift, bounds);
        }
    }

    /// Adds what concerns one file of a host: while the file did not differ (and somebody looked),
    /// it was in sync.
    fn add_file(&mut self, path: &str, host: &HostPeriod, bounds: Bounds) {
        self.hosts += 1;
        for stretch in &host.stretches {
            let micros = i128::from(stretch.micros);
            match stretch.kind() {
                Kind::NotMeasured => self.not_measured += micros,
                Kind::Drifted if stretch.files.contains(path) => {
                    self.drifted += micros;
                    self.reports += stretch.reports;
                    *self.by_file.entry(path.to_owned()).or_default() += micros;
                }
                Kind::Drifted | Kind::InSync => self.in_sync += micros,
            }
        }
        for drift in host.drifts.iter().filter(|drift| drift.files.contains(path)) {
            self.add_drift(drift, bounds);
        }
    }
}

/// The three kinds of time.
enum Kind {
    InSync,
    Drifted,
    NotMeasured,
}

impl Stretch {
    fn kind(&self) -> Kind {
        match self.status {
            _ if self.silent => Kind::NotMeasured,
            Status::Synced => Kind::InSync,
            Status::OutOfSync => Kind::Drifted,
            Status::Failed | Status::Unknown => Kind::NotMeasured,
        }
    }
}

/// In percent, cut to 4 digits behind the point; `None` of nothing.
fn percent(part: i128, whole: i128) -> Option<f64> {
    (whole > 0).then(|| (part * 1_000_000 / whole) as f64 / 10_000.0)
}

/// One row: the values of [`GroupBy::keys`], and the sums.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the line above says it")]
pub struct Item {
    pub keys: Vec<Option<String>>,
    pub tally: Tally,
}

/// Adds up the hosts by group, ordered by the keys (none first), and all of them once.
pub fn add_up(hosts: &[HostPeriod], group_by: GroupBy, bounds: Bounds) -> (Vec<Item>, Tally) {
    let mut groups: BTreeMap<Vec<Option<String>>, Tally> = BTreeMap::new();
    let mut totals = Tally::default();
    for host in hosts.iter().filter(|host| !host.stretches.is_empty()) {
        totals.add_host(host, bounds);
        let Attributes { key, environment, server_type, repo_name, .. } = &host.attributes;
        let (group, name) = (Some(key.server_group.to_string()), Some(key.host.to_string()));
        let keys = match group_by {
            GroupBy::ServerGroup => vec![group],
            GroupBy::Host => vec![group, name],
            GroupBy::Environment => vec![environment.clone()],
            GroupBy::ServerType => vec![server_type.clone()],
            GroupBy::RepoName => vec![repo_name.clone()],
            GroupBy::File => {
                for path in files_of(host) {
                    let tally = groups.entry(vec![Some(path.to_owned())]).or_default();
                    tally.add_file(path, host, bounds);
                }
                continue;
            }
        };
        groups.entry(keys).or_default().add_host(host, bounds);
    }
    (groups.into_iter().map(|(keys, tally)| Item { keys, tally }).collect(), totals)
}

/// Every file that differed on this host in the period.
fn files_of(host: &HostPeriod) -> std::collections::BTreeSet<&str> {
    let in_time = host.stretches.iter().filter(|stretch| matches!(stretch.kind(), Kind::Drifted));
    let in_time = in_time.flat_map(|stretch| stretch.files.paths());
    let in_drifts = host.drifts.iter().flat_map(|drift| drift.files.paths());
    in_time.chain(in_drifts).collect()
}
