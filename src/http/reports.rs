//! Reports come in: three routes, one way through.

use super::dto::{ReportAnswer, ReportReceipt, ReportsAnswer, StatusRow, V1Status};
use super::openapi::answers::{Recorded, RecordedV1};
use super::openapi::shapes::{CronBody, PipelineBody, V1Body};
use super::outcomes::{count, reject, subject};
use super::params::Params;
use super::problem::{Problem, ProblemBody};
use super::stored::stored_files;
use super::{AppState, access, body, position, proxies};
use crate::domain::content::{Content, ContentDigest};
use crate::domain::files::Files;
use crate::domain::line::hex;
use crate::domain::names::HostKey;
use crate::domain::report::{Report, Sender, Source};
use crate::domain::state::HostState;
use crate::domain::time::Timestamp;
use crate::ingest::{self, Parsed, Refusal};
use crate::recorder::{IdempotencyKey, QUEUE_MAX_BYTES, Receipt, RecordError, Submission};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

/// Characters an Idempotency-Key may have.
const KEY_MAX_CHARS: usize = 255;
/// Names a 404 proposes.
const NEAR_MAX: usize = 5;
/// What every stored report is answered with, as v1 did.
const MESSAGE: &str = "Status updated successfully";
/// An answer whose files weigh more than this many bytes goes out piece by piece: each element of an
/// array repeats its host's files.
const ANSWER_MAX_BYTES: usize = 1 << 20;
/// About so many bytes of an answer are one report's.
const RECEIPT_BYTES: usize = 1536;

