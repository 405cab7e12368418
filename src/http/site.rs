//! Writes that a browser sends for a page of another site: refused, whatever they hold (contract
//! section 10). Without this, any page in an engineer's browser could write history: a browser sends
//! a POST of plain text anywhere without asking first.
//!
//! It stands in front of all routes, so that a new one cannot forget it. A browser says for whom it
//! sends, and a page cannot change what it says:
//!
//! - `Sec-Fetch-Site` decides if it is there. Browsers send it to `https` addresses and to localhost.
//! - Else `Origin` must be that of `PUBLIC_URL`, or name the host asked. Hosts are compared with their
//!   ports, each scheme having its own usual one. The scheme itself is not compared: behind a proxy
//!   that ends TLS we are asked by `http`, and nobody tells us otherwise.
//! - A request with neither is no browser's: curl, Ansible and Go send none of them.

use super::problem::Problem;
use super::{AppState, access, body, proxies};
use crate::domain::access::Denial;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, ResponseError, web};
use std::time::Instant;
use url::Url;

/// For whom a browser sends (W3C Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Its words for a page of this server, and for a person who typed the address.
const OWN: [&str; 2] = ["same-origin", "none"];
/// Characters of a header that an answer repeats.
const SHOWN_MAX_CHARS: usize = 100;

/// Answers writes that a browser sends for another site; all else goes on.
pub async fn no_other_site_writes(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let begun = Instant::now();
    let app = request.app_data::<web::Data<AppState>>().cloned();
    let refused = match &app {
        Some(app) if !request.method().is_safe() => judge(&request, app).err(),
        _ => None,
    };
    let (Some(app), Some(mut problem)) = (app, refused) else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    // As `/metrics` calls the route; nothing of what the client wrote itself.
    let route = request.match_pattern().unwrap_or_else(|| "none".into()).replace(":.*}", "}");
    let route = if route.len() > 1 { route.trim_end_matches('/') } else { &route };
    access::note(&app, Denial::OtherSite, None, Some(route));
    problem.close = !body::drain(&mut request.take_payload()).await;
    app.meters.answered(request.method(), route, problem.status_code(), begun.elapsed());
    Ok(request.into_response(problem.error_response()))
}

fn judge(request: &ServiceRequest, app: &AppState) -> Result<(), Problem> {
    let headers = request.headers();
    let mut sites = headers.get_all(SEC_FETCH_SITE).peekable();
    if sites.peek().is_some() {
        let foreign = sites.find(|site| !OWN.iter().any(|own| site.as_bytes() == own.as_bytes()));
        return foreign
            .map_or(Ok(()), |site| Err(Problem::for_other_site(&shown(site.as_bytes()))));
    }
    for origin in headers.get_all(header::ORIGIN) {
        let text = origin.to_str().unwrap_or_default();
        if !is_ours(text, request, app) {
            return Err(Problem::from_other_origin(&shown(origin.as_bytes())));
        }
    }
    Ok(())
}

/// Whether `Origin` names this server.
fn is_ours(origin: &str, request: &ServiceRequest, app: &AppState) -> bool {
    let Some((scheme, host)) = origin.split_once("://") else { return false };
    let Some(origin) = address(scheme, host) else { return false };
    let is_public = |public: &Url| public.origin() == origin.origin();
    if app.rules.public_url.as_ref().is_some_and(is_public) {
        return true;
    }
    let peer = request.peer_addr().map(|peer| peer.ip());
    let forwarded = proxies::forwarded_hosts(peer, request.headers(), &app.rules.trusted_proxies);
    let mut asked = asked_host(request.headers(), request).into_iter().chain(forwarded);
    asked.any(|host| address(origin.scheme(), &host).is_some_and(|a| a.origin() == origin.origin()))
}

/// The host that the client itself asked for.
fn asked_host(headers: &HeaderMap, request: &ServiceRequest) -> Option<String> {
    let header = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    header.map(str::to_owned).or_else(|| request.uri().authority().map(ToString::to_string))
}

/// A host with its port as the address of a server: in lower case, without the scheme's usual port.
/// `None` for what is more than that, or less, and for other schemes (`null` has none).
fn address(scheme: &str, host: &str) -> Option<Url> {
    let scheme = scheme.to_ascii_lowercase();
    let is_host = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic());
    if !matches!(scheme.as_str(), "http" | "https")
        || !is_host
        || host.contains(['/', '\\', '?', '#', '@'])
    {
        return None;
    }
    Url::parse(&format!("{scheme}://{host}/")).ok()
}

fn shown(value: &[u8]) -> String {
    String::from_utf8_lossy(value).chars().take(SHOWN_MAX_CHARS).collect()
}
