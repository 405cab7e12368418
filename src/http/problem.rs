//! Problems: every error answer, RFC 9457 `application/problem+json`. `table` has them all with their
//! statuses; the inner text of a failure goes to the log, never into the body.

mod table;

use super::overload::Overload;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use utoipa::ToSchema;

/// The media type of problems.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// What every problem's `type` begins with.
pub const TYPE_PREFIX: &str = "urn:gitops-status-server:problem:";

/// A problem on its way out.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    errors: Vec<FieldProblem>,
    near: Vec<NearName>,
    stored: Option<&'static str>,
    allow: Option<String>,
    retry_after: Option<u32>,
    overload: Option<Overload>,
    /// Whether the log is spared: whoever asks decides how often it comes.
    quiet: bool,
    /// Whether the connection cannot be used further (part of a body was not read).
    pub close: bool,
}

/// One wrong field or parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldProblem {
    /// The element's index, if the body was an array.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 0)]
    pub index: Option<usize>,
    /// The field or parameter; empty for the body or element itself.
    #[schema(example = "status")]
    pub field: String,
    /// What is wrong, and what is allowed.
    #[schema(example = "must be one of synced, out_of_sync, failed, unknown")]
    pub message: String,
}

/// A name a client may have meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct NearName {
    /// The server group.
    #[schema(example = "rsyslog-prod")]
    pub server_group: String,
    /// The host.
    #[schema(example = "rsyslog-01")]
    pub host: String,
}

/// Problem details (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody<'a> {
    /// What kind of problem: a stable URN.
    #[schema(example = "urn:gitops-status-server:problem:invalid-fields")]
    r#type: String,
    /// The kind of problem in a few words, always the same for a type.
    #[schema(example = "Some fields are not valid")]
    title: &'a str,
    /// The HTTP status.
    #[schema(example = 400)]
    status: u16,
    /// What was wrong this time, and what to do.
    #[schema(example = "status: must be one of synced, out_of_sync, failed, unknown")]
    detail: &'a str,
    /// The request's id; the server's log names it too.
    #[schema(example = "urn:gitops-status-server:request:5f0c9a3e-1")]
    instance: String,
    /// Every wrong field.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldProblem],
    /// Known hosts with a name close to the one asked for, best first.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    near: &'a [NearName],
    /// `unknown` if the commit itself failed, so that the report may be stored or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<&'a str>,
}

impl Problem {
    fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            kind,
            title,
            detail: detail.into(),
            errors: Vec::new(),
            near: Vec::new(),
            stored: None,
            allow: None,
            retry_after: None,
            overload: None,
            quiet: false,
            close: false,
        }
    }

    /// The last word of its type.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The kind in a few words.
    pub fn title(&self) -> &'static str {
        self.title
    }

    /// What was wrong this time.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Whether the server could not do it, whatever was sent.
    pub fn is_ours(&self) -> bool {
        self.status.is_server_error()
    }

    /// Whether nobody knows who asked.
    pub fn is_of_a_stranger(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    /// The sentence for `GET /rejections`.
    pub fn reason(&self) -> String {
        format!("{}: {}", self.status.as_u16(), self.detail)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status.as_u16(), self.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let id = request_id();
        if self.status.is_server_error() && self.overload.is_none() && !self.quiet {
            tracing::error!(request = id, problem = self.kind, detail = self.detail, "answered");
        } else {
            // The detail of a refusal quotes the request. For an overload see `overload`.
            tracing::debug!(request = id, problem = self.kind, "answered");
        }
        let body = ProblemBody {
            r#type: format!("{TYPE_PREFIX}{}", self.kind),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            instance: format!("urn:gitops-status-server:request:{id}"),
            errors: &self.errors,
            near: &self.near,
            stored: self.stored,
        };
        let mut response = HttpResponse::build(self.status);
        response.content_type(PROBLEM_JSON);
        if let Some(allow) = &self.allow {
            response.insert_header((header::ALLOW, allow.as_str()));
        }
        if self.is_of_a_stranger() {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if self.close {
            response.force_close();
        }
        let body = serde_json::to_vec(&body).expect("a problem has only string keys");
        let mut response = response.body(body);
        if let Some(overload) = self.overload {
            response.extensions_mut().insert(overload);
        }
        response
    }
}

/// Unique within this process's life and, by its random part, among processes.
fn request_id() -> String {
    static PROCESS: OnceLock<u32> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(1);
    // Without randomness ids are less unique, and nothing else.
    let process = PROCESS.get_or_init(|| getrandom::u32().unwrap_or(0));
    format!("{process:08x}-{:x}", COUNT.fetch_add(1, Ordering::Relaxed))
}
