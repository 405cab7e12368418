//! Shapes of what comes in and of the history, for the document only: the parser in `ingest` is more
//! tolerant than a derived one could be, and the line is written by the domain. Tests hold them
//! together.

use crate::http::paths::V1File;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

/// One pipeline report, or an array of up to 1,000.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "described, never built")]
pub enum PipelineBody {
    One(Box<PipelineReport>),
    Many(Vec<PipelineReport>),
}

/// One check, or an array of up to 1,000.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "described, never built")]
pub enum CronBody {
    One(Box<CronReport>),
    Many(Vec<CronReport>),
}

/// One v1 object, or an array of up to 1,000.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "described, never built")]
pub enum V1Body {
    One(Box<V1Report>),
    Many(Vec<V1Report>),
}

/// The deployment state of one server.
#[derive(Serialize, ToSchema)]
pub struct PipelineReport {
    /// 1 to 255 characters after trimming; no control characters; not `.` or `..`.
    #[schema(example = "rsyslog-prod", min_length = 1)]
    server_group: String,
    /// As server_group.
    #[schema(example = "rsyslog-01", min_length = 1)]
    host: String,
    /// synced, out_of_sync, failed or unknown, in any case.
    #[schema(example = "synced")]
    status: String,
    #[schema(example = "gitops-for-servers")]
    project_name: Option<String>,
    #[schema(example = "rsyslog")]
    repo_name: Option<String>,
    #[schema(example = "rsyslog")]
    server_type: Option<String>,
    #[schema(example = "prod")]
    environment: Option<String>,
    /// At most 10,000 files of 4,096 bytes. Missing counts as `[]`.
    changed_files: Option<Vec<ReportedFile>>,
    /// passed, failed or skipped.
    #[schema(example = "passed")]
    validation_status: Option<String>,
    /// Cut at 64 KiB, with a warning.
    #[schema(example = "rsyslog syntax validation passed")]
    validation_message: Option<String>,
    #[schema(example = "abc1234567890")]
    commit_sha: Option<String>,
    #[schema(example = "master")]
    branch: Option<String>,
    #[schema(example = "woodpecker")]
    updated_by: Option<String>,
    /// When the run was: RFC 3339, or `2026-04-26 10:30:00` with or without an offset (UTC if without).
    #[schema(example = "2026-04-26T10:30:00Z")]
    last_pipeline_run: Option<String>,
    /// Seconds this word is good for.
    #[schema(example = 93600, minimum = 1, maximum = 315_360_000)]
    max_age: Option<u32>,
    #[schema(example = "42")]
    run_id: Option<String>,
    #[schema(example = "https://ci.example.org/repos/7/pipeline/42")]
    run_url: Option<String>,
    /// Up to 16 short strings by name.
    #[schema(example = json!({"team": "logging"}))]
    labels: Option<std::collections::BTreeMap<String, String>>,
}

/// What a drift check saw.
#[derive(Serialize, ToSchema)]
pub struct CronReport {
    /// 1 to 255 characters after trimming; no control characters; not `.` or `..`.
    #[schema(example = "rsyslog-prod", min_length = 1)]
    server_group: String,
    /// As server_group.
    #[schema(example = "rsyslog-01", min_length = 1)]
    host: String,
    /// synced, out_of_sync, failed or unknown, in any case. Missing confirms the state in force.
    #[schema(example = "out_of_sync")]
    status: Option<String>,
    /// Missing keeps the files in force; `[]` clears them.
    changed_files: Option<Vec<ReportedFile>>,
    /// When the check was.
    #[schema(example = "2026-04-26T10:32:00Z")]
    last_cron_check: Option<String>,
    /// The commit it measured against.
    #[schema(example = "abc1234567890")]
    commit_sha: Option<String>,
    /// Seconds this word is good for.
    #[schema(example = 600, minimum = 1, maximum = 315_360_000)]
    max_age: Option<u32>,
    #[schema(example = "43")]
    run_id: Option<String>,
    #[schema(example = "https://ci.example.org/repos/7/pipeline/43")]
    run_url: Option<String>,
    /// Up to 16 short strings by name.
    #[schema(example = json!({"team": "logging"}))]
    labels: Option<std::collections::BTreeMap<String, String>>,
}

/// What v1 clients send.
#[derive(Serialize, ToSchema)]
pub struct V1Report {
    /// Becomes the group.
    #[schema(example = "rsyslog", min_length = 1)]
    repo: String,
    /// Becomes the host.
    #[schema(example = "rsyslog-lab", min_length = 1)]
    server: String,
    /// SYNCED, OUT_OF_SYNC or UNKNOWN, in any case.
    #[schema(example = "OUT_OF_SYNC")]
    sync_status: String,
    /// May disagree with files; both are kept.
    #[schema(example = 1, minimum = 0, maximum = 2_147_483_647)]
    drift_count: Option<u32>,
    files: Option<Vec<V1ReportedFile>>,
    #[schema(example = "2026-04-26T10:30:00Z")]
    last_check: Option<String>,
    /// Seconds this word is good for.
    #[schema(example = 600, minimum = 1, maximum = 315_360_000)]
    max_age: Option<u32>,
    #[schema(example = "43")]
    run_id: Option<String>,
    #[schema(example = "https://ci.example.org/repos/7/pipeline/43")]
    run_url: Option<String>,
    /// Up to 16 short strings by name.
    #[schema(example = json!({"team": "logging"}))]
    labels: Option<std::collections::BTreeMap<String, String>>,
}

