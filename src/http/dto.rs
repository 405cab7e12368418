//! Wire types: what answers look like. They borrow from the domain and live for one answer.

use super::paths::{JoinedPaths, ListedPaths, V1File, V1Files};
use crate::domain::files::Files;
use crate::domain::line::hex;
use crate::domain::report::{Source, Status, Transition};
use crate::domain::state::HostState;
use crate::domain::time::Timestamp;
use crate::domain::words::ValidationStatus;
use crate::ledger::Rejection;
use crate::recorder::{ActReceipt, Receipt};
use serde::Serialize;
use utoipa::ToSchema;

/// The state of one server. Every key is always there, null when unknown.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatusRow<'a> {
    /// Of the newest pipeline report.
    #[schema(required, example = "gitops-for-servers")]
    pub project_name: Option<&'a str>,
    /// Of the newest pipeline report; the group for a host known only from v1 clients.
    #[schema(required, example = "rsyslog")]
    pub repo_name: Option<&'a str>,
    #[schema(example = "rsyslog-prod")]
    pub server_group: &'a str,
    #[schema(required, example = "rsyslog")]
    pub server_type: Option<&'a str>,
    #[schema(required, example = "prod")]
    pub environment: Option<&'a str>,
    #[schema(example = "rsyslog-01")]
    pub host: &'a str,
    /// The newest status said by any source: synced, out_of_sync, failed or unknown.
    #[schema(value_type = String, example = "synced")]
    pub status: Status,
    #[schema(example = 0)]
    pub changed_files_count: usize,
    /// Paths of the files that differ.
    #[schema(value_type = Vec<String>, example = json!([]))]
    pub changed_files: ListedPaths<'a>,
    /// passed, failed or skipped.
    #[schema(required, value_type = Option<String>, example = "passed")]
    pub validation_status: Option<ValidationStatus>,
    #[schema(required, example = "rsyslog syntax validation passed")]
    pub validation_message: Option<&'a str>,
    #[schema(required, value_type = Option<String>, format = DateTime, example = "2026-04-26T10:30:00Z")]
    pub last_pipeline_run: Option<Timestamp>,
    #[schema(required, value_type = Option<String>, format = DateTime, example = "2026-04-26T10:32:00Z")]
    pub last_cron_check: Option<Timestamp>,
    /// The deployed commit.
    #[schema(required, example = "abc1234567890")]
    pub commit_sha: Option<&'a str>,
    #[schema(required, example = "master")]
    pub branch: Option<&'a str>,
    #[schema(required, example = "woodpecker")]
    pub updated_by: Option<&'a str>,
    /// Time of the newest report.
    #[schema(value_type = String, format = DateTime, example = "2026-04-26T10:32:00Z")]
    pub timestamp: Timestamp,
    /// 0 synced, 1 out_of_sync, 2 failed, 3 unknown.
    #[schema(example = 0)]
    pub status_code: i64,
    /// The paths joined by a comma and a blank.
    #[schema(value_type = String, example = "")]
    pub changed_files_text: JoinedPaths<'a>,
    /// First report of the open drift.
    #[schema(required, value_type = Option<String>, format = DateTime, example = json!(null))]
    pub drift_since: Option<Timestamp>,
    /// Seconds since then, cut to whole minutes.
    #[schema(required, example = json!(null))]
    pub drift_age_seconds: Option<i64>,
    /// Time of the newest report of any source.
    #[schema(value_type = String, format = DateTime, example = "2026-04-26T10:32:00Z")]
    pub last_report: Timestamp,
    /// 1 if the newest word is older than its max_age.
    #[schema(example = 0)]
    pub stale: u8,
    /// The newest status said by a pipeline or an import.
    #[schema(required, value_type = Option<String>, example = "synced")]
    pub pipeline_status: Option<Status>,
    /// The newest status said by a check.
    #[schema(required, value_type = Option<String>, example = "synced")]
    pub cron_status: Option<Status>,
    /// The commit the newest check measured against.
    #[schema(required, example = "abc1234567890")]
    pub checked_commit_sha: Option<&'a str>,
    /// Of the newest report.
    #[schema(required, example = "https://ci.example.org/repos/7/pipeline/42")]
    pub run_url: Option<&'a str>,
    /// `name=value`, joined by a comma and a blank; empty without labels.
    #[schema(example = "team=logging")]
    pub labels_text: String,
    /// How many reports were recorded.
    #[schema(example = 2)]
    pub reports: u64,
}

/// The files in force of a host; `stored` if their list had to be looked up.
fn files_of<'a>(state: &'a HostState, stored: Option<&'a Files>) -> Option<&'a Files> {
    stored.or_else(|| state.files_in_force()?.changed_files.as_ref())
}

