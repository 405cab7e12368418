//! Who may: what a route needs, the tokens in force, and who a request comes from (contract section
//! 10). Which token may do what is the domain's; here headers are read and refusals written.
//!
//! A request is judged by its head, before anything of its body is read; for which groups it reports
//! is judged when its reports are parsed.

use super::app::AppState;
use super::problem::Problem;
use super::{body, outcomes, position};
use crate::domain::access::{Caller, Denial, Scope};
use crate::domain::report::Source;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpRequest, ResponseError, web};
use std::sync::Arc;

/// The scheme of `Authorization`.
const BEARER: &[u8] = b"Bearer";
/// The header for clients that cannot send `Authorization`.
pub const API_KEY: &str = "X-Api-Key";

/// What a method of a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: no token is looked at.
    Nothing,
    /// A scope.
    Scope(Scope),
    /// The scope `report`, for reports of a source.
    Report(Source),
}

/// Open to everybody, with and without `TOKENS_FILE`.
pub const NOTHING: Needs = Needs::Nothing;
/// Reads what is recorded.
pub const READ: Needs = Needs::Scope(Scope::Read);
/// Reads `/metrics`.
pub const METRICS: Needs = Needs::Scope(Scope::Metrics);
/// Retires and renames.
pub const ADMIN: Needs = Needs::Scope(Scope::Admin);

/// Takes reports of a source.
pub const fn report(source: Source) -> Needs {
    Needs::Report(source)
}

impl Needs {
    /// The scope, if it needs one.
    pub fn scope(self) -> Option<Scope> {
        match self {
            Self::Nothing => None,
            Self::Scope(scope) => Some(scope),
            Self::Report(_) => Some(Scope::Report),
        }
    }
}

/// Lets a request in, or answers it. Who it comes from is then among its extensions. If the route
/// `shows_history`, it is let in when the entry is there that it asks for.
pub async fn admitted(
    needs: Arc<[(&'static str, Needs)]>,
    shows_history: bool,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let taken = needs.iter().find(|(method, _)| *method == request.method().as_str());
    let needs = taken.map_or(NOTHING, |(_, needs)| *needs);
    let app = request.app_data::<web::Data<AppState>>().cloned();
    let refused = match app.as_ref().map(|app| (app, judge(needs, &request, app))) {
        Some((app, Ok(()))) if shows_history && taken.is_some() => {
            position::awaited(request.query_string(), &app.board).await.err()
        }
        Some((_, judged)) => judged.err(),
        None => None,
    };
    let (Some(app), Some(mut problem)) = (app, refused) else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    problem.close = !body::drain(&mut request.take_payload()).await;
    if let Needs::Report(source) = needs {
        problem = outcomes::reject(&app, source, problem, vec![(None, None)], 1).await;
    }
    Ok(request.into_response(problem.error_response()))
}

fn judge(needs: Needs, request: &ServiceRequest, app: &AppState) -> Result<(), Problem> {
    let Some(scope) = needs.scope() else { return Ok(()) };
    let Some(set) = app.rules.tokens.in_force() else { return Ok(()) };
    let caller = set.caller(&presented(request.headers()), app.now());
    let admitted = caller.map_err(|denial| (denial, None)).and_then(|caller| {
        let may = caller.may(scope);
        may.map(|()| caller.clone()).map_err(|denial| (denial, Some(caller)))
    });
    match admitted {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            Ok(())
        }
        Err((denial, caller)) => {
            let token = caller.as_ref().and_then(Caller::name);
            note(app, denial, token, request.match_pattern().as_deref());
            Err(token.map_or_else(Problem::unauthorized, |name| Problem::lacks_scope(name, scope)))
        }
    }
}

/// Counts a refusal, and says why in the log, which the client is not told. Names the route, not the
/// path: clients put into that what they like.
pub(super) fn note(app: &AppState, denial: Denial, token: Option<&str>, route: Option<&str>) {
    app.meters.denied(denial);
    tracing::debug!(reason = denial.word(), token, route, "not admitted");
}

/// The distinct tokens that a request presents. Other schemes of `Authorization` are somebody else's.
fn presented(headers: &HeaderMap) -> Vec<&str> {
    let bearer = headers.get_all(header::AUTHORIZATION).filter_map(|value| {
        let (scheme, token) = value.as_bytes().split_at_checked(BEARER.len())?;
        let follows = token.first().is_none_or(|byte| *byte == b' ');
        (scheme.eq_ignore_ascii_case(BEARER) && follows).then_some(token)
    });
    let key = headers.get_all(API_KEY).map(HeaderValue::as_bytes);
    let mut tokens = Vec::new();
    for token in bearer.chain(key) {
        // What is no text is a token, too: nobody's.
        let token = std::str::from_utf8(token).unwrap_or("\u{fffd}").trim();
        if !tokens.contains(&token) {
            tokens.push(token);
        }
    }
    // Whoever sends an empty one alone meant to have one: a variable that is not set.
    if tokens.len() > 1 {
        tokens.retain(|token| !token.is_empty());
    }
    tokens
}

/// The name of the token that a request came with.
pub fn token_name(request: &HttpRequest) -> Option<String> {
    request.extensions().get::<Caller>()?.name().map(str::to_owned)
}

/// Whether whoever sent this may be told what is recorded.
pub fn may_read(request: &HttpRequest) -> bool {
    request.extensions().get::<Caller>().is_none_or(|caller| caller.may(Scope::Read).is_ok())
}

/// Whether the sender of a report may be told of hosts of a group.
pub fn may_know_of(request: &HttpRequest, group: &str) -> bool {
    request.extensions().get::<Caller>().is_none_or(|caller| {
        caller.may(Scope::Read).is_ok() || caller.may_report_for(group).is_ok()
    })
}

/// Whether whoever sent this may report for all of these groups; else the problem, and the places of
/// those that are not theirs. `field` is how the body calls them.
pub fn may_report_for(
    request: &HttpRequest,
    app: &AppState,
    field: &str,
    groups: &[&str],
    array: bool,
) -> Result<(), (Problem, Vec<usize>)> {
    let extensions = request.extensions();
    let Some(caller) = extensions.get::<Caller>() else { return Ok(()) };
    let denial = |(at, group): (usize, &&str)| Some((at, caller.may_report_for(group).err()?));
    let denied: Vec<(usize, Denial)> = groups.iter().enumerate().filter_map(denial).collect();
    let Some((_, first)) = denied.first() else { return Ok(()) };
    note(app, *first, caller.name(), request.match_pattern().as_deref());
    let places: Vec<usize> = denied.iter().map(|(at, _)| *at).collect();
    let Some(name) = caller.name() else { return Err((Problem::unauthorized(), places)) };
    let refused: Vec<(Option<usize>, &str)> =
        places.iter().map(|at| (array.then_some(*at), groups[*at])).collect();
    Err((Problem::lacks_groups(name, field, &refused), places))
}
