//! History goes out: pages as JSON, streams (`stream`) as CSV and NDJSON. `query` understands the
//! parameters, `walk` goes through the pages and writes the rows; the command `export` uses the same two.

mod query;
mod stream;
mod walk;

pub use query::{Format, HistoryQuery, PARAMETERS};
pub use walk::Walk;

use super::lanes::Lane;
use super::openapi::shapes::{HistoryPage, HistoryParams};
use super::params::{Params, host_key};
use super::position::named;
use super::problem::{Problem, ProblemBody};
use super::respond;
use super::{AppState, host_filter::HostFilter};
use crate::domain::cursor::Cursor;
use crate::domain::place::Place;
use crate::views::{Page, PageRequest, Width};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

/// Every entry of the history
///
/// Newest first by time, in pages: give `next_cursor` back as `cursor` with the same filters, and a
/// walk sees each row once, whatever arrives meanwhile. `format=csv` and `format=ndjson` (or
/// `Accept`) stream everything that matches. NDJSON lines are the canonical lines whose hashes the
/// receipts carry. CSV columns: v, origin, id, kind, source, server_group, host, time, reported_at,
/// received_at, status, changed_files, declared_count, max_age, project_name, repo_name, server_type,
/// environment, validation_status, validation_message, commit_sha, branch, updated_by,
/// last_pipeline_run, last_cron_check, labels, run_id, run_url, late, transition, reported_by,
/// remote_address, reason, detail, status_code, changed_files_count, changed_files_text, hash.
#[utoipa::path(get, path = "/history", tag = "history", operation_id = "list_history",
    params(HistoryParams),
    responses(
        (status = 200, description = "A page, or a stream", content(
            (HistoryPage = "application/json"),
            (String = "text/csv", example = "v,origin,id,kind,source,…\r\n"),
            (String = "application/x-ndjson", example = "{\"branch\":null,…}\n"))),
        (status = 304, description = "Nothing has changed since the ETag in If-None-Match"),
        (status = 400, description = "Wrong parameters, a cursor with other filters, or a question too wide to answer in 2 s", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:invalid-parameters","title":"Some parameters are not valid","status":400,"detail":"from: still holds a dashboard macro (${…}): Grafana did not expand it; use ${__from} or ${__timeFrom} in a panel query","instance":"urn:gitops-status-server:request:5f0c9a3e-a","errors":[{"field":"from","message":"still holds a dashboard macro (${…}): Grafana did not expand it; use ${__from} or ${__timeFrom} in a panel query"}]})),
        (status = 503, description = "The database cannot be read just now", body = ProblemBody<'_>, content_type = "application/problem+json")))]
pub async fn all(request: HttpRequest, app: web::Data<AppState>) -> Result<HttpResponse, Problem> {
    let params = Params::of(&request)?;
    let hosts = HostFilter::of(&params);
    answer(&request, &app, params, hosts).await
}

/// The history of one server
///
/// As `/history`, for one host. A host that does not exist has an empty history.
#[utoipa::path(get, path = "/history/{server_group}/{host}", tag = "history", operation_id = "list_host_history",
    params(
        ("server_group" = String, Path, description = "The group's name, percent-encoded", example = "rsyslog-prod"),
        ("host" = String, Path, description = "The host's name, percent-encoded", example = "rsyslog-01"),
        HistoryParams),
    responses(
        (status = 200, description = "A page, or a stream", content(
            (HistoryPage = "application/json"),
            (String = "text/csv", example = "v,origin,id,kind,source,…\r\n"),
            (String = "application/x-ndjson", example = "{\"branch\":null,…}\n"))),
        (status = 304, description = "Nothing has changed since the ETag in If-None-Match"),
        (status = 400, description = "Wrong parameters, a cursor with other filters, or a question too wide to answer in 2 s", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 503, description = "The database cannot be read just now", body = ProblemBody<'_>, content_type = "application/problem+json")))]
pub async fn of_host(
    request: HttpRequest,
    app: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let key = host_key(&request)?;
    let params = Params::of(&request)?;
    let hosts = HostFilter::of(&params);
    let hosts = hosts.with("server_group", &key.server_group).with("host", &key.host);
    answer(&request, &app, params, hosts).await
}

/// The filters on hosts among the parameters, for callers outside HTTP.
pub fn hosts_filter(params: &Params) -> HostFilter {
    HostFilter::of(params)
}

async fn answer(
    request: &HttpRequest,
    app: &web::Data<AppState>,
    mut params: Params,
    hosts: HostFilter,
) -> Result<HttpResponse, Problem> {
    let format = Format::of(&mut params, request.headers().get(header::ACCEPT));
    let query = HistoryQuery::of(&mut params, &hosts, app.now(), &app.board);
    params.check()?;
    let position = query.position;
    let answer = match format {
        Format::Json => page(request, app, query).await?,
        format => stream::answer(request, app, query, format).await?,
    };
    Ok(named(answer, position))
}

/// Bytes of a page of JSON, about; what is left goes to the next page.
const PAGE_MAX_BYTES: usize = 16 << 20;

/// One page as JSON; one row more is read to know whether another page follows.
async fn page(
    request: &HttpRequest,
    app: &web::Data<AppState>,
    query: HistoryQuery,
) -> Result<HttpResponse, Problem> {
    let limit = query.page_limit();
    let mut ask = query.request.clone();
    ask.limit = limit + 1;
    let (width, of) = (ask.width(query.as_of), app.clone());
    let body = async move || Ok((body_of(&of, &query, &ask, width).await?, ()));
    let (body, ()) = app.lanes.prepare(Lane::Database(width), request, body).await?;
    Ok(respond::varies_by_accept(body.answer(request, respond::JSON)))
}

/// The page; `ask` is its question with one row more.
async fn body_of(
    app: &AppState,
    query: &HistoryQuery,
    ask: &PageRequest,
    width: Width,
) -> Result<Vec<u8>, Problem> {
    let limit = ask.limit - 1;
    let page = app.readers.page(ask, query.density, PAGE_MAX_BYTES, width, false);
    let Page { mut entries, cut } = page.await?;
    let more = cut || entries.len() > limit;
    entries.truncate(limit);
    let mut body = Vec::with_capacity(1100 * entries.len() + 64);
    body.extend_from_slice(b"{\"items\":[");
    for entry in &entries {
        entry.write_item(app.recorder.origin(), &mut body);
        body.push(b',');
    }
    if !entries.is_empty() {
        body.pop();
    }
    let next = entries.last().filter(|_| more).map(|last| {
        let after = Place { time: last.time, id: last.id };
        let window = query.request.window;
        let as_of = query.as_of;
        Cursor { after, as_of, from: window.from, to: window.to, filters: query.digest }.encode()
    });
    match next {
        Some(cursor) => {
            body.extend_from_slice(format!("],\"next_cursor\":\"{cursor}\"}}").as_bytes());
        }
        None => body.extend_from_slice(b"],\"next_cursor\":null}"),
    }
    Ok(body)
}
