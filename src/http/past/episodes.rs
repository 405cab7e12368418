//! `GET /episodes`: drifts, one by one.

use super::{Csv, Known, PastParams, PastQuery, Seconds};
use crate::domain::cursor::{Cursor, filter_digest};
use crate::domain::file_set::{FileSet, Joined};
use crate::domain::names::HostKey;
use crate::domain::place::Place;
use crate::domain::report::Source;
use crate::domain::time::Timestamp;
use crate::http::AppState;
use crate::http::history::Format;
use crate::http::lanes::Lane;
use crate::http::params::{self, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::respond::{JSON, json_body, varies_by_accept};
use crate::views::{EpisodeRecord, HostChoice, Question, Readers, Width};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

/// Rows of a page if the request does not say.
const LIMIT_DEFAULT: usize = 100;
/// Rows of a page at most.
const LIMIT_MAX: u64 = 10_000;

/// One drift of one host.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the contract's names, section 7")]
pub struct EpisodeItem<'a> {
    /// The id of the report that opened it.
    #[schema(example = "1234")]
    pub id: String,
    #[schema(example = "rsyslog-prod")]
    pub server_group: &'a str,
    #[schema(example = "rsyslog-01")]
    pub host: &'a str,
    /// The first drifted report.
    #[schema(value_type = String, format = DateTime, example = "2026-04-26T10:32:00Z")]
    pub started_at: Timestamp,
    /// The last synced report before it.
    #[schema(required, value_type = Option<String>, format = DateTime, example = "2026-04-26T10:30:00Z")]
    pub started_after: Option<Timestamp>,
    /// The first synced report (or the retirement); null while it is open.
    #[schema(required, value_type = Option<String>, format = DateTime, example = "2026-04-26T11:02:00Z")]
    pub ended_at: Option<Timestamp>,
    /// The last drifted report.
    #[schema(value_type = String, format = DateTime, example = "2026-04-26T11:00:00Z")]
    pub ended_after: Timestamp,
    /// From `started_at` to `ended_at`, or to now.
    #[schema(value_type = f64, example = 1800)]
    pub duration_seconds: Seconds,
    /// It surely lasted so long: from the first to the last drifted report.
    #[schema(value_type = f64, example = 1680)]
    pub duration_min_seconds: Seconds,
    /// It lasted so long at most: between the synced reports around it; null where one is missing.
    #[schema(required, value_type = Option<f64>, example = 1920)]
    pub duration_max_seconds: Option<Seconds>,
    /// How much of it was measured as drifted.
    #[schema(value_type = f64, example = 1800)]
    pub drifted_seconds: Seconds,
    /// All files seen, sorted.
    #[schema(value_type = std::collections::BTreeSet<String>, example = json!(["rsyslog.conf", "rsyslog.d/30-lab.conf"]))]
    pub changed_files: &'a FileSet,
    #[schema(example = 2)]
    pub changed_files_count: usize,
    #[schema(value_type = String, example = "rsyslog.conf, rsyslog.d/30-lab.conf")]
    pub changed_files_text: Joined<'a>,
    /// Reports from the opening one to the last before the closing one.
    #[schema(example = 15)]
    pub reports: u64,
    /// What ended it: pipeline, cron, legacy, pushgateway, import, or retire; null while it is open.
    #[schema(required, example = "pipeline")]
    pub closed_by: Option<&'static str>,
    /// The commit that was deployed when it ended.
    #[schema(required, example = "abc1234567890")]
    pub commit_sha: Option<&'a str>,
}

