//! The server itself: who it is, whether it lives, whether it is ready.

use super::dto::{Health, Index};
use super::problem::{Problem, ProblemBody};
use super::{AppState, respond};
use actix_web::{HttpRequest, HttpResponse, web};

/// Name, version and links
///
/// What this server is and where to go from here.
#[utoipa::path(get, path = "/", tag = "system", operation_id = "index",
    responses((status = 200, description = "Who answers", body = Index<'_>)))]
pub async fn index(request: HttpRequest, state: web::Data<AppState>) -> HttpResponse {
    let links = [
        ("checkpoint", "/checkpoint"),
        ("documentation", "/swagger-ui/"),
        ("health", "/health"),
        ("history", "/history"),
        ("metrics", "/metrics"),
        ("openapi", "/api-docs/openapi.json"),
        ("ready", "/ready"),
        ("rejections", "/rejections"),
        ("status", "/status"),
        ("summary", "/summary"),
    ];
    let index = Index {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        origin: state.recorder.origin(),
        links: links.into(),
    };
    respond::json(&request, &index)
}

/// Whether the process lives
///
/// Always 200 while the process runs; it asks nothing of the database. Alias: `/-/healthy`.
#[utoipa::path(get, path = "/health", tag = "system", operation_id = "health",
    responses((status = 200, description = "It lives", body = Health)))]
pub async fn health(request: HttpRequest) -> HttpResponse {
    respond::json(&request, &Health { status: "ok" })
}

/// Whether the server can do its work
///
/// Really asks the database, for a read and for its write lock; and the clock must be such that it can be
/// believed. Alias: `/-/ready`.
#[utoipa::path(get, path = "/ready", tag = "system", operation_id = "ready",
    responses(
        (status = 200, description = "It can read and write", body = Health, example = json!({"status": "ready"})),
        (status = 503, description = "It cannot; the log says why", body = ProblemBody<'_>, content_type = "application/problem+json")))]
pub async fn ready(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    if state.readers.size().await.is_err() || !state.recorder.can_write().await {
        let fault = state.recorder.clock_fault();
        return Err(fault.map_or_else(Problem::not_ready, |f| Problem::not_ready_in_time(&f)));
    }
    Ok(respond::json(&request, &Health { status: "ready" }))
}

/// Every path that is not there.
pub async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::no_such_path())
}
