//! Current state goes out: `/status`, `/summary`, `/rejections`.

use super::dto::{Counts, GroupCounts, RejectionRow, StatusRow};
use super::host_filter::{HOST_FILTERS, HostFilter, attribute};
use super::lanes::Lane;
use super::openapi::answers::Summary;
use super::openapi::shapes::StatusParams;
use super::params::{Params, host_key, segments};
use super::position::named;
use super::prepared::Rows;
use super::problem::{Problem, ProblemBody};
use super::respond::Wishes;
use super::stored::stored_files;
use super::{AppState, respond};
use crate::domain::names::HostKey;
use crate::domain::report::Status;
use crate::domain::state::HostState;
use crate::domain::time::Timestamp;
use crate::ledger::REJECTIONS_KEPT;
use crate::views::{HostChoice, Question, Width};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A time in the past to look at, and what was known when.
#[derive(Debug, Clone, Copy, Default)]
struct Travel {
    at: Option<Timestamp>,
    known_at: Option<Timestamp>,
}

impl Travel {
    /// The parameters `at` and `known_at`. `named`: the path names a group.
    fn of(params: &mut Params, hosts: &HostFilter, now: Timestamp, named: bool) -> Self {
        let mut time = |name| {
            let text = params.one(name)?;
            match Timestamp::parse_bound(&text, now) {
                Ok(time) if time <= now => return Some(time),
                Ok(_) => params.error(name, format!("lies in the future; now is {now}")),
                Err(error) => params.error(name, error.to_string()),
            }
            None
        };
        let (at, known_at) = (time("at"), time("known_at"));
        if known_at.is_some() && !named && !hosts.names_some() {
            params.error("known_at", "needs a server_group or a host: it folds their reports anew");
        }
        Self { at: at.or(known_at), known_at }
    }

    /// The hosts that pass, as they were then.
    async fn hosts(
        self,
        app: &AppState,
        filter: &StatusFilter,
        at: Timestamp,
    ) -> Result<Hosts, Problem> {
        let Self { known_at, .. } = self;
        let question = Question { at: Some(at), known_at, ..Question::now(app.now()) };
        let readers = &app.readers;
        let looked = readers.look_back(question, &filter.host, async |past| {
            Ok((past.head, past.states(readers).await?))
        });
        let (position, states) = looked.await?;
        let states = states.into_iter().filter(|state| filter.matches(state, at));
        Ok(Hosts { at, states: states.map(Arc::new).collect(), position })
    }
}

/// Hosts that pass.
struct Hosts {
    /// When they are looked at.
    at: Timestamp,
    states: Vec<Arc<HostState>>,
    /// The newest entry that is known.
    position: u64,
}

/// Names a 404 proposes.
pub(super) const NEAR_MAX: usize = 5;

/// The filters of `/status` and `/summary`, on current rows.
#[derive(Debug, Default)]
struct StatusFilter {
    host: HostFilter,
    statuses: Vec<Status>,
    stale: Vec<bool>,
    travel: Travel,
}