/// Report the deployment state of a server
///
/// The whole deployment state: a missing optional field becomes null, missing files become `[]`. It
/// creates the server if it is new, and never touches `last_cron_check`. An answer in the 200s means
/// the report is on disk. The body is one object, or an array of up to 1,000 stored whole or not at
/// all. A retry with the same time, or with the same `Idempotency-Key`, stores nothing and says
/// `"duplicate": true`.
#[utoipa::path(post, path = "/status/pipeline", tag = "reports", operation_id = "report_pipeline",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a retry of this very request harmless for 7 days (1 to 255 characters)", example = "pipeline-42-rsyslog-01")),
    request_body(content = PipelineBody, description = "One report, or an array of up to 1,000",
        examples(
            ("synced" = (summary = "A deployment that passed", value = json!({"project_name":"gitops-for-servers","repo_name":"rsyslog","server_group":"rsyslog-prod","server_type":"rsyslog","environment":"prod","host":"rsyslog-01","status":"synced","changed_files":[],"validation_status":"passed","validation_message":"rsyslog syntax validation passed","commit_sha":"abc1234567890","branch":"master","updated_by":"woodpecker","last_pipeline_run":"2026-04-26T10:30:00Z"}))),
            ("array" = (summary = "Two hosts at once", value = json!([{"server_group":"rsyslog-prod","host":"rsyslog-01","status":"synced"},{"server_group":"rsyslog-prod","host":"rsyslog-02","status":"failed","validation_status":"failed","validation_message":"line 12: unknown module"}]))))),
    responses(
        (status = 200, description = "Recorded and synced to disk (an array is answered with `statuses` and `reports`)", body = Recorded),
        (status = 400, description = "Bad JSON or bad fields, all named at once", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 408, description = "The body came too slowly", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:slow-body","title":"The body came too slowly","status":408,"detail":"The body was not there after 10 s; nothing was stored","instance":"urn:gitops-status-server:request:5f0c9a3e-2"})),
        (status = 409, description = "The Idempotency-Key came with another body", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:key-reused","title":"The Idempotency-Key was used with another body","status":409,"detail":"This Idempotency-Key came with another body within the last 7 days; nothing was stored. Use a new key for each new report","instance":"urn:gitops-status-server:request:5f0c9a3e-3"})),
        (status = 413, description = "The body is larger than MAX_BODY_BYTES", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:body-too-large","title":"The body is too large","status":413,"detail":"The body has more than 1048576 bytes; nothing was stored. Send fewer reports at once, or raise MAX_BODY_BYTES","instance":"urn:gitops-status-server:request:5f0c9a3e-4"})),
        (status = 415, description = "The body is not declared JSON, or encoded", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:unsupported-media","title":"The body has a type or encoding that is not taken","status":415,"detail":"Send the header Content-Type: application/json","instance":"urn:gitops-status-server:request:5f0c9a3e-5"})),
        (status = 503, description = "The database takes no writes just now; `Retry-After` says when to try again", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:unavailable","title":"The server takes no writes just now","status":503,"detail":"The database does not take writes; nothing was stored","instance":"urn:gitops-status-server:request:5f0c9a3e-6"}))))]
pub async fn pipeline(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    record(Source::Pipeline, &request, payload, &state).await
}

/// Report what a drift check saw
///
/// Changes drift fields only: never the commit, branch, validation or any other pipeline field (v2's
/// are ignored with a warning). Without `status` it confirms the state in force. The server must
/// exist: otherwise 404, which lists near names and is kept for `GET /rejections`; `?create=true`
/// (or the setting `CRON_CREATES_HOSTS`) creates it.
#[utoipa::path(post, path = "/status/cron", tag = "reports", operation_id = "report_cron",
    params(
        ("create" = Option<bool>, Query, description = "Create hosts that do not exist yet", example = true),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a retry of this very request harmless for 7 days (1 to 255 characters)", example = "check-2026-04-26T10:32-rsyslog-01")),
    request_body(content = CronBody, description = "One report, or an array of up to 1,000",
        examples(
            ("drift" = (summary = "A drift", value = json!({"server_group":"rsyslog-prod","host":"rsyslog-01","status":"out_of_sync","changed_files":["rsyslog.conf",{"path":"rsyslog.d/30-lab.conf","kind":"modified"}],"last_cron_check":"2026-04-26T10:32:00Z","commit_sha":"abc1234567890"}))),
            ("confirm" = (summary = "Nothing new", value = json!({"server_group":"rsyslog-prod","host":"rsyslog-01"}))))),
    responses(
        (status = 200, description = "Recorded and synced to disk (an array is answered with `statuses` and `reports`)", body = Recorded),
        (status = 400, description = "Bad JSON or bad fields, all named at once", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 404, description = "The server does not exist", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:unknown-host","title":"The host is not known","status":404,"detail":"There is no host \"rsyslog-1\" in group \"rsyslog-prod\": a check does not create hosts. Report it once with POST /status/pipeline, or add ?create=true. Did you mean rsyslog-prod/rsyslog-01?","instance":"urn:gitops-status-server:request:5f0c9a3e-7","errors":[{"field":"host","message":"rsyslog-prod/rsyslog-1 is not known"}],"near":[{"server_group":"rsyslog-prod","host":"rsyslog-01"}]})),
        (status = 408, description = "The body came too slowly", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 409, description = "The Idempotency-Key came with another body", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 413, description = "The body is larger than MAX_BODY_BYTES", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 415, description = "The body is not declared JSON, or encoded", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 503, description = "The database takes no writes just now", body = ProblemBody<'_>, content_type = "application/problem+json")))]
pub async fn cron(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    record(Source::Cron, &request, payload, &state).await
}

/// Report in the v1 shape
///
/// What v1 clients send: it becomes a check of source `legacy` for group = `repo` and host =
/// `server`, and creates the server. `files` may hold plain strings; `drift_count` may disagree with
/// them (both are kept).
#[utoipa::path(post, path = "/api/status", tag = "v1", operation_id = "report_v1",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a retry of this very request harmless for 7 days (1 to 255 characters)", example = "lab-2026-04-26T10:30")),
    request_body(content = V1Body, description = "One report, or an array of up to 1,000",
        example = json!({"repo":"rsyslog","server":"rsyslog-lab","sync_status":"OUT_OF_SYNC","drift_count":1,"files":[{"name":"rsyslog.d/30-lab.conf"}],"last_check":"2026-04-26T10:30:00Z"})),
    responses(
        (status = 200, description = "Recorded and synced to disk; `status` is the v1 object", body = RecordedV1),
        (status = 400, description = "Bad JSON (\"Invalid JSON\") or bad fields", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:invalid-json","title":"Invalid JSON","status":400,"detail":"Invalid JSON: EOF while parsing an object at line 1 column 1","instance":"urn:gitops-status-server:request:5f0c9a3e-8"})),
        (status = 408, description = "The body came too slowly", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 409, description = "The Idempotency-Key came with another body", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 413, description = "The body is larger than MAX_BODY_BYTES", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 415, description = "The body is not declared JSON, or encoded", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 503, description = "The database takes no writes just now", body = ProblemBody<'_>, content_type = "application/problem+json")))]
pub async fn legacy(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    record(Source::Legacy, &request, payload, &state).await
}

/// Read, parse, record, answer. Every refusal is listed for `GET /rejections`.
async fn record(
    source: Source,
    request: &HttpRequest,
    mut payload: web::Payload,
    state: &web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let limit = state.rules.max_body_bytes;
    let body = match body::read_json(request, &mut payload, limit, &state.budget).await {
        Ok(body) => body,
        Err(problem) => return Err(reject(state, source, problem, vec![(None, None)], 1).await),
    };
    let (create_hosts, key) = match options(source, request, state, &body) {
        Ok(options) => options,
        Err(problem) => return Err(reject(state, source, problem, vec![(None, None)], 1).await),
    };
    let parsed = match ingest::parse_body(source, &body, &state.rules.stale_after) {
        Ok(parsed) => parsed,
        Err(refusal) => {
            let (subjects, count) = match &refusal {
                Refusal::Fields { subjects, reports, .. } => (subjects.clone(), *reports),
                Refusal::Json(_) => (vec![(None, None)], 1),
            };
            let problem = Problem::from_refusal(refusal);
            return Err(reject(state, source, problem, subjects, count).await);
        }
    };
    let Parsed { mut reports, array, mut warnings } = parsed;
    state.board.share_contents(&mut reports);
    let keys: Vec<HostKey> = reports.iter().map(|report| report.key.clone()).collect();
    let groups: Vec<&str> = keys.iter().map(|key| &*key.server_group).collect();
    let field = if source == Source::Legacy { "repo" } else { "server_group" };
    if let Err((problem, places)) = access::may_report_for(request, state, field, &groups, array) {
        let subjects = places.into_iter().map(|at| subject(&keys[at])).collect();
        return Err(reject(state, source, problem, subjects, keys.len()).await);
    }
    let (sent, bytes) = (Sent::of(&reports), waiting_bytes(&reports, body.len()));
    let submission = Submission {
        reports,
        sender: sender(request, state),
        create_hosts,
        key,
        push: None,
        bytes,
    };
    let before = state.board.size();
    match state.recorder.record(submission).await {
        Ok(receipts) => {
            count(state, source, &receipts);
            warn_of_times_ahead(&receipts, array, &mut warnings);
            let known = position::of_receipts(before, receipts.iter().map(|receipt| receipt.id));
            let answer = answer(source, receipts, array, &warnings, state, sent).await?;
            Ok(position::named(answer, known))
        }
        Err(RecordError::UnknownHosts(unknown)) => {
            let problem = unknown_hosts(&unknown, array, request, state);
            let subjects = unknown.iter().map(|(_, key)| subject(key)).collect();
            Err(reject(state, source, problem, subjects, keys.len()).await)
        }
        Err(error) => {
            Err(reject(state, source, error.into(), vec![subject(&keys[0])], keys.len()).await)
        }
    }
}

/// Everything but the recording: what benches compare the write path with.
pub async fn parse_only(
    request: HttpRequest,
    mut payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let limit = state.rules.max_body_bytes;
    let body = body::read_json(&request, &mut payload, limit, &state.budget).await?;
    options(Source::Pipeline, &request, &state, &body)?;
    let parsed = ingest::parse_body(Source::Pipeline, &body, &state.rules.stale_after);
    let reports = parsed.map_err(Problem::from_refusal)?.reports.len();
    Ok(HttpResponse::Ok()
        .content_type(super::respond::JSON)
        .body(format!("{{\"parsed\":{reports}}}")))
}

/// What the request asks for beside its body.
pub(super) fn options(
    source: Source,
    request: &HttpRequest,
    state: &AppState,
    body: &[u8],
) -> Result<(bool, Option<IdempotencyKey>), Problem> {
    let mut params = Params::of(request)?;
    let create = params.flag("create").unwrap_or(state.rules.cron_creates_hosts);
    params.check()?;
    let Some(key) = request.headers().get("Idempotency-Key") else { return Ok((create, None)) };
    let wrong = || Problem::invalid_parameter("Idempotency-Key", "must have 1 to 255 characters");
    let key = std::str::from_utf8(key.as_bytes()).map_err(|_| wrong())?.trim();
    if !(1..=KEY_MAX_CHARS).contains(&key.chars().count()) || key.chars().any(char::is_control) {
        return Err(wrong());
    }
    // The route belongs to what was said: another source means another thing.
    let digest = Sha256::new().chain_update([source.code() as u8]).chain_update(body).finalize();
    let token = access::token_name(request).unwrap_or_default();
    let key = IdempotencyKey { token, key: key.to_owned(), body: hex(&digest[..16]) };
    Ok((create, Some(key)))
}

/// What a submission takes while it waits, about: short lists of files are larger in memory than in the
/// body. However large it is, it finds room where nothing else waits.
fn waiting_bytes(reports: &[Report], body: usize) -> usize {
    let files = |report: &Report| report.content.changed_files.as_ref().map_or(0, Files::weight);
    let weight = body + reports.iter().map(files).sum::<usize>();
    weight.min(QUEUE_MAX_BYTES / 2).max(body)
}

/// The long lists of files that a request has brought: its answer need not look them up.
struct Sent(HashMap<ContentDigest, Arc<Content>>);

impl Sent {
    fn of(reports: &[Report]) -> Self {
        let long = reports.iter().filter(|report| !Arc::ptr_eq(&report.content, &report.kept));
        Self(long.map(|report| (report.digest, report.content.clone())).collect())
    }

    /// The files in force of a host, if their list is not in memory.
    async fn files(&self, app: &AppState, state: &HostState) -> Result<Option<Files>, Problem> {
        let sent = state.stored_files().and_then(|content| self.0.get(&content));
        match sent {
            Some(content) => Ok(content.changed_files.clone()),
            None => Ok(stored_files(&app.readers, state).await?),
        }
    }
}

async fn answer(
    source: Source,
    receipts: Vec<Receipt>,
    array: bool,
    warnings: &[String],
    app: &web::Data<AppState>,
    sent: Sent,
) -> Result<HttpResponse, Problem> {
    let (v1, now) = (source == Source::Legacy, app.now());
    if array && is_large(&receipts) {
        return Ok(answer_in_pieces(receipts, warnings, app, now, v1, sent));
    }
    let stored = match receipts.as_slice() {
        [receipt] => sent.files(app, &receipt.state).await?,
        _ => None,
    };
    let stored = stored.as_ref();
    if v1 {
        return Ok(answer_with(&receipts, array, warnings, app, |host| V1Status::of(host, stored)));
    }
    Ok(answer_with(&receipts, array, warnings, app, |host| StatusRow::of(host, stored, now)))
}

/// Whether an answer repeats paths of many bytes.
fn is_large(receipts: &[Receipt]) -> bool {
    let of_host = |receipt: &Receipt| {
        let files = receipt.state.files_in_force()?.changed_files.as_ref()?;
        Some(if files.stored().is_some() { ANSWER_MAX_BYTES + 1 } else { 2 * files.path_bytes() })
    };
    receipts.iter().filter_map(of_host).sum::<usize>() > ANSWER_MAX_BYTES
}

/// The answer to an array, element by element: together they may be far larger than what was sent.
fn answer_in_pieces(
    receipts: Vec<Receipt>,
    warnings: &[String],
    app: &web::Data<AppState>,
    now: Timestamp,
    v1: bool,
    sent: Sent,
) -> HttpResponse {
    let origin = app.recorder.origin();
    let reports: Vec<_> = receipts.iter().map(|r| ReportReceipt::of(r, origin)).collect();
    let reports = serde_json::to_string(&reports).expect("answers have only string keys");
    let warnings = serde_json::to_string(warnings).expect("strings are JSON");
    let head = format!("{{\"success\":true,\"message\":\"{MESSAGE}\",\"statuses\":[");
    let tail = format!("],\"reports\":{reports},\"warnings\":{warnings}}}");
    let (app, sent) = (app.clone(), Arc::new(sent));
    let rows = stream::iter(receipts.into_iter().enumerate()).then(move |(at, receipt)| {
        let (app, sent) = (app.clone(), sent.clone());
        async move {
            let stored = sent.files(&app, &receipt.state).await?;
            let mut row = if at > 0 { b",".to_vec() } else { Vec::new() };
            let written = if v1 {
                serde_json::to_writer(&mut row, &V1Status::of(&receipt.state, stored.as_ref()))
            } else {
                let status = StatusRow::of(&receipt.state, stored.as_ref(), now);
                serde_json::to_writer(&mut row, &status)
            };
            written.expect("answers have only string keys");
            Ok::<_, Problem>(Bytes::from(row))
        }
    });
    let piece = |text: String| stream::iter([Ok(Bytes::from(text))]);
    let pieces = piece(head).chain(rows).chain(piece(tail));
    HttpResponse::Ok().content_type(super::respond::JSON).streaming(Box::pin(pieces))
}

fn answer_with<'a, S: serde::Serialize + utoipa::ToSchema>(
    receipts: &'a [Receipt],
    array: bool,
    warnings: &[String],
    state: &AppState,
    row: impl Fn(&'a HostState) -> S,
) -> HttpResponse {
    let message = MESSAGE;
    let origin = state.recorder.origin();
    let mut body = Vec::with_capacity(RECEIPT_BYTES * receipts.len());
    let written = match receipts {
        [receipt] if !array => serde_json::to_writer(
            &mut body,
            &ReportAnswer {
                success: true,
                message,
                status: row(&receipt.state),
                report: ReportReceipt::of(receipt, origin),
                warnings,
            },
        ),
        receipts => serde_json::to_writer(
            &mut body,
            &ReportsAnswer {
                success: true,
                message,
                statuses: receipts.iter().map(|receipt| row(&receipt.state)).collect(),
                reports: receipts.iter().map(|r| ReportReceipt::of(r, origin)).collect(),
                warnings,
            },
        ),
    };
    written.expect("answers have only string keys");
    HttpResponse::Ok().content_type(super::respond::JSON).body(body)
}

fn warn_of_times_ahead(receipts: &[Receipt], array: bool, warnings: &mut Vec<String>) {
    for (index, _) in receipts.iter().enumerate().filter(|(_, receipt)| receipt.ahead) {
        let place = if array { format!("[{index}] ") } else { String::new() };
        warnings.push(format!(
            "{place}the time sent lies more than 5 minutes ahead of this server's clock; the time \
             of arrival counts instead"
        ));
    }
}

fn unknown_hosts(
    unknown: &[(usize, HostKey)],
    array: bool,
    request: &HttpRequest,
    state: &AppState,
) -> Problem {
    let may_know_of = |group: &str| access::may_know_of(request, group);
    let near = state.board.near(&unknown[0].1, may_know_of, NEAR_MAX);
    Problem::unknown_hosts(unknown, array, near)
}

/// Who hands this request in.
pub(super) fn sender(request: &HttpRequest, state: &AppState) -> Arc<Sender> {
    let remote_address = proxies::remote_address(request, &state.rules.trusted_proxies);
    Arc::new(Sender { reported_by: access::token_name(request), remote_address })
}
