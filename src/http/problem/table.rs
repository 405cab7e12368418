//! The one table of statuses.

use super::{FieldProblem, NearName, Overload, Problem};
use crate::domain::access::Scope;
use crate::domain::names::HostKey;
use crate::ingest::{FieldError, Refusal};
use crate::recorder::{ClockFault, RecordError};
use crate::views::ReadError;
use actix_web::http::StatusCode;

/// Groups that a sentence names; the list of fields has more.
const NAMES_MAX: usize = 5;

impl Problem {
    /// 400: the body is not JSON as we take it.
    pub fn invalid_json(why: &str) -> Self {
        let detail = format!("Invalid JSON: {why}");
        Self::new(StatusCode::BAD_REQUEST, "invalid-json", "Invalid JSON", detail)
    }

    /// 400: wrong fields of a body.
    pub fn invalid_fields(errors: Vec<FieldError>) -> Self {
        Self::with_fields("invalid-fields", "Some fields are not valid", errors)
    }

    /// 400: wrong query parameters.
    pub fn invalid_parameters(errors: Vec<FieldError>) -> Self {
        Self::with_fields("invalid-parameters", "Some parameters are not valid", errors)
    }

    /// 400: one wrong query parameter.
    pub fn invalid_parameter(name: &str, message: impl Into<String>) -> Self {
        Self::invalid_parameters(vec![FieldError::at(None, name, message)])
    }

    fn with_fields(kind: &'static str, title: &'static str, errors: Vec<FieldError>) -> Self {
        let sentences: Vec<String> = errors.iter().take(5).map(sentence).collect();
        let more = if errors.len() > 5 { "; …" } else { "" };
        let detail = sentences.join("; ") + more;
        let problem = Self::new(StatusCode::BAD_REQUEST, kind, title, detail);
        let field = |FieldError { index, field, message }| FieldProblem { index, field, message };
        Self { errors: errors.into_iter().map(field).collect(), ..problem }
    }

    /// 409: the host is not in the state for this.
    pub fn conflict(detail: impl Into<String>) -> Self {
        let title = "The host is not in the state for this";
        Self::new(StatusCode::CONFLICT, "conflict", title, detail)
    }

    /// 401: the same for every reason, which is nobody's business.
    pub fn unauthorized() -> Self {
        let detail = "Send one token that is known and has not expired: Authorization: Bearer TOKEN, \
                      or X-Api-Key: TOKEN";
        let title = "This needs a valid access token";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", title, detail)
    }

    /// 403: the token is not for this.
    pub fn lacks_scope(token: &str, scope: Scope) -> Self {
        Self::forbidden(format!("The token {token:?} does not have the scope {}", scope.word()))
    }

    /// 403: the token is not for reports of these groups, which stand in the field `field`.
    pub fn lacks_groups(token: &str, field: &str, refused: &[(Option<usize>, &str)]) -> Self {
        let mut names: Vec<&str> = refused.iter().map(|(_, group)| *group).collect();
        names.sort_unstable();
        names.dedup();
        let more = if names.len() > NAMES_MAX { ", …" } else { "" };
        let names: Vec<String> = names.iter().take(NAMES_MAX).map(|n| format!("{n:?}")).collect();
        let plural = if names.len() > 1 { "s" } else { "" };
        let detail = format!(
            "The token {token:?} may not report for the group{plural} {}{more}; nothing was stored",
            names.join(", ")
        );
        let error = |(index, group): &(Option<usize>, &str)| FieldProblem {
            index: *index,
            field: field.to_owned(),
            message: format!("{group:?} is not among the groups of this token"),
        };
        let errors = refused.iter().take(crate::ingest::ERRORS_MAX).map(error).collect();
        Self { errors, ..Self::forbidden(detail) }
    }

    /// 403: a browser sent it for a page of another site, by the word of its `Sec-Fetch-Site`.
    pub fn for_other_site(word: &str) -> Self {
        Self::other_site(format!(
            "A browser sent this for a page of another site (Sec-Fetch-Site: {word:?}); nothing was \
             stored. Only pages of this server itself may write: open them under its own address \
             (PUBLIC_URL). Scripts and pipelines send neither Sec-Fetch-Site nor Origin"
        ))
    }

    /// 403: a browser sent it for a page of another site, which its `Origin` names.
    pub fn from_other_origin(origin: &str) -> Self {
        Self::other_site(format!(
            "A browser sent this for a page of {origin:?}, which is neither PUBLIC_URL nor the host \
             asked; nothing was stored. If that is how people reach this server, set PUBLIC_URL to \
             it. Scripts and pipelines send no Origin"
        ))
    }

    fn other_site(detail: String) -> Self {
        let title = "A browser sent this for another site";
        Self::new(StatusCode::FORBIDDEN, "other-site", title, detail)
    }

