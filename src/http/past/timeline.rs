//! `GET /timeline`: what every host was over time, in the shapes Grafana's State timeline (segments)
//! and Status history (`step=`) take as they are.

use super::{Known, PastParams, PastQuery, Seconds};
use crate::domain::file_set::{FileSet, Joined};
use crate::domain::names::HostKey;
use crate::domain::report::Status;
use crate::domain::time::{SECOND, Timestamp};
use crate::domain::timeline::{ROWS_MAX, TimelineRow, buckets, count_buckets, join, smallest_step};
use crate::files::Trouble;
use crate::http::AppState;
use crate::http::lanes::Lane;
use crate::http::params::Params;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::respond::{JSON, json_body};
use crate::views::{HostChoice, Lookback};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use std::collections::HashMap;
use utoipa::ToSchema;

/// `status_code` of a stretch in which nobody's word was good.
const NOT_MEASURED: i64 = 4;

/// A row of the timeline.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the contract's names, section 7")]
pub struct TimelineItem<'a> {
    #[schema(example = "rsyslog-prod")]
    pub server_group: &'a str,
    #[schema(example = "rsyslog-01")]
    pub host: &'a str,
    /// The beginning, clipped to `from`; with `step`, the bucket's.
    #[schema(value_type = String, format = DateTime, example = "2026-04-26T10:32:00Z")]
    pub time: Timestamp,
    /// The end, clipped to `to`; null while it goes on.
    #[schema(required, value_type = Option<String>, format = DateTime, example = "2026-04-26T11:02:00Z")]
    pub end: Option<Timestamp>,
    /// Up to now, or to `to`.
    #[schema(value_type = f64, example = 1800)]
    pub duration_seconds: Seconds,
    /// synced, out_of_sync, failed, unknown, or not_measured: nobody spoke within `max_age`.
    #[schema(example = "out_of_sync")]
    pub status: &'static str,
    /// 0 to 3 as in /status, 4 for not_measured.
    #[schema(example = 1)]
    pub status_code: i64,
    /// Null while not measured.
    #[schema(required, example = 2)]
    pub changed_files_count: Option<usize>,
    /// Sorted distinct paths joined by `, `; null while not measured.
    #[schema(required, value_type = Option<String>, example = "rsyslog.conf, rsyslog.d/30-lab.conf")]
    pub changed_files_text: Option<Joined<'a>>,
    /// Reports with a time in it.
    #[schema(example = 15)]
    pub reports: u64,
}

impl<'a> TimelineItem<'a> {
    fn of(key: &'a HostKey, row: &'a TimelineRow) -> Self {
        Self {
            server_group: &key.server_group,
            host: &key.host,
            time: row.time,
            end: row.end,
            duration_seconds: Seconds(row.micros.into()),
            status: row.status.map_or("not_measured", Status::word),
            status_code: row.status.map_or(NOT_MEASURED, Status::code),
            changed_files_count: row.files.as_ref().map(FileSet::len),
            changed_files_text: row.files.as_ref().map(Joined),
            reports: row.reports,
        }
    }
}

