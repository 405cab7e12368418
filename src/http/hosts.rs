//! Acts of people: `POST /hosts/{server_group}/{host}/retire` and `/alias`.

use super::dto::{ReportReceipt, StatusRow};
use super::params::segments;
use super::problem::{Problem, ProblemBody};
use super::reports::sender;
use super::stored::stored_files;
use super::{AppState, access, body, position, respond};
use crate::domain::names::{HostKey, parse_name};
use crate::ingest::acts::{Understood, parse_alias, parse_retire};
use crate::recorder::{Act, ActError, Deed};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

/// The answer to an act.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActAnswer<'a> {
    #[schema(example = true)]
    success: bool,
    #[schema(example = "rsyslog-prod/rsyslog-01 is retired")]
    message: String,
    /// The host's row after it; null for a retired one, and without the scope read.
    #[schema(required)]
    status: Option<StatusRow<'a>>,
    report: ReportReceipt<'a>,
    /// What was repaired or ignored.
    #[schema(example = json!([]))]
    warnings: &'a [String],
}

/// Why a host is retired.
#[derive(Serialize, ToSchema)]
pub struct RetireBody {
    /// In your words; it stays in the history.
    #[schema(example = "replaced by rsyslog-03")]
    reason: Option<String>,
}

/// The name a host had before.
#[derive(Serialize, ToSchema)]
pub struct AliasBody {
    /// The former name.
    alias_of: FormerName,
}

/// A host's former name.
#[derive(Serialize, ToSchema)]
pub struct FormerName {
    #[schema(example = "rsyslog")]
    server_group: String,
    #[schema(example = "rsyslog-lab")]
    host: String,
}