    fn forbidden(detail: String) -> Self {
        let title = "The access token is not for this";
        Self::new(StatusCode::FORBIDDEN, "forbidden", title, detail)
    }

    /// 404: no such host.
    pub fn unknown_host(key: &HostKey, near: Vec<HostKey>) -> Self {
        let detail = format!("There is no host {:?} in group {:?}", &*key.host, &*key.server_group);
        Self::not_known(detail, near)
    }

    /// 404: checks of hosts that nobody has reported yet.
    pub fn unknown_hosts(unknown: &[(usize, HostKey)], array: bool, near: Vec<HostKey>) -> Self {
        let first = &unknown[0].1;
        let detail = format!(
            "There is no host {:?} in group {:?}: a check does not create hosts. Report it once \
             with POST /status/pipeline, or add ?create=true",
            &*first.host, &*first.server_group
        );
        let problem = Self::not_known(detail, near);
        let error = |(index, key): &(usize, HostKey)| FieldProblem {
            index: array.then_some(*index),
            field: "host".into(),
            message: format!("{key} is not known"),
        };
        Self {
            errors: unknown.iter().take(crate::ingest::ERRORS_MAX).map(error).collect(),
            ..problem
        }
    }

    fn not_known(mut detail: String, near: Vec<HostKey>) -> Self {
        if !near.is_empty() {
            let names: Vec<String> = near.iter().map(ToString::to_string).collect();
            detail = format!("{detail}. Did you mean {}?", names.join(", "));
        }
        let problem =
            Self::new(StatusCode::NOT_FOUND, "unknown-host", "The host is not known", detail);
        let name = |key: HostKey| NearName {
            server_group: key.server_group.to_string(),
            host: key.host.to_string(),
        };
        Self { near: near.into_iter().map(name).collect(), ..problem }
    }

    /// 404: no such path.
    pub fn no_such_path() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no-such-path",
            "There is nothing at this path",
            "There is nothing at this path; / lists what there is",
        )
    }

    /// 503: no answer out of the database just now.
    fn cannot_read(detail: &str) -> Self {
        let title = "The server cannot read its database";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let problem = Self::new(status, "unavailable", title, detail);
        Self { retry_after: Some(5), ..problem }
    }

    /// 503: an entry that was asked for is not there, or not yet; `newest` is.
    pub fn behind(id: u64, newest: u64) -> Self {
        let detail = format!(
            "There is no entry {id} here yet, the newest is {newest}; nothing was stored. Ask again"
        );
        let title = "The server does not know that entry yet";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "behind", title, detail);
        Self { retry_after: Some(1), quiet: true, ..problem }
    }

    /// 404: the host has another name now.
    pub fn renamed(key: &HostKey, now: &HostKey) -> Self {
        let detail = format!(
            "{}/{} is called {}/{} now",
            key.server_group, key.host, now.server_group, now.host
        );
        Self::not_known(detail, vec![now.clone()])
    }

    /// 404: the host is retired.
    pub fn retired(key: &HostKey) -> Self {
        let (group, host) = (&key.server_group, &key.host);
        let detail = format!("{group}/{host} is retired; its history is at /history and /timeline");
        Self::not_known(detail, Vec::new())
    }

    /// 404: the host was not there at that time.
    pub fn not_then(key: &HostKey) -> Self {
        let (group, host) = (&key.server_group, &key.host);
        let detail = format!("{group}/{host} had not reported then, or was retired");
        Self::not_known(detail, Vec::new())
    }

    /// 404: no report of this id has opened a drift.
    pub fn no_such_episode() -> Self {
        let title = "No episode has or had this id";
        let detail = "No report of this id has opened a drift; /episodes lists those that have";
        Self::new(StatusCode::NOT_FOUND, "unknown-episode", title, detail)
    }

    /// 404: no entry has this id.
    pub fn no_such_entry() -> Self {
        let title = "There is no entry of this id";
        let detail = "Ids are whole numbers from 1 to the size in /checkpoint";
        Self::new(StatusCode::NOT_FOUND, "unknown-entry", title, detail)
    }

    /// 503: an entry is not what its tree says it was.
    pub fn contradicted(id: u64) -> Self {
        tracing::error!(id, "an entry is not what was recorded under its id; run `verify`");
        Self::cannot_read("This entry cannot be proven; the server's log says why")
    }

    /// 405 with `Allow`.
    pub fn method_not_allowed(allow: &str) -> Self {
        let detail = format!("This path takes {allow}");
        let title = "The path does not take this method";
        let problem =
            Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", title, detail);
        Self { allow: Some(allow.to_owned()), ..problem }
    }

    /// 408: the body came too slowly.
    pub fn slow_body(seconds: u64) -> Self {
        let detail = format!("The body was not there after {seconds} s; nothing was stored");
        let problem =
            Self::new(StatusCode::REQUEST_TIMEOUT, "slow-body", "The body came too slowly", detail);
        Self { close: true, ..problem }
    }

    /// 400: the body broke off.
    pub fn broken_body() -> Self {
        let title = "The body broke off";
        let detail = "The body ended before its announced length, or its chunks are malformed";
        let problem = Self::new(StatusCode::BAD_REQUEST, "broken-body", title, detail);
        Self { close: true, ..problem }
    }

    /// 413.
    pub fn body_too_large(limit: usize) -> Self {
        let detail = format!(
            "The body has more than {limit} bytes; nothing was stored. Send fewer reports at once, \
             or raise MAX_BODY_BYTES"
        );
        let title = "The body is too large";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", title, detail)
    }

    /// 415.
    pub fn unsupported_media(detail: &str) -> Self {
        let title = "The body has a type or encoding that is not taken";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media", title, detail)
    }

    /// 503: surely not stored, try again.
    pub fn busy(detail: &str) -> Self {
        let title = "The server takes no writes just now";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", title, detail);
        Self { retry_after: Some(1), ..problem }
    }

    /// 503: bodies in flight take all the room there is for them.
    pub fn too_many_bodies() -> Self {
        let problem = Self::busy("Too many bodies are being sent at once; nothing was stored");
        Self { overload: Some(Overload::Bodies), ..problem }
    }

    /// 503: answers that wait for their clients take all the room there is for them.
    pub fn too_many_answers() -> Self {
        let problem = Self::cannot_read("Too many large answers are being sent at once");
        Self { overload: Some(Overload::Answers), ..problem }
    }

    /// 503 of the readiness probe.
    pub fn not_ready() -> Self {
        let title = "The server is not ready";
        let detail = "The database cannot be read or written; the server's log says why";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", title, detail);
        Self { retry_after: Some(5), ..problem }
    }

    /// 503 of the readiness probe, of the clock.
    pub fn not_ready_in_time(fault: &ClockFault) -> Self {
        let detail = format!("The server's clock cannot be believed: {fault}; {}", fault.remedy());
        Self { detail, ..Self::not_ready() }
    }

    /// What a refused body means; `unknown_hosts` needs more and is built by the caller.
    pub fn from_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Json(why) => Self::invalid_json(&why),
            Refusal::Fields { errors, .. } => Self::invalid_fields(errors),
        }
    }
}