/// An episode; or where to look for an id that a late report has retired.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(missing_docs, reason = "described, never built")]
pub enum EpisodeAnswer {
    Episode(Box<EpisodeItem<'static>>),
    Superseded(Superseded),
}

impl<'a> EpisodeItem<'a> {
    fn of(record: &'a EpisodeRecord, key: &'a HostKey, now: Timestamp) -> Self {
        let EpisodeRecord { episode, closed, files, .. } = record;
        let between = |from: Timestamp, to: Timestamp| Seconds((to.0 - from.0).max(0).into());
        let ended_at = closed.as_ref().map(|closed| closed.place.time);
        Self {
            id: episode.id.to_string(),
            server_group: &key.server_group,
            host: &key.host,
            started_at: episode.started_at,
            started_after: episode.started_after,
            ended_at,
            ended_after: episode.last_drift,
            duration_seconds: between(episode.started_at, ended_at.unwrap_or(now)),
            duration_min_seconds: between(episode.started_at, episode.last_drift),
            duration_max_seconds: episode
                .started_after
                .zip(ended_at)
                .map(|(after, ended)| between(after, ended)),
            drifted_seconds: Seconds(episode.drifted.into()),
            changed_files: files,
            changed_files_count: files.len(),
            changed_files_text: Joined(files),
            reports: episode.reports,
            closed_by: closed.as_ref().map(|closed| closed.source.map_or("retire", Source::word)),
            commit_sha: closed.as_ref().and_then(|closed| closed.commit_sha.as_deref()),
        }
    }
}

const COLUMNS: [&str; 17] = [
    "id",
    "server_group",
    "host",
    "started_at",
    "started_after",
    "ended_at",
    "ended_after",
    "duration_seconds",
    "duration_min_seconds",
    "duration_max_seconds",
    "drifted_seconds",
    "changed_files",
    "changed_files_count",
    "changed_files_text",
    "reports",
    "closed_by",
    "commit_sha",
];

fn csv(items: &[EpisodeItem<'_>]) -> Vec<u8> {
    let mut csv = Csv::new(&COLUMNS);
    for item in items {
        csv.plain(&item.id);
        csv.text(Some(item.server_group));
        csv.text(Some(item.host));
        csv.plain(item.started_at);
        csv.maybe(item.started_after);
        csv.maybe(item.ended_at);
        csv.plain(item.ended_after);
        csv.plain(item.duration_seconds);
        csv.plain(item.duration_min_seconds);
        csv.maybe(item.duration_max_seconds);
        csv.plain(item.drifted_seconds);
        csv.plain(item.changed_files.json());
        csv.plain(item.changed_files_count);
        csv.text(Some(&item.changed_files.text()));
        csv.plain(item.reports);
        csv.maybe(item.closed_by);
        csv.text(item.commit_sha);
        csv.end();
    }
    csv.finish()
}

/// A page of episodes.
#[derive(Debug, Serialize, ToSchema)]
pub struct EpisodePage<'a> {
    /// Newest first, unless asked otherwise.
    pub items: Vec<EpisodeItem<'a>>,
    /// Give it back as `cursor` for the next page; null on the last.
    #[schema(required, example = json!(null))]
    pub next_cursor: Option<String>,
    /// The newest id the answer knows.
    #[schema(example = "123456")]
    pub as_of: String,
}

/// What was found: episodes with their hosts' names.
pub(super) struct Found {
    pub known: Known,
    now: Timestamp,
    keys: Vec<HostKey>,
    episodes: Vec<EpisodeRecord>,
}

impl Found {
    pub fn items(&self) -> Vec<EpisodeItem<'_>> {
        let item = |record| EpisodeItem::of(record, &self.keys[record.host], self.now);
        self.episodes.iter().map(item).collect()
    }
}

/// What is asked beyond the shared parameters.
pub(super) struct Pick {
    pub open: Option<bool>,
    pub files: Vec<String>,
    pub descending: bool,
    pub after: Option<Place>,
    pub limit: Option<usize>,
}

impl Pick {
    fn passes(&self, record: &EpisodeRecord) -> bool {
        let names = |wanted: &String| match wanted.strip_suffix('*') {
            Some(prefix) => record.files.paths().any(|path| path.starts_with(prefix)),
            None => record.files.contains(wanted),
        };
        let place = Place { time: record.episode.started_at, id: record.episode.id };
        self.open.is_none_or(|open| open == record.closed.is_none())
            && (self.files.is_empty() || self.files.iter().any(names))
            && self
                .after
                .is_none_or(|after| if self.descending { place < after } else { place > after })
    }

    /// Keeps what passes, in order, one more than the limit.
    fn apply(&self, episodes: &mut Vec<EpisodeRecord>) {
        episodes.retain(|record| self.passes(record));
        episodes.sort_by_key(|record| (record.episode.started_at, record.episode.id));
        if self.descending {
            episodes.reverse();
        }
        if let Some(limit) = self.limit {
            episodes.truncate(limit.saturating_add(1));
        }
    }
}