/// What the servers were over time
///
/// A flat array, ordered by group, host and time. Without `step`, a row for each segment: a stretch
/// with one status and one set of files; the one in force at `from` is always there. With `step`, a
/// row per host and aligned bucket: the state at its end. A stretch in which nobody spoke within
/// `max_age` is `not_measured`. The header `Gitops-As-Of` names the newest id the answer knows.
#[utoipa::path(get, path = "/timeline", tag = "reviews", operation_id = "timeline",
    params(PastParams,
        ("step" = Option<String>, Query, description = "One row per bucket of this length: 5m, 1h, 1d, or seconds", example = "5m")),
    responses(
        (status = 200, description = "The rows", body = [TimelineItem<'_>]),
        (status = 304, description = "Nothing has changed since the ETag in If-None-Match"),
        (status = 400, description = "Wrong parameters, or more than 100,000 rows", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:invalid-parameters","title":"Some parameters are not valid","status":400,"detail":"step: would give more than 100000 rows; the smallest step that fits is 780s","instance":"urn:gitops-status-server:request:5f0c9a3e-b","errors":[{"field":"step","message":"would give more than 100000 rows; the smallest step that fits is 780s"}]})),
        (status = 503, description = "The database cannot be read just now", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:unavailable","title":"The server cannot read its database","status":503,"detail":"The database cannot be read just now","instance":"urn:gitops-status-server:request:5f0c9a3e-c"}))))]
pub async fn timeline(
    request: HttpRequest,
    app: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request)?;
    let query = PastQuery::of(&mut params, &["step"], app.now());
    let step = step(&mut params);
    params.check()?;
    let (lane, readers) = (Lane::Database(query.hosts.width()), app.readers.clone());
    let body = async move || {
        let looked = readers.look_back(query.question, &query.hosts, async |lookback| {
            let (known, keys) = (Known::of(lookback), keys(lookback));
            Ok((known, keys, rows(lookback, step).await?))
        });
        let (known, keys, rows) = looked.await?;
        let rows = rows.map_err(too_many)?;
        let rows = keys.iter().zip(&rows);
        let items = rows.flat_map(|(key, rows)| rows.iter().map(|row| TimelineItem::of(key, row)));
        Ok((json_body(&items.collect::<Vec<_>>()), known))
    };
    let (body, known) = app.lanes.prepare(lane, &request, body).await?;
    Ok(known.on(body.answer(&request, JSON)))
}

/// The rows are too many; with which step they would not be.
fn too_many(smallest: i64) -> Problem {
    let smallest = smallest / SECOND;
    let message =
        format!("would give more than {ROWS_MAX} rows; the smallest step that fits is {smallest}s");
    Problem::invalid_parameter("step", message)
}

fn keys(lookback: &Lookback<'_>) -> Vec<HostKey> {
    lookback.hosts.iter().map(|past| past.attributes.key.clone()).collect()
}

/// The rows of each host; the smallest step that fits, if there would be too many.
async fn rows(
    lookback: &mut Lookback<'_>,
    step: Option<i64>,
) -> Result<Result<Vec<Vec<TimelineRow>>, i64>, Trouble> {
    let clipped = lookback.segments().await?;
    let hosts: Vec<Vec<TimelineRow>> =
        clipped.into_iter().map(|clipped| join(clipped.segments, clipped.open)).collect();
    let count = |rows: &Vec<TimelineRow>| step.map_or(rows.len(), |step| count_buckets(rows, step));
    if hosts.iter().map(count).sum::<usize>() > ROWS_MAX {
        return Ok(Err(smallest_step(&hosts)));
    }
    let Some(step) = step else { return Ok(Ok(hosts)) };
    let mut reports: HashMap<(usize, Timestamp), u64> = HashMap::new();
    for (host, time, count) in lookback.reports_by_bucket(step).await? {
        *reports.entry((host, time)).or_default() += count;
    }
    let of = |(host, rows): (usize, &Vec<TimelineRow>)| {
        buckets(rows, step, |time| reports.get(&(host, time)).copied().unwrap_or(0))
    };
    Ok(Ok(hosts.iter().enumerate().map(of).collect()))
}

/// The parameter `step` in microseconds.
fn step(params: &mut Params) -> Option<i64> {
    let text = params.one("step")?;
    let seconds = match text.parse::<u64>() {
        Ok(seconds) => Some(seconds),
        Err(_) => humantime::parse_duration(&text).ok().map(|duration| duration.as_secs()),
    };
    let micros = seconds.and_then(|seconds| i64::try_from(seconds).ok()?.checked_mul(SECOND));
    let micros = micros.filter(|micros| (SECOND..=STEP_MAX).contains(micros));
    if micros.is_none() {
        params.error("step", "must be a length of time from 1s to 366d, like 30s, 5m, 1h or 1d");
    }
    micros
}

/// The longest step, in microseconds.
const STEP_MAX: i64 = 366 * crate::domain::course::DAY;