impl StatusFilter {
    fn of(params: &mut Params, now: Timestamp, named: bool) -> Self {
        let host = HostFilter::of(params);
        let statuses = params.any_of("status", Status::WORDS);
        let stale = params.any_of("stale", &["0", "1", "false", "true"]);
        Self {
            travel: Travel::of(params, &host, now, named),
            host,
            statuses: statuses.into_iter().map(|at| Status::ALL[at]).collect(),
            stale: stale.into_iter().map(|at| at % 2 == 1).collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.host.is_empty()
            && self.statuses.is_empty()
            && self.stale.is_empty()
            && self.travel.at.is_none()
    }

    fn matches(&self, state: &HostState, now: Timestamp) -> bool {
        (self.statuses.is_empty() || self.statuses.contains(&state.status_in_force()))
            && (self.stale.is_empty() || self.stale.contains(&state.is_stale(now)))
            && self.host.matches(state)
    }

    /// Where the answer is worked out.
    fn lane(&self) -> Lane {
        self.travel.at.map_or(Lane::Board, |_| Lane::Database(self.host.width()))
    }

    /// The hosts that pass.
    async fn hosts(&self, app: &AppState) -> Result<Hosts, Problem> {
        if let Some(at) = self.travel.at {
            return self.travel.hosts(app, self, at).await;
        }
        let at = app.now();
        let (mut states, position) = {
            let board = app.board.read();
            (board.present().cloned().collect::<Vec<_>>(), board.size)
        };
        states.retain(|state| self.matches(state, at));
        Ok(Hosts { at, states, position })
    }
}

/// The state of every server
///
/// A bare array, one flat row per server, ordered by group and host, no paging. Every row has every
/// key, and each key always has one JSON type (or null). Filters may be repeated: values of one
/// filter are alternatives, different filters must all match. `at` shows the state as it was then, and
/// `known_at` as far as was known then.
#[utoipa::path(get, path = "/status", tag = "status", operation_id = "list_status",
    params(StatusParams),
    responses(
        (status = 200, description = "The rows", body = [StatusRow<'_>]),
        (status = 304, description = "Nothing has changed since the ETag in If-None-Match"),
        (status = 400, description = "A filter's value is not one of its words", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 503, description = "With `at`: the database cannot be read just now; or too many large answers are being made or sent at once", body = ProblemBody<'_>, content_type = "application/problem+json")))]
pub async fn all(request: HttpRequest, app: web::Data<AppState>) -> Result<HttpResponse, Problem> {
    let now = app.now();
    if request.query_string().is_empty() {
        return every(&app, &request, now).await;
    }
    let mut params = Params::of(&request)?;
    let filter = StatusFilter::of(&mut params, now, false);
    params.check()?;
    if filter.is_empty() {
        return every(&app, &request, now).await;
    }
    rows(&request, filter, &app).await
}

/// The state of one group's servers
///
/// The same rows as `/status`, for one group; `[]` if there is none of that name. A group may be
/// called `pipeline` or `cron`.
#[utoipa::path(get, path = "/status/{server_group}", tag = "status", operation_id = "list_group_status",
    params(("server_group" = String, Path, description = "The group's name, percent-encoded", example = "rsyslog-prod"), StatusParams),
    responses(
        (status = 200, description = "The rows", body = [StatusRow<'_>]),
        (status = 304, description = "Nothing has changed since the ETag in If-None-Match"),
        (status = 400, description = "A filter's value is not one of its words", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 503, description = "With `at`: the database cannot be read just now; or too many large answers are being made or sent at once", body = ProblemBody<'_>, content_type = "application/problem+json")))]
pub async fn of_group(
    request: HttpRequest,
    app: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let segments = segments(&request)?;
    let group = segments.get(1).ok_or_else(Problem::no_such_path)?;
    let mut params = Params::of(&request)?;
    let mut filter = StatusFilter::of(&mut params, app.now(), true);
    params.check()?;
    filter.host = filter.host.with("server_group", group);
    rows(&request, filter, &app).await
}

/// Every row: the body that is at hand, or one that is made anew.
async fn every(
    app: &web::Data<AppState>,
    request: &HttpRequest,
    now: Timestamp,
) -> Result<HttpResponse, Problem> {
    let (version, wishes) = (app.board.read().version, Wishes::of(request));
    let fresh = app.status.fresh(version, now).filter(|newest| newest.body.is_made(&wishes));
    let (newest, share) = if let Some(newest) = fresh {
        (newest, None)
    } else {
        let of = app.clone();
        let making = async move || {
            let (sources, flight) = ((&*of.board, &*of.readers), &of.lanes.flight);
            let made = of.status.renewed(sources, flight, (version, now), &wishes);
            let (newest, share) = made.await?;
            newest.body.make_for(&wishes);
            Ok((newest, share))
        };
        app.lanes.work(Lane::Board, making).await?
    };
    let mut response = named(newest.body.answer(request, respond::JSON), newest.position);
    if response.status() == StatusCode::OK {
        let share = if share.is_some() { share } else { newest.share(&app.lanes.flight).await? };
        respond::hold(&mut response, share);
    }
    Ok(response)
}

async fn rows(
    request: &HttpRequest,
    filter: StatusFilter,
    app: &web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let (lane, of) = (filter.lane(), app.clone());
    let body = async move || {
        let Hosts { at: now, states, position } = filter.hosts(&of).await?;
        let mut rows = Rows::default();
        for state in &states {
            let stored = stored_files(&of.readers, state).await?;
            rows.push(&StatusRow::of(state, stored.as_ref(), now));
        }
        Ok((rows.end(), position))
    };
    let (body, position) = app.lanes.prepare(lane, request, body).await?;
    Ok(named(body.answer(request, respond::JSON), position))
}

/// The state of one server
///
/// One row, as in `/status`.
#[utoipa::path(get, path = "/status/{server_group}/{host}", tag = "status", operation_id = "get_status",
    params(
        ("server_group" = String, Path, description = "The group's name, percent-encoded", example = "rsyslog-prod"),
        ("host" = String, Path, description = "The host's name, percent-encoded", example = "rsyslog-01"),
        ("at" = Option<String>, Query, description = "The row as it was then", example = ""),
        ("known_at" = Option<String>, Query, description = "As far as was known then", example = "")),
    responses(
        (status = 200, description = "The row", body = StatusRow<'_>),
        (status = 304, description = "Nothing has changed since the ETag in If-None-Match"),
        (status = 503, description = "With `at`: the database cannot be read just now; or too many large answers are being made or sent at once", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 400, description = "A parameter is wrong", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 404, description = "No such host, or not then; near names are listed", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:unknown-host","title":"The host is not known","status":404,"detail":"There is no host \"rsyslog-1\" in group \"rsyslog-prod\". Did you mean rsyslog-prod/rsyslog-01?","instance":"urn:gitops-status-server:request:5f0c9a3e-9","near":[{"server_group":"rsyslog-prod","host":"rsyslog-01"}]}))))]
pub async fn of_host(
    request: HttpRequest,
    app: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let key = host_key(&request)?;
    let mut params = Params::of(&request)?;
    let host = HostFilter::default();
    let host = host.with("server_group", &key.server_group).with("host", &key.host);
    let travel = Travel::of(&mut params, &host, app.now(), true);
    params.check()?;
    let filter = StatusFilter { host, travel, ..StatusFilter::default() };
    if travel.at.is_some() {
        let (lane, of) = (filter.lane(), app.clone());
        let looked = app.lanes.work(lane, async move || filter.hosts(&of).await);
        let Hosts { at, states, position } = looked.await?;
        let Some(state) = states.first() else { return Err(absent(&app, &key)) };
        let stored = stored_files(&app.readers, state).await?;
        let row = StatusRow::of(state, stored.as_ref(), at);
        return Ok(named(respond::json(&request, &row), position));
    }
    let (found, position) = {
        let board = app.board.read();
        (board.find(&key).map(|(_, state)| state.clone()), board.size)
    };
    let Some(state) = found.filter(|state| state.key == key && !state.is_retired()) else {
        return Err(absent(&app, &key));
    };
    let stored = stored_files(&app.readers, &state).await?;
    let row = StatusRow::of(&state, stored.as_ref(), app.now());
    Ok(named(respond::json(&request, &row), position))
}

/// Why a host has no row.
fn absent(app: &AppState, key: &HostKey) -> Problem {
    match app.board.find(key) {
        Some((_, state)) if state.key != *key => Problem::renamed(key, &state.key),
        Some((_, state)) if state.is_retired() => Problem::retired(key),
        Some(_) => Problem::not_then(key),
        None => Problem::unknown_host(key, app.board.near(key, |_| true, NEAR_MAX)),
    }
}

/// How many servers are in which state
///
/// One object; with `group_by`, an array of such objects that begin with the grouping key. Zeros are
/// always there.
#[utoipa::path(get, path = "/summary", tag = "status", operation_id = "summary",
    params(StatusParams,
        ("group_by" = Option<String>, Query, description = "server_group, host, environment, server_type, repo_name or project_name", example = "server_group")),
    responses(
        (status = 200, description = "The counts", body = Summary),
        (status = 304, description = "Nothing has changed since the ETag in If-None-Match"),
        (status = 400, description = "A filter's value is not one of its words", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 503, description = "With `at`: the database cannot be read just now; or too many large answers are being made or sent at once", body = ProblemBody<'_>, content_type = "application/problem+json")))]
pub async fn summary(
    request: HttpRequest,
    app: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request)?;
    let filter = StatusFilter::of(&mut params, app.now(), false);
    let group_by = params.one("group_by");
    let group_by = group_by.and_then(|name| {
        let known = HOST_FILTERS.into_iter().find(|known| *known == name);
        if known.is_none() {
            params.error("group_by", format!("must be one of {}", HOST_FILTERS.join(", ")));
        }
        known
    });
    params.check()?;
    let (lane, of) = (filter.lane(), app.clone());
    let body = async move || {
        let Hosts { at, states, position } = filter.hosts(&of).await?;
        let mut groups: BTreeMap<Option<String>, Counts> = BTreeMap::new();
        for state in states {
            let key = group_by.and_then(|name| attribute(&state, name)).map(str::to_owned);
            groups.entry(key).or_default().add(&state, at);
        }
        let Some(name) = group_by else {
            let counts = groups.into_values().next().unwrap_or_default();
            return Ok((respond::json_body(&counts), position));
        };
        let row = |(key, counts)| GroupCounts { name, key, counts };
        let rows: Vec<_> = groups.into_iter().map(row).collect();
        Ok((respond::json_body(&rows), position))
    };
    let (body, position) = app.lanes.prepare(lane, &request, body).await?;
    Ok(named(body.answer(&request, respond::JSON), position))
}

/// Refused reports
///
/// The last 10,000 reports that were answered with an error, newest first: what `curl -s` hid from
/// the pipeline.
#[utoipa::path(get, path = "/rejections", tag = "status", operation_id = "list_rejections",
    params(("limit" = Option<u64>, Query, description = "How many at most (1 to 10,000; default all)", example = 100)),
    responses(
        (status = 200, description = "The refusals", body = [RejectionRow]),
        (status = 304, description = "Nothing has changed since the ETag in If-None-Match"),
        (status = 400, description = "A parameter is wrong", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 503, description = "The database cannot be read just now", body = ProblemBody<'_>, content_type = "application/problem+json")))]
pub async fn rejections(
    request: HttpRequest,
    app: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request)?;
    let most = REJECTIONS_KEPT as u64;
    let limit = params.number("limit", 1..=most).unwrap_or(most);
    params.check()?;
    // A refusal is no entry: what is named here is the history as it was when they were listed.
    let (readers, position) = (app.readers.clone(), app.board.size());
    let body = async move || {
        let rejections = readers.rejections(limit as usize).await?;
        let rows: Vec<RejectionRow> = rejections.into_iter().map(RejectionRow::from).collect();
        Ok((respond::json_body(&rows), ()))
    };
    let (body, ()) = app.lanes.prepare(Lane::Database(Width::Small), &request, body).await?;
    Ok(named(body.answer(&request, respond::JSON), position))
}