impl<'a> StatusRow<'a> {
    /// The row of a host at a moment; `stored`: its files, if their list had to be looked up.
    pub fn of(state: &'a HostState, stored: Option<&'a Files>, now: Timestamp) -> Self {
        let deployment = state.deployment.as_ref().map(|word| &*word.value);
        let check = state.check.as_ref().map(|word| &*word.value);
        let files = files_of(state, stored);
        let labels = deployment.or(check).and_then(|content| content.labels.as_ref());
        let status = state.status_in_force();
        let newest = state.newest.place.time;
        Self {
            project_name: deployment.and_then(|d| d.project_name.as_deref()),
            repo_name: state.repo_name(),
            server_group: &state.key.server_group,
            server_type: deployment.and_then(|d| d.server_type.as_deref()),
            environment: deployment.and_then(|d| d.environment.as_deref()),
            host: &state.key.host,
            status,
            changed_files_count: files.map_or(0, Files::len),
            changed_files_text: JoinedPaths(files),
            changed_files: ListedPaths(files),
            validation_status: deployment.and_then(|d| d.validation_status),
            validation_message: deployment.and_then(|d| d.validation_message.as_deref()),
            last_pipeline_run: state.last_pipeline_run,
            last_cron_check: state.last_cron_check,
            commit_sha: deployment.and_then(|d| d.commit_sha.as_deref()),
            branch: deployment.and_then(|d| d.branch.as_deref()),
            updated_by: deployment.and_then(|d| d.updated_by.as_deref()),
            timestamp: newest,
            status_code: status.code(),
            drift_since: state.drift_start.map(|place| place.time),
            drift_age_seconds: state.drift_age_seconds(now),
            last_report: newest,
            stale: u8::from(state.is_stale(now)),
            pipeline_status: deployment.and_then(|d| d.status),
            cron_status: state.check_status.as_ref().map(|word| word.value),
            checked_commit_sha: check.and_then(|c| c.commit_sha.as_deref()),
            run_url: state.newest.value.1.as_ref().and_then(|run| run.run_url.as_deref()),
            labels_text: labels.map(crate::domain::content::Labels::text).unwrap_or_default(),
            reports: state.reports,
        }
    }
}

/// The receipt of one report, and what it meant when it came.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReportReceipt<'a> {
    /// The entry's id in the history, a decimal number.
    #[schema(example = "1234")]
    pub id: String,
    /// The history's name.
    #[schema(example = "gitops-status-server/5f0c9a3e8b7d4c6f9a1e2b3c4d5e6f70")]
    pub origin: &'a str,
    /// The leaf hash of the entry's line (RFC 6962), hex.
    #[schema(example = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d")]
    pub hash: String,
    /// Whether this very report was there already; nothing was stored then.
    #[schema(example = false)]
    pub duplicate: bool,
    /// Older than the newest of its kind when it came.
    #[schema(example = false)]
    pub late: bool,
    /// What it does at its own place in time: none, opened, changed or closed.
    #[schema(example = "changed")]
    pub transition: &'static str,
    /// Start of the drift that is open now.
    #[schema(required, value_type = Option<String>, format = DateTime, example = json!(null))]
    pub drift_since: Option<Timestamp>,
}

impl<'a> ReportReceipt<'a> {
    /// The receipt as it goes out.
    pub fn of(receipt: &Receipt, origin: &'a str) -> Self {
        Self {
            id: receipt.id.to_string(),
            origin,
            hash: hex(&receipt.hash),
            duplicate: receipt.duplicate,
            late: receipt.judgement.late,
            transition: receipt.judgement.transition.word(),
            drift_since: receipt.state.drift_start.map(|place| place.time),
        }
    }

    /// The receipt of an act.
    pub fn of_act(receipt: &ActReceipt, origin: &'a str) -> Self {
        let state = receipt.state.as_ref();
        Self {
            id: receipt.id.to_string(),
            origin,
            hash: hex(&receipt.hash),
            duplicate: false,
            late: false,
            transition: Transition::None.word(),
            drift_since: state.and_then(|state| Some(state.drift_start?.time)),
        }
    }
}

/// The answer to one report.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReportAnswer<'a, S: ToSchema> {
    /// Always true.
    #[schema(example = true)]
    pub success: bool,
    #[schema(example = "Status updated successfully")]
    pub message: &'a str,
    /// The host's row right after this report.
    pub status: S,
    pub report: ReportReceipt<'a>,
    /// What was repaired or ignored.
    #[schema(example = json!([]))]
    pub warnings: &'a [String],
}

/// The answer to an array of reports.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReportsAnswer<'a, S: ToSchema> {
    /// Always true.
    #[schema(example = true)]
    pub success: bool,
    #[schema(example = "Status updated successfully")]
    pub message: &'a str,
    /// Each host's row right after its report, in the order sent.
    pub statuses: Vec<S>,
    pub reports: Vec<ReportReceipt<'a>>,
    /// What was repaired or ignored.
    #[schema(example = json!([]))]
    pub warnings: &'a [String],
}