/// A file: its path, or an object.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "described, never built")]
pub enum ReportedFile {
    #[schema(example = "rsyslog.d/30-lab.conf")]
    Path(String),
    Object(FileObject),
}

/// A file: its path, or v1's object.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "described, never built")]
pub enum V1ReportedFile {
    #[schema(example = "rsyslog.d/30-lab.conf")]
    Path(String),
    Object(V1File<'static>),
}

/// A file with what more is known of it.
#[derive(Serialize, ToSchema)]
pub struct FileObject {
    /// The path. (`name` will do, as v1 clients call it.)
    #[schema(example = "rsyslog.d/30-lab.conf")]
    path: String,
    /// modified, missing, extra or mode.
    #[schema(example = "modified")]
    kind: Option<String>,
    /// 64 hex digits.
    #[schema(example = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d")]
    sha256: Option<String>,
}

/// A page of the history.
#[derive(Serialize, ToSchema)]
pub struct HistoryPage {
    items: Vec<HistoryItem>,
    /// Give it back as `cursor` for the next page; null on the last.
    #[schema(required, example = json!(null))]
    next_cursor: Option<String>,
}

/// An entry: the canonical line's fields, and four that make tables easier. Every key is always
/// there; what was not said is null.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"v":1,"origin":"gitops-status-server/5f0c9a3e8b7d4c6f9a1e2b3c4d5e6f70","id":"2","kind":"report","source":"cron","server_group":"rsyslog-prod","host":"rsyslog-01","time":"2026-04-26T10:32:00Z","reported_at":"2026-04-26T10:32:00Z","received_at":"2026-04-26T10:32:01.25Z","status":"out_of_sync","changed_files":["rsyslog.conf"],"declared_count":null,"max_age":93600,"project_name":null,"repo_name":null,"server_type":null,"environment":null,"validation_status":null,"validation_message":null,"commit_sha":"abc1234567890","branch":null,"updated_by":null,"last_pipeline_run":null,"last_cron_check":null,"labels":null,"run_id":null,"run_url":null,"late":0,"transition":"opened","reported_by":null,"remote_address":"192.0.2.7","reason":null,"detail":null,"status_code":1,"changed_files_count":1,"changed_files_text":"rsyslog.conf","hash":"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"}))]
pub struct HistoryItem {
    /// Version of the line.
    v: u32,
    /// The history's name.
    origin: String,
    /// Decimal; dense from 1.
    id: String,
    /// report, inferred, retire or alias.
    kind: String,
    /// pipeline, cron, legacy, pushgateway or import; null for acts of people.
    #[schema(required)]
    source: Option<String>,
    server_group: String,
    host: String,
    /// The time that counts: the earlier of the next two.
    #[schema(format = DateTime)]
    time: String,
    /// As sent.
    #[schema(required, format = DateTime)]
    reported_at: Option<String>,
    /// Ours; never decreases with the id.
    #[schema(format = DateTime)]
    received_at: String,
    /// As said: synced, out_of_sync, failed or unknown.
    #[schema(required)]
    status: Option<String>,
    #[schema(required)]
    changed_files: Option<Vec<ReportedFile>>,
    #[schema(required)]
    declared_count: Option<u32>,
    /// Seconds this word is good for, as sent or stamped at arrival.
    #[schema(required)]
    max_age: Option<u32>,
    #[schema(required)]
    project_name: Option<String>,
    #[schema(required)]
    repo_name: Option<String>,
    #[schema(required)]
    server_type: Option<String>,
    #[schema(required)]
    environment: Option<String>,
    #[schema(required)]
    validation_status: Option<String>,
    #[schema(required)]
    validation_message: Option<String>,
    #[schema(required)]
    commit_sha: Option<String>,
    #[schema(required)]
    branch: Option<String>,
    #[schema(required)]
    updated_by: Option<String>,
    #[schema(required, format = DateTime)]
    last_pipeline_run: Option<String>,
    #[schema(required, format = DateTime)]
    last_cron_check: Option<String>,
    #[schema(required)]
    labels: Option<std::collections::BTreeMap<String, String>>,
    #[schema(required)]
    run_id: Option<String>,
    #[schema(required)]
    run_url: Option<String>,
    /// 1 if older than the newest of its kind when it came.
    late: u8,
    /// none, opened, changed or closed.
    transition: String,
    /// Name of the access token.
    #[schema(required)]
    reported_by: Option<String>,
    #[schema(required)]
    remote_address: Option<String>,
    #[schema(required)]
    reason: Option<String>,
    #[schema(required, value_type = Option<Object>)]
    detail: Option<serde_json::Value>,
    /// 0 synced, 1 out_of_sync, 2 failed, 3 unknown.
    #[schema(required)]
    status_code: Option<u8>,
    #[schema(required)]
    changed_files_count: Option<u32>,
    /// Paths joined by a comma and a blank.
    #[schema(required)]
    changed_files_text: Option<String>,
    /// Leaf hash of the line, hex.
    hash: String,
}

/// Filters on current rows; each may be repeated, an empty value is no filter.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "described, never built")]
pub struct StatusParams {
    #[param(example = json!(["rsyslog-prod"]))]
    server_group: Option<Vec<String>>,
    #[param(example = json!(["rsyslog-01"]))]
    host: Option<Vec<String>>,
    /// synced, out_of_sync, failed or unknown.
    #[param(example = json!(["out_of_sync"]))]
    status: Option<Vec<String>>,
    #[param(example = json!(["prod"]))]
    environment: Option<Vec<String>>,
    #[param(example = json!(["rsyslog"]))]
    server_type: Option<Vec<String>>,
    #[param(example = json!(["rsyslog"]))]
    repo_name: Option<Vec<String>>,
    #[param(example = json!(["gitops-for-servers"]))]
    project_name: Option<Vec<String>>,
    /// 1 (or true): only hosts whose newest word is too old; 0 (or false): only the others.
    #[param(example = json!(["0"]))]
    stale: Option<Vec<String>>,
    /// The state as it was then: RFC 3339, a date, 10-digit seconds, 13-digit milliseconds, `now-90d`.
    #[param(example = "")]
    at: Option<String>,
    /// As far as was known then; needs a server_group or a host.
    #[param(example = "")]
    known_at: Option<String>,
}

/// Filters, order and form of a walk through the history.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "described, never built")]
pub struct HistoryParams {
    /// By the host's current row; may be repeated.
    #[param(example = json!(["rsyslog-prod"]))]
    server_group: Option<Vec<String>>,
    /// By the host's current row; may be repeated.
    #[param(example = json!(["rsyslog-01"]))]
    host: Option<Vec<String>>,
    /// By the host's current row; may be repeated.
    #[param(example = json!(["prod"]))]
    environment: Option<Vec<String>>,
    /// By the host's current row; may be repeated.
    #[param(example = json!(["rsyslog"]))]
    server_type: Option<Vec<String>>,
    /// By the host's current row; may be repeated.
    #[param(example = json!(["rsyslog"]))]
    repo_name: Option<Vec<String>>,
    /// By the host's current row; may be repeated.
    #[param(example = json!(["gitops-for-servers"]))]
    project_name: Option<Vec<String>>,
    /// As said in the report; may be repeated.
    #[param(example = json!(["out_of_sync"]))]
    status: Option<Vec<String>>,
    /// pipeline, cron, legacy, pushgateway or import; may be repeated.
    #[param(example = json!(["cron"]))]
    source: Option<Vec<String>>,
    /// report, inferred, retire or alias; may be repeated.
    #[param(example = json!(["report"]))]
    kind: Option<Vec<String>>,
    #[param(example = json!(["abc1234567890"]))]
    commit_sha: Option<Vec<String>>,
    #[param(example = json!(["master"]))]
    branch: Option<Vec<String>>,
    #[param(example = json!(["woodpecker"]))]
    updated_by: Option<Vec<String>>,
    #[param(example = json!(["42"]))]
    run_id: Option<Vec<String>>,
    /// An exact path, or a prefix ending in `*`; may be repeated.
    #[param(example = json!(["rsyslog.d/*"]))]
    file: Option<Vec<String>>,
    /// Earliest time (inclusive): RFC 3339, a date, 10-digit seconds, 13-digit milliseconds, `now-90d`.
    #[param(example = "now-90d")]
    from: Option<String>,
    /// Latest time (exclusive), as `from`.
    #[param(example = "now")]
    to: Option<String>,
    /// Only entries that opened, changed or closed something.
    #[param(example = false)]
    changes_only: Option<bool>,
    /// desc (default by time) or asc (default by id).
    #[param(example = "desc")]
    order: Option<String>,
    /// time (default) or id.
    #[param(example = "time")]
    sort: Option<String>,
    /// Only entries behind this id.
    #[param(example = 0)]
    after_id: Option<u64>,
    /// Only entries from this id on.
    #[param(example = 1)]
    from_id: Option<u64>,
    /// Only entries up to this id.
    #[param(example = 1_000_000)]
    to_id: Option<u64>,
    /// Rows of a page (default 100), or of a stream (default all).
    #[param(example = 100, minimum = 1, maximum = 10000)]
    limit: Option<u32>,
    /// `next_cursor` of the page before (empty for the first page).
    #[param(example = "")]
    cursor: Option<String>,
    /// json, csv or ndjson.
    #[param(example = "json")]
    format: Option<String>,
    /// CSV without the guard against formulas.
    #[param(example = false)]
    raw: Option<bool>,
}