pub(super) async fn find(
    readers: &Readers,
    query: &PastQuery,
    pick: &Pick,
) -> Result<Found, Problem> {
    let found = readers.look_back(query.question, &query.hosts, async |lookback| {
        let mut episodes = lookback.episodes().await?;
        for record in &mut episodes {
            if record.closed.is_none() {
                record.episode.drifted = lookback.hosts[record.host].course.drifted(lookback.now);
            }
        }
        pick.apply(&mut episodes);
        Ok(Found {
            known: Known::of(lookback),
            now: lookback.now,
            keys: lookback.hosts.iter().map(|past| past.attributes.key.clone()).collect(),
            episodes,
        })
    });
    Ok(found.await?)
}

/// Drifts, one by one
///
/// Every drift from its first `out_of_sync` report to the next `synced` one, newest first, in the
/// envelope of `/history`. With `from` and `to`, those that overlap, unclipped. `failed`, `unknown`
/// and silence neither open nor close one. CSV and NDJSON (by `format` or `Accept`) show all that
/// match, or `limit`.
#[utoipa::path(get, path = "/episodes", tag = "reviews", operation_id = "list_episodes",
    params(PastParams,
        ("open" = Option<bool>, Query, description = "true: only open ones; false: only ended ones", example = true),
        ("file" = Option<Vec<String>>, Query, description = "During which this path differed; a prefix if it ends in *", example = json!(["rsyslog.d/*"])),
        ("order" = Option<String>, Query, description = "desc (default) or asc by started_at", example = "asc"),
        ("limit" = Option<u64>, Query, description = "Rows at most, 1 to 10,000; default 100 in JSON, all else", example = 50),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before (empty for the first page)", example = ""),
        ("format" = Option<String>, Query, description = "json, csv or ndjson", example = "csv")),
    responses(
        (status = 200, description = "A page, or all", content((EpisodePage<'_> = "application/json"), (String = "text/csv", example = "id,server_group,host,started_at,…\r\n"), (String = "application/x-ndjson", example = "{\"id\":\"1234\",…}\n"))),
        (status = 304, description = "Nothing has changed since the ETag in If-None-Match"),
        (status = 400, description = "Wrong parameters, or a cursor with other filters", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:invalid-parameters","title":"Some parameters are not valid","status":400,"detail":"from: lies behind to","instance":"urn:gitops-status-server:request:5f0c9a3e-11","errors":[{"field":"from","message":"lies behind to"}]})),
        (status = 503, description = "The database cannot be read just now", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:unavailable","title":"The server cannot read its database","status":503,"detail":"The database cannot be read just now","instance":"urn:gitops-status-server:request:5f0c9a3e-12"}))))]
pub async fn list(request: HttpRequest, app: web::Data<AppState>) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request)?;
    let format = Format::of(&mut params, request.headers().get(header::ACCEPT));
    let more = ["open", "file", "order", "limit", "cursor", "format"];
    let mut query = PastQuery::of(&mut params, &more, app.now());
    let order = params.words("order", &["desc", "asc"]);
    let limit = params.number("limit", 1..=LIMIT_MAX).map(|limit| limit as usize);
    let digest =
        filter_digest(&format!("episodes {}", params.canonical(&["cursor", "limit", "format"])));
    let mut pick = Pick {
        open: params.flag("open"),
        files: params.all("file"),
        descending: order.first() != Some(&1),
        after: None,
        limit: limit.or((format == Format::Json).then_some(LIMIT_DEFAULT)),
    };
    match params.one("cursor").map(|text| Cursor::decode(&text)) {
        None => {}
        Some(Err(error)) => params.error("cursor", error.to_string()),
        Some(Ok(cursor)) if cursor.filters != digest => params
            .error("cursor", "belongs to other filters or another order; begin again without it"),
        Some(Ok(cursor)) => {
            pick.after = Some(cursor.after);
            query.question.as_of = Some(cursor.as_of);
            (query.question.from, query.question.to) = (cursor.from, cursor.to);
        }
    }
    params.check()?;
    let (lane, readers) = (Lane::Database(query.hosts.width()), app.readers.clone());
    let body = async move || {
        let mut found = find(&readers, &query, &pick).await?;
        let limit = pick.limit.unwrap_or(usize::MAX);
        let more = found.episodes.len() > limit;
        found.episodes.truncate(limit);
        let next = found.episodes.last().filter(|_| more).map(|last| {
            let Question { from, to, .. } = query.question;
            let after = Place { time: last.episode.started_at, id: last.episode.id };
            Cursor { after, as_of: found.known.as_of, from, to, filters: digest }.encode()
        });
        Ok((written(&found, format, next), found.known))
    };
    let (body, known) = app.lanes.prepare(lane, &request, body).await?;
    Ok(known.on(varies_by_accept(body.answer(&request, format.content_type()))))
}

fn written(found: &Found, format: Format, next_cursor: Option<String>) -> Vec<u8> {
    let items = found.items();
    match format {
        Format::Json => {
            json_body(&EpisodePage { items, next_cursor, as_of: found.known.as_of.to_string() })
        }
        Format::Csv => csv(&items),
        Format::Ndjson => {
            let mut lines = Vec::new();
            for item in items {
                serde_json::to_writer(&mut lines, &item).expect("answers have only string keys");
                lines.push(b'\n');
            }
            lines
        }
    }
}

/// An id that a late report has retired.
#[derive(Debug, Serialize, ToSchema)]
pub struct Superseded {
    /// The id asked for.
    #[schema(example = "1240")]
    pub id: String,
    /// The episode it belongs to now.
    #[schema(example = "1234")]
    pub superseded_by: String,
}

/// One drift
///
/// By the id of the report that opened it. A late report may show that a drift began earlier: the id
/// it had before then answers `superseded_by`.
#[utoipa::path(get, path = "/episodes/{id}", tag = "reviews", operation_id = "get_episode",
    params(("id" = String, Path, description = "The episode's id", example = "1234")),
    responses(
        (status = 200, description = "The episode; or, for an id that a late report has retired, `id` and `superseded_by`", body = EpisodeAnswer),
        (status = 304, description = "Nothing has changed since the ETag in If-None-Match"),
        (status = 404, description = "No episode has or had this id", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:unknown-episode","title":"No episode has or had this id","status":404,"detail":"No report of this id has opened a drift; /episodes lists those that have","instance":"urn:gitops-status-server:request:5f0c9a3e-23"})),
        (status = 503, description = "The database cannot be read just now", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:unavailable","title":"The server cannot read its database","status":503,"detail":"The database cannot be read just now","instance":"urn:gitops-status-server:request:5f0c9a3e-24"}))))]
pub async fn one(request: HttpRequest, app: web::Data<AppState>) -> Result<HttpResponse, Problem> {
    let id = params::id(&request)?.ok_or_else(Problem::no_such_episode)?;
    let of = app.clone();
    let body = async move || body_of(&of, id).await;
    let lane = Lane::Database(Width::Host);
    let (body, known) = app.lanes.prepare(lane, &request, body).await?;
    Ok(known.on(body.answer(&request, JSON)))
}

/// One episode, or which it is now; and what is known.
async fn body_of(app: &AppState, id: u64) -> Result<(Vec<u8>, Known), Problem> {
    let sent = app.readers.host_of_entry(id).await?.ok_or_else(Problem::no_such_episode)?;
    let (_, state) = app.board.find(&sent).ok_or_else(Problem::no_such_episode)?;
    let question = Question::now(app.now());
    let looked = app.readers.look_back(question, &state.key, async |lookback| {
        let mut episodes = lookback.episodes().await?;
        let superseded_by = lookback.superseded_by(id, &episodes).await?;
        episodes.retain(|record| record.episode.id == id);
        for record in &mut episodes {
            if record.closed.is_none() {
                record.episode.drifted = lookback.hosts[record.host].course.drifted(lookback.now);
            }
        }
        let keys = lookback.hosts.iter().map(|past| past.attributes.key.clone()).collect();
        let (known, now) = (Known::of(lookback), lookback.now);
        Ok((Found { known, now, keys, episodes }, superseded_by))
    });
    let (found, superseded_by) = looked.await?;
    let items = found.items();
    let body = match (items.first(), superseded_by) {
        (Some(item), _) => json_body(item),
        (None, Some(by)) => {
            json_body(&Superseded { id: id.to_string(), superseded_by: by.to_string() })
        }
        (None, None) => return Err(Problem::no_such_episode()),
    };
    Ok((body, found.known))
}