/// Retire a server
///
/// Records an entry of kind `retire`: the host leaves `/status`, its clocks stop, an open drift ends
/// (`closed_by` `retire`). Its history stays. A new report revives it; the time between belongs to no
/// kind of time.
#[utoipa::path(post, path = "/hosts/{server_group}/{host}/retire", tag = "hosts", operation_id = "retire_host",
    params(
        ("server_group" = String, Path, description = "The group's name, percent-encoded", example = "rsyslog-prod"),
        ("host" = String, Path, description = "The host's name, percent-encoded", example = "rsyslog-01")),
    request_body(content = RetireBody, description = "Why", example = json!({"reason": "replaced by rsyslog-03"})),
    responses(
        (status = 200, description = "Recorded and synced to disk", body = ActAnswer<'_>),
        (status = 400, description = "Bad JSON or bad fields", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:invalid-fields","title":"Some fields are not valid","status":400,"detail":"reason: must be a string, not a number","instance":"urn:gitops-status-server:request:5f0c9a3e-15","errors":[{"field":"reason","message":"must be a string, not a number"}]})),
        (status = 404, description = "No such host", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:unknown-host","title":"The host is not known","status":404,"detail":"There is no host \"rsyslog-1\" in group \"rsyslog-prod\". Did you mean rsyslog-prod/rsyslog-01?","instance":"urn:gitops-status-server:request:5f0c9a3e-16","near":[{"server_group":"rsyslog-prod","host":"rsyslog-01"}]})),
        (status = 408, description = "The body came too slowly", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:slow-body","title":"The body came too slowly","status":408,"detail":"The body was not there after 10 s; nothing was stored","instance":"urn:gitops-status-server:request:5f0c9a3e-17"})),
        (status = 409, description = "The host is retired already, or has another name now", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:conflict","title":"The host is not in the state for this","status":409,"detail":"rsyslog-prod/rsyslog-01 is retired already","instance":"urn:gitops-status-server:request:5f0c9a3e-18"})),
        (status = 413, description = "The body is larger than MAX_BODY_BYTES", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:body-too-large","title":"The body is too large","status":413,"detail":"The body has more than 1048576 bytes; nothing was stored. Send fewer reports at once, or raise MAX_BODY_BYTES","instance":"urn:gitops-status-server:request:5f0c9a3e-19"})),
        (status = 415, description = "The body is not declared JSON, or encoded", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:unsupported-media","title":"The body has a type or encoding that is not taken","status":415,"detail":"Send the header Content-Type: application/json","instance":"urn:gitops-status-server:request:5f0c9a3e-1a"})),
        (status = 503, description = "The database takes no writes just now", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:unavailable","title":"The server takes no writes just now","status":503,"detail":"The database does not take writes; nothing was stored","instance":"urn:gitops-status-server:request:5f0c9a3e-1b"}))))]
pub async fn retire(
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let key = key(&request)?;
    let done = format!("{}/{} is retired", key.server_group, key.host);
    let parse = |body: &[u8]| {
        parse_retire(body).map(|(reason, warnings)| (Deed::Retire { reason }, warnings))
    };
    act(&request, payload, &app, key, parse, done).await
}

/// Say which name a server had before
///
/// Records an entry of kind `alias` for the new name in the path: the entries of the former name,
/// earlier and later ones, fold into this host, which need not have reported yet. Lines keep the name
/// they were sent with.
#[utoipa::path(post, path = "/hosts/{server_group}/{host}/alias", tag = "hosts", operation_id = "alias_host",
    params(
        ("server_group" = String, Path, description = "The new name's group, percent-encoded", example = "rsyslog-prod"),
        ("host" = String, Path, description = "The new name, percent-encoded", example = "rsyslog-01")),
    request_body(content = AliasBody, description = "The former name", example = json!({"alias_of": {"server_group": "rsyslog", "host": "rsyslog-lab"}})),
    responses(
        (status = 200, description = "Recorded and synced to disk", body = ActAnswer<'_>),
        (status = 400, description = "Bad JSON or bad fields", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:invalid-fields","title":"Some fields are not valid","status":400,"detail":"alias_of: is required: the former name, {\"server_group\": …, \"host\": …}","instance":"urn:gitops-status-server:request:5f0c9a3e-1c","errors":[{"field":"alias_of","message":"is required: the former name, {\"server_group\": …, \"host\": …}"}]})),
        (status = 404, description = "No host has or had the former name", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:unknown-host","title":"The host is not known","status":404,"detail":"There is no host \"rsyslog-1\" in group \"rsyslog-prod\". Did you mean rsyslog-prod/rsyslog-01?","instance":"urn:gitops-status-server:request:5f0c9a3e-1d","near":[{"server_group":"rsyslog-prod","host":"rsyslog-01"}]})),
        (status = 408, description = "The body came too slowly", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:slow-body","title":"The body came too slowly","status":408,"detail":"The body was not there after 10 s; nothing was stored","instance":"urn:gitops-status-server:request:5f0c9a3e-1e"})),
        (status = 409, description = "The name would fold into itself, or folds into another host already", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:conflict","title":"The host is not in the state for this","status":409,"detail":"rsyslog/rsyslog-lab would fold into itself","instance":"urn:gitops-status-server:request:5f0c9a3e-1f"})),
        (status = 413, description = "The body is larger than MAX_BODY_BYTES", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:body-too-large","title":"The body is too large","status":413,"detail":"The body has more than 1048576 bytes; nothing was stored. Send fewer reports at once, or raise MAX_BODY_BYTES","instance":"urn:gitops-status-server:request:5f0c9a3e-20"})),
        (status = 415, description = "The body is not declared JSON, or encoded", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:unsupported-media","title":"The body has a type or encoding that is not taken","status":415,"detail":"Send the header Content-Type: application/json","instance":"urn:gitops-status-server:request:5f0c9a3e-21"})),
        (status = 503, description = "The database takes no writes just now", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:unavailable","title":"The server takes no writes just now","status":503,"detail":"The database does not take writes; nothing was stored","instance":"urn:gitops-status-server:request:5f0c9a3e-22"}))))]
pub async fn alias(
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let key = key(&request)?;
    let done = format!("the former name folds into {}/{}", key.server_group, key.host);
    let parse =
        |body: &[u8]| parse_alias(body).map(|(of, warnings)| (Deed::Alias { of }, warnings));
    act(&request, payload, &app, key, parse, done).await
}

/// Group and host out of `/hosts/{server_group}/{host}/…`; the names must be such as reports have.
fn key(request: &HttpRequest) -> Result<HostKey, Problem> {
    let segments = segments(request)?;
    let [_, group, host, _] = segments.as_slice() else { return Err(Problem::no_such_path()) };
    let name = |field: &str, text: &str| {
        let wrong = |problem| Problem::invalid_parameter(field, problem);
        parse_name(text).map(str::to_owned).map_err(wrong)
    };
    Ok(HostKey::new(&name("server_group", group)?, &name("host", host)?))
}

async fn act(
    request: &HttpRequest,
    mut payload: web::Payload,
    app: &AppState,
    key: HostKey,
    parse: impl FnOnce(&[u8]) -> Understood<Deed>,
    done: String,
) -> Result<HttpResponse, Problem> {
    let limit = app.rules.max_body_bytes;
    let body = body::read_json(request, &mut payload, limit, &app.budget).await?;
    let (deed, warnings) = parse(&body).map_err(Problem::from_refusal)?;
    let act = Act { key, deed, sender: sender(request, app) };
    let may_read = access::may_read(request);
    let before = app.board.size();
    let mut receipt = app.recorder.act(act).await.map_err(|error| refuse(app, error, may_read))?;
    if !may_read {
        receipt.state = None;
    }
    let state = receipt.state.as_deref();
    let present = state.filter(|state| !state.is_retired());
    let stored = match present {
        Some(state) => stored_files(&app.readers, state).await?,
        None => None,
    };
    let answer = ActAnswer {
        success: true,
        message: done,
        status: present.map(|state| StatusRow::of(state, stored.as_ref(), app.now())),
        report: ReportReceipt::of_act(&receipt, app.recorder.origin()),
        warnings: &warnings,
    };
    let body = serde_json::to_vec(&answer).expect("answers have only string keys");
    let known = position::of_receipts(before, [receipt.id].into_iter());
    Ok(position::named(HttpResponse::Ok().content_type(respond::JSON).body(body), known))
}

/// Names of hosts that the request did not name itself are for those who may read.
fn refuse(app: &AppState, error: ActError, may_read: bool) -> Problem {
    match error {
        ActError::Failed(error) => error.into(),
        ActError::Unknown(key) if !may_read => Problem::unknown_host(&key, Vec::new()),
        ActError::Unknown(key) => {
            let near = app.board.near(&key, |_| true, super::status::NEAR_MAX);
            Problem::unknown_host(&key, near)
        }
        ActError::Renamed(key, _) if !may_read => {
            let detail = "has another name now, which a token with the scope read is told";
            Problem::conflict(format!("{}/{} {detail}", key.server_group, key.host))
        }
        ActError::Renamed(..) | ActError::Retired(_) | ActError::Cycle(_) => {
            Problem::conflict(error.to_string())
        }
    }
}