/// The v1 object: exactly these six keys.
#[derive(Debug, Serialize, ToSchema)]
pub struct V1Status<'a> {
    #[schema(example = "rsyslog")]
    pub repo: &'a str,
    #[schema(example = "rsyslog-lab")]
    pub server: &'a str,
    /// SYNCED, OUT_OF_SYNC or UNKNOWN.
    #[schema(example = "OUT_OF_SYNC")]
    pub sync_status: &'static str,
    /// The count the client declared, else the number of files.
    #[schema(example = 1)]
    pub drift_count: usize,
    #[schema(value_type = Vec<V1File<'a>>)]
    pub files: V1Files<'a>,
    #[schema(required, value_type = Option<String>, format = DateTime, example = "2026-04-26T10:30:00Z")]
    pub last_check: Option<Timestamp>,
}

impl<'a> V1Status<'a> {
    /// A host's state mapped back to v1; `stored`: its files, if their list had to be looked up.
    pub fn of(state: &'a HostState, stored: Option<&'a Files>) -> Self {
        let files = files_of(state, stored);
        Self {
            repo: &state.key.server_group,
            server: &state.key.host,
            sync_status: match state.status_in_force() {
                Status::Synced => "SYNCED",
                Status::OutOfSync => "OUT_OF_SYNC",
                Status::Failed | Status::Unknown => "UNKNOWN",
            },
            drift_count: state
                .declared_count()
                .map_or_else(|| files.map_or(0, Files::len), |count| count as usize),
            files: V1Files(files),
            last_check: state.last_cron_check.or(Some(state.newest.place.time)),
        }
    }

    /// What v1 answers before anything was reported.
    pub const EMPTY: V1Status<'static> = V1Status {
        repo: "",
        server: "",
        sync_status: "UNKNOWN",
        drift_count: 0,
        files: V1Files(None),
        last_check: None,
    };
}

/// How many hosts are in which state. The four count hosts whose word is still good.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Counts {
    #[schema(example = 41)]
    pub synced: usize,
    #[schema(example = 2)]
    pub out_of_sync: usize,
    #[schema(example = 0)]
    pub failed: usize,
    #[schema(example = 1)]
    pub unknown: usize,
    /// Hosts whose newest word is older than its max_age, whatever it said.
    #[schema(example = 1)]
    pub stale: usize,
    /// The sum of the five.
    #[schema(example = 45)]
    pub total: usize,
}

impl Counts {
    /// Counts one host in.
    pub fn add(&mut self, state: &HostState, now: Timestamp) {
        let count = if state.is_stale(now) {
            &mut self.stale
        } else {
            match state.status_in_force() {
                Status::Synced => &mut self.synced,
                Status::OutOfSync => &mut self.out_of_sync,
                Status::Failed => &mut self.failed,
                Status::Unknown => &mut self.unknown,
            }
        };
        *count += 1;
        self.total += 1;
    }
}

/// The counts of one group: its key first, under the name of what was grouped by.
#[derive(Debug)]
pub struct GroupCounts {
    pub name: &'static str,
    pub key: Option<String>,
    pub counts: Counts,
}

impl Serialize for GroupCounts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let Counts { synced, out_of_sync, failed, unknown, stale, total } = &self.counts;
        let mut row = serializer.serialize_map(Some(7))?;
        row.serialize_entry(self.name, &self.key)?;
        row.serialize_entry("synced", synced)?;
        row.serialize_entry("out_of_sync", out_of_sync)?;
        row.serialize_entry("failed", failed)?;
        row.serialize_entry("unknown", unknown)?;
        row.serialize_entry("stale", stale)?;
        row.serialize_entry("total", total)?;
        row.end()
    }
}

/// A refused report.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectionRow {
    #[schema(value_type = String, format = DateTime, example = "2026-04-26T10:32:00Z")]
    pub time: Timestamp,
    /// pipeline, cron or legacy: the route it came to.
    #[schema(value_type = String, example = "cron")]
    pub source: Source,
    /// As far as it could be read.
    #[schema(required, example = "rsyslog-prod")]
    pub server_group: Option<String>,
    #[schema(required, example = "rsyslog-1")]
    pub host: Option<String>,
    /// The status it was answered with, and why.
    #[schema(example = "404: There is no host \"rsyslog-1\" in group \"rsyslog-prod\"")]
    pub reason: String,
}

impl From<Rejection> for RejectionRow {
    fn from(rejection: Rejection) -> Self {
        let Rejection { time, source, server_group, host, reason } = rejection;
        Self { time, source, server_group, host, reason: reason.to_string() }
    }
}

/// Liveness and readiness.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    #[schema(example = "ok")]
    pub status: &'static str,
}

/// Who answers, and where to go from here.
#[derive(Debug, Serialize, ToSchema)]
pub struct Index<'a> {
    #[schema(example = "gitops-status-server")]
    pub name: &'static str,
    #[schema(example = "0.1.0")]
    pub version: &'static str,
    /// The history's name.
    #[schema(example = "gitops-status-server/5f0c9a3e8b7d4c6f9a1e2b3c4d5e6f70")]
    pub origin: &'a str,
    #[schema(value_type = std::collections::BTreeMap<String, String>, example = json!({"status": "/status"}))]
    pub links: std::collections::BTreeMap<&'static str, &'static str>,
}