fn sentence(error: &FieldError) -> String {
    match (error.index, error.field.as_str()) {
        (None, "") => error.message.clone(),
        (None, field) => format!("{field}: {}", error.message),
        (Some(index), "") => format!("[{index}] {}", error.message),
        (Some(index), field) => format!("[{index}] {field}: {}", error.message),
    }
}

impl From<RecordError> for Problem {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::UnknownHosts(unknown) => Self::unknown_hosts(&unknown, true, Vec::new()),
            RecordError::KeyReused => Self::new(
                StatusCode::CONFLICT,
                "key-reused",
                "The Idempotency-Key was used with another body",
                "This Idempotency-Key came with another body within the last 7 days; nothing was \
                 stored. Use a new key for each new report",
            ),
            RecordError::Busy => Self {
                overload: Some(Overload::Reports),
                ..Self::busy("Too many reports are waiting; nothing was stored")
            },
            RecordError::DiskFull => {
                let detail = "The server's disk is nearly full; nothing was stored";
                Self { retry_after: Some(30), ..Self::busy(detail) }
            }
            RecordError::Clock(fault) => {
                let remedy = fault.remedy();
                let detail = format!(
                    "The server's clock cannot be believed: {fault}; nothing was stored. On the server: {remedy}"
                );
                Self { retry_after: Some(30), ..Self::busy(&detail) }
            }
            RecordError::NotStored => {
                let detail = "The database does not take writes; nothing was stored";
                Self { retry_after: Some(5), ..Self::busy(detail) }
            }
            RecordError::Unknown => {
                let detail = "The commit itself failed: the report may be stored or not. Send it \
                              again with the same time or Idempotency-Key";
                Self { stored: Some("unknown"), retry_after: Some(5), ..Self::busy(detail) }
            }
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::TooSlow => Self::new(
                StatusCode::BAD_REQUEST,
                "too-wide",
                "The question is too wide",
                "These filters match so rarely that the answer was not found in time; narrow \
                 the window with from= and to=, or name a host",
            ),
            ReadError::Busy => Self {
                overload: Some(Overload::Questions),
                ..Self::cannot_read("Too many questions are being answered at once")
            },
            ReadError::Database(cause) => {
                tracing::error!(%cause, "a read failed");
                Self::cannot_read("The database cannot be read just now")
            }
        }
    }
}
