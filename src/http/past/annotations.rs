//! `GET /annotations`: drifts as Grafana draws them over other panels.

use super::episodes::{EpisodeItem, Pick, find};
use super::{PastParams, PastQuery};
use crate::domain::time::Timestamp;
use crate::http::AppState;
use crate::http::lanes::Lane;
use crate::http::params::Params;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::respond::{JSON, json_body};
use crate::views::HostChoice;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

/// An episode as Grafana's annotations take it.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "Grafana's names")]
pub struct Annotation {
    #[schema(value_type = String, format = DateTime, example = "2026-04-26T10:32:00Z")]
    pub time: Timestamp,
    /// Null while the drift is open.
    #[serde(rename = "timeEnd")]
    #[schema(required, value_type = Option<String>, format = DateTime, example = "2026-04-26T11:02:00Z")]
    pub time_end: Option<Timestamp>,
    #[schema(example = "Drift: rsyslog-prod/rsyslog-01")]
    pub title: String,
    #[schema(example = "30m, 2 files: rsyslog.conf, rsyslog.d/30-lab.conf; ended by pipeline")]
    pub text: String,
    /// One text: Grafana splits it at commas.
    #[schema(example = "drift,rsyslog-prod,rsyslog-01")]
    pub tags: String,
}

impl Annotation {
    fn of(item: &EpisodeItem<'_>) -> Self {
        let seconds = u64::try_from(item.duration_seconds.0 / 1_000_000).unwrap_or(0);
        let length = humantime::format_duration(std::time::Duration::from_secs(seconds));
        let files = match item.changed_files_count {
            0 => "unnamed files".to_owned(),
            1 => format!("1 file: {}", item.changed_files_text),
            count => format!("{count} files: {}", item.changed_files_text),
        };
        let end = item.closed_by.map_or("still open".into(), |by| format!("ended by {by}"));
        let tag = |name: &str| name.replace(',', " ");
        Self {
            time: item.started_at,
            time_end: item.ended_at,
            title: format!("Drift: {}/{}", item.server_group, item.host),
            text: format!("{length}, {files}; {end}"),
            tags: format!("drift,{},{}", tag(item.server_group), tag(item.host)),
        }
    }
}

/// Drifts as Grafana's annotations
///
/// A flat array of the episodes that overlap `from`–`to`, oldest first.
#[utoipa::path(get, path = "/annotations", tag = "reviews", operation_id = "list_annotations",
    params(PastParams,
        ("open" = Option<bool>, Query, description = "true: only open ones; false: only ended ones", example = true),
        ("file" = Option<Vec<String>>, Query, description = "During which this path differed; a prefix if it ends in *", example = json!(["rsyslog.d/*"]))),
    responses(
        (status = 200, description = "The annotations", body = [Annotation]),
        (status = 304, description = "Nothing has changed since the ETag in If-None-Match"),
        (status = 400, description = "Wrong parameters", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:invalid-parameters","title":"Some parameters are not valid","status":400,"detail":"from: lies behind to","instance":"urn:gitops-status-server:request:5f0c9a3e-13","errors":[{"field":"from","message":"lies behind to"}]})),
        (status = 503, description = "The database cannot be read just now", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:unavailable","title":"The server cannot read its database","status":503,"detail":"The database cannot be read just now","instance":"urn:gitops-status-server:request:5f0c9a3e-14"}))))]
pub async fn annotations(
    request: HttpRequest,
    app: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request)?;
    let query = PastQuery::of(&mut params, &["open", "file"], app.now());
    let pick = Pick {
        open: params.flag("open"),
        files: params.all("file"),
        descending: false,
        after: None,
        limit: None,
    };
    params.check()?;
    let (lane, readers) = (Lane::Database(query.hosts.width()), app.readers.clone());
    let body = async move || {
        let found = find(&readers, &query, &pick).await?;
        let rows: Vec<Annotation> = found.items().iter().map(Annotation::of).collect();
        Ok((json_body(&rows), found.known))
    };
    let (body, known) = app.lanes.prepare(lane, &request, body).await?;
    Ok(known.on(body.answer(&request, JSON)))
}
