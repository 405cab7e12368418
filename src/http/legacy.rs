//! The v1 shape goes out: `GET /api/status` and `GET /status.json` (contract section 5).

use super::dto::V1Status;
use super::params::Params;
use super::problem::{Problem, ProblemBody};
use super::stored::stored_files;
use super::{AppState, position, respond};
use crate::domain::state::HostState;
use actix_web::{HttpRequest, HttpResponse, web};

/// One server in the v1 shape
///
/// Exactly v1's six keys: the host whose v1 report came last, else the one that reported last.
/// `?repo=&server=` picks one. With nothing there, the six keys with `UNKNOWN`. Also at
/// `/status.json`.
#[utoipa::path(get, path = "/api/status", tag = "v1", operation_id = "get_v1_status",
    params(
        ("repo" = Option<String>, Query, description = "The group", example = "rsyslog"),
        ("server" = Option<String>, Query, description = "The host", example = "rsyslog-lab")),
    responses(
        (status = 200, description = "The v1 object", body = V1Status<'_>),
        (status = 304, description = "Nothing has changed since the ETag in If-None-Match"),
        (status = 400, description = "A parameter is given twice", body = ProblemBody<'_>, content_type = "application/problem+json")))]
pub async fn current(
    request: HttpRequest,
    app: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request)?;
    let (repo, server) = (params.one("repo"), params.one("server"));
    params.check()?;
    let (state, known) = {
        let board = app.board.read();
        let wanted = board.present().filter(|state| {
            repo.as_deref().is_none_or(|repo| repo == &*state.key.server_group)
                && server.as_deref().is_none_or(|server| server == &*state.key.host)
        });
        (wanted.max_by_key(|state| newness(state)).cloned(), board.size)
    };
    let stored = match &state {
        Some(state) => stored_files(&app.readers, state).await?,
        None => None,
    };
    let body = match &state {
        Some(state) => V1Status::of(state, stored.as_ref()),
        None => V1Status::EMPTY,
    };
    Ok(position::named(respond::json(&request, &body), known))
}

/// A v1 report that came later wins; without any, the newest report.
fn newness(state: &HostState) -> (Option<u64>, crate::domain::place::Place) {
    (state.newest_legacy_id, state.newest.place)
}
