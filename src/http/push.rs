//! The push API of a Pushgateway: what runs of a job say about its stacks. Answers are those that a
//! Pushgateway gives, in plain text, because its clients print them; problems that it does not have
//! (413, 503 …) are ours.

use super::outcomes::{Subject, count, list_refusal, reject};
use super::problem::{Problem, ProblemBody};
use super::reports::{options, sender};
use super::{AppState, access, body, position};
use crate::domain::names::NAME_MAX_CHARS;
use crate::domain::report::Source;
use crate::ingest::push::{GroupingKey, Pushed};
use crate::recorder::Submission;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use percent_encoding::percent_decode_str;
use std::io::Read;

/// Who says it.
const SOURCE: Source = Source::Pushgateway;
/// What `curl` prints of a refusal.
const PLAIN: &str = "text/plain; charset=utf-8";
/// The media type by which clients written in Go push, unless told otherwise.
const PROTOBUF: &str = "application/vnd.google.protobuf";

/// Push metrics, adding to a grouping
///
/// The push API of a Pushgateway. Each `drift_stack_state{stack="X"}` (0 clean, 1 drift, 2 error)
/// becomes a check of source `pushgateway` on host X of the group that the job names, at
/// `drift_detection_last_run_timestamp` if that is pushed. Other metrics are checked and not kept. A
/// stack that the grouping's last push held and this one does not, though it holds others, is gone:
/// one entry of kind `inferred` says so. Labels behind the job are recorded; `job@base64` and
/// `NAME@base64` take URL-safe base64. Text format 0.0.4, also gzipped, whatever its Content-Type.
#[utoipa::path(post, path = "/metrics/job/{grouping}", tag = "metrics", operation_id = "push_metrics",
    params(("grouping" = String, Path, description = "The job, and labels: JOB or JOB/NAME/VALUE…", example = "drift-detection")),
    request_body(content = String, content_type = "text/plain", description = "Text format 0.0.4",
        example = "drift_stack_state{stack=\"vpc\"} 0\ndrift_stack_state{stack=\"dns\"} 1\ndrift_detection_last_run_timestamp 1777200000\n"),
    responses(
        (status = 200, description = "On disk, as far as it is history; the body is empty"),
        (status = 400, description = "Refused as a Pushgateway refuses it; nothing is stored", body = String, content_type = "text/plain; charset=utf-8", example = "text format parsing error in line 1: expected float as value, got \"abc\"\n"),
        (status = 408, description = "The body came too slowly", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 409, description = "The Idempotency-Key came with another body", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 413, description = "The body is larger than MAX_BODY_BYTES", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 415, description = "Protobuf, or an encoding other than gzip", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 503, description = "The database takes no writes just now", body = ProblemBody<'_>, content_type = "application/problem+json")))]
pub async fn post(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    push(&request, payload, &state).await
}

/// Push metrics, replacing a grouping
///
/// The same as POST: of a grouping only its stacks are kept, and every push that holds stack states
/// replaces those.
#[utoipa::path(put, path = "/metrics/job/{grouping}", tag = "metrics", operation_id = "replace_metrics",
    params(("grouping" = String, Path, description = "The job, and labels: JOB or JOB/NAME/VALUE…", example = "drift-detection/env/prod")),
    request_body(content = String, content_type = "text/plain", description = "Text format 0.0.4",
        example = "drift_stack_state{stack=\"vpc\"} 0\n"),
    responses(
        (status = 200, description = "On disk, as far as it is history; the body is empty"),
        (status = 400, description = "Refused as a Pushgateway refuses it; nothing is stored", body = String, content_type = "text/plain; charset=utf-8", example = "odd number of components in label string \"/env\"\n"),
        (status = 408, description = "The body came too slowly", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 409, description = "The Idempotency-Key came with another body", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 413, description = "The body is larger than MAX_BODY_BYTES", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 415, description = "Protobuf, or an encoding other than gzip", body = ProblemBody<'_>, content_type = "application/problem+json"),
        (status = 503, description = "The database takes no writes just now", body = ProblemBody<'_>, content_type = "application/problem+json")))]
pub async fn put(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    push(&request, payload, &state).await
}

/// Delete a grouping
///
/// Every stack that the grouping held is gone: one entry of kind `inferred` for each says so. The
/// history stays. A grouping that is not there is deleted all the same.
#[utoipa::path(delete, path = "/metrics/job/{grouping}", tag = "metrics", operation_id = "delete_metrics",
    params(("grouping" = String, Path, description = "The job, and labels: JOB or JOB/NAME/VALUE…", example = "drift-detection")),
    responses(
        (status = 202, description = "It is deleted (and that is on disk); the body is empty"),
        (status = 400, description = "The path is not a grouping", body = String, content_type = "text/plain; charset=utf-8", example = "improper label name \"bad-label\"\n"),
        (status = 503, description = "The database takes no writes just now", body = ProblemBody<'_>, content_type = "application/problem+json")))]
pub async fn delete(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let key = grouping_key(&request);
    let subject = subject(&key);
    match key.and_then(|key| key.deletion(&state.rules.stale_after)) {
        Ok(push) => {
            let pushed = Pushed { reports: Vec::new(), push, near_misses: Vec::new() };
            let known = record(&request, &state, pushed, &[]).await?;
            Ok(position::named(HttpResponse::Accepted().finish(), known))
        }
        Err(why) => Ok(refuse(&state, &why, subject).await),
    }
}

async fn push(
    request: &HttpRequest,
    mut payload: web::Payload,
    state: &AppState,
) -> Result<HttpResponse, Problem> {
    let key = grouping_key(request);
    let subject = subject(&key);
    let limit = state.rules.max_body_bytes;
    let body = body::read(request, &mut payload, limit, &state.budget, check_form).await;
    let body = match body {
        Ok(body) => body,
        Err(problem) => return Err(reject(state, SOURCE, problem, vec![subject], 1).await),
    };
    let pushed = key.and_then(|key| {
        let text = unpacked(request, &body, limit)?;
        key.read(&text, &state.rules.stale_after)
    });
    match pushed {
        Ok(pushed) => {
            let known = record(request, state, pushed, &body).await?;
            Ok(position::named(HttpResponse::Ok().finish(), known))
        }
        Err(why) => Ok(refuse(state, &why, subject).await),
    }
}

/// What a refused push is about: the job, as far as it can be read.
fn subject(key: &Result<GroupingKey, String>) -> Subject {
    let job = |key: &GroupingKey| key.job().trim().chars().take(NAME_MAX_CHARS).collect();
    (key.as_ref().ok().map(job), None)
}

/// Lists a refusal, and answers it in a Pushgateway's words and form.
async fn refuse(state: &AppState, why: &str, subject: Subject) -> HttpResponse {
    list_refusal(state, SOURCE, &format!("400: {why}"), vec![subject], 1).await;
    HttpResponse::build(StatusCode::BAD_REQUEST)
        .content_type(PLAIN)
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(format!("{why}\n"))
}

/// Records what is history of a push; tells the newest entry known behind it. An Idempotency-Key
/// belongs to its method, path and body.
async fn record(
    request: &HttpRequest,
    state: &AppState,
    pushed: Pushed,
    body: &[u8],
) -> Result<u64, Problem> {
    let Pushed { reports, push, near_misses } = pushed;
    let job = &*push.grouping.job;
    let subject = (Some(job.to_owned()), None);
    // The job is the group of all its reports; a push that has none must be somebody's all the same.
    if let Err((problem, _)) = access::may_report_for(request, state, "job", &[job], false) {
        return Err(reject(state, SOURCE, problem, vec![subject], reports.len().max(1)).await);
    }
    if !near_misses.is_empty() {
        let job: String = job.chars().take(NAME_MAX_CHARS).collect();
        let metrics = near_misses.join(" ");
        tracing::warn!(
            ?job,
            metrics,
            "a push has metrics that are not recorded, with names near drift_stack_state; only a gauge of that very name is history"
        );
    }
    let before = state.board.size();
    if reports.is_empty() && !push.deletes {
        return Ok(before);
    }
    let line = format!("{} {}\n", request.method(), request.uri().path());
    let key = match options(SOURCE, request, state, &[line.as_bytes(), body].concat()) {
        Ok((_, key)) => key,
        Err(problem) => return Err(reject(state, SOURCE, problem, vec![subject], 1).await),
    };
    let sent = reports.len();
    let submission = Submission {
        reports,
        sender: sender(request, state),
        create_hosts: true,
        key,
        push: Some(push),
        bytes: body.len(),
    };
    match state.recorder.record(submission).await {
        Ok(receipts) => {
            // Behind the reports stand those that were concluded.
            count(state, SOURCE, &receipts[..receipts.len().min(sent)]);
            Ok(position::of_receipts(before, receipts.iter().map(|receipt| receipt.id)))
        }
        Err(error) => Err(reject(state, SOURCE, error.into(), vec![subject], sent.max(1)).await),
    }
}

/// Reads the grouping key out of the path. A name with a slash in it stays one part.
fn grouping_key(request: &HttpRequest) -> Result<GroupingKey, String> {
    let parts = request.uri().path().split('/').map(|part| {
        let decoded = percent_decode_str(part).decode_utf8();
        decoded.map(String::from).map_err(|_| format!("the path's part {part} is not UTF-8"))
    });
    let parts = parts.collect::<Result<Vec<String>, String>>()?;
    // "", "metrics", and "job" or "job@base64" are the route's.
    let [_, _, marker, job, labels @ ..] = parts.as_slice() else {
        return Err("job name is required".into());
    };
    GroupingKey::parse(job, marker == "job@base64", labels)
}

/// Any media type is text, as Pushgateway has it, but its protobuf.
fn check_form(request: &HttpRequest) -> Result<(), Problem> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let media = header(header::CONTENT_TYPE).unwrap_or_default();
    if media.trim_start().to_ascii_lowercase().starts_with(PROTOBUF) {
        return Err(Problem::unsupported_media(
            "Protobuf is not taken here; push text format 0.0.4 (in Go: \
             push.New(…).Format(expfmt.FmtText))",
        ));
    }
    match header(header::CONTENT_ENCODING).map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "identity" | "gzip") => Ok(()),
        Some(_) => Err(Problem::unsupported_media("Send the body plain, or with gzip")),
    }
}

/// The text of a body that may be gzipped; it, too, may have `limit` bytes.
fn unpacked(request: &HttpRequest, body: &Bytes, limit: usize) -> Result<Bytes, String> {
    let encoding = request.headers().get(header::CONTENT_ENCODING);
    if !encoding.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"gzip")) {
        return Ok(body.clone());
    }
    let mut text = Vec::new();
    let mut unpacking = MultiGzDecoder::new(&body[..]).take(limit as u64 + 1);
    if let Err(error) = unpacking.read_to_end(&mut text) {
        let short = error.kind() == std::io::ErrorKind::UnexpectedEof;
        let why = match short {
            true if body.is_empty() => "EOF",
            true => "unexpected EOF",
            false => "gzip: invalid header",
        };
        return Err(why.into());
    }
    if text.len() > limit {
        return Err(format!("the body has more than {limit} bytes when unpacked"));
    }
    Ok(text.into())
}
