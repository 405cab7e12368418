//! The list of routes: every path, its handlers, and what they need; and the document that describes them.

use super::access::{ADMIN, METRICS, NOTHING, READ, report};
use super::route::{Endpoint, at, timed};
use super::{
    history, hosts, legacy, metrics, openapi, past, proofs, push, reports, status, system,
};
use crate::domain::report::Source;
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, web};
use std::sync::{Arc, OnceLock};

/// Every path, what it takes, and what that needs: no method stands here without. `document()`
/// describes the same list; a test compares them.
fn endpoints() -> Vec<Endpoint> {
    vec![
        // What comes most often first: paths are tried in this order.
        shows("/status/pipeline")
            .get(READ, status::of_group)
            .post(report(Source::Pipeline), reports::pipeline),
        shows("/status/cron").get(READ, status::of_group).post(report(Source::Cron), reports::cron),
        shows("/status").get(READ, status::all),
        shows("/api/status")
            .get(READ, legacy::current)
            .post(report(Source::Legacy), reports::legacy),
        at("/").get(NOTHING, system::index),
        at("/health").get(NOTHING, system::health),
        at("/-/healthy").get(NOTHING, system::health),
        at("/ready").get(NOTHING, system::ready),
        at("/-/ready").get(NOTHING, system::ready),
        shows("/status.json").get(READ, legacy::current),
        shows("/status/{server_group}").get(READ, status::of_group),
        shows("/status/{server_group}/{host}").get(READ, status::of_host),
        shows("/summary").get(READ, status::summary),
        shows("/rejections").get(READ, status::rejections),
        shows("/history").get(READ, history::all),
        shows("/history/{server_group}/{host}").get(READ, history::of_host),
        shows("/timeline").get(READ, past::timeline::timeline),
        shows("/episodes").get(READ, past::episodes::list),
        shows("/episodes/{id}").get(READ, past::episodes::one),
        shows("/annotations").get(READ, past::annotations::annotations),
        shows("/reviews").get(READ, past::reviews::of_stretch),
        shows("/reviews/{period}").get(READ, past::reviews::of_period),
        shows("/checkpoint").get(NOTHING, proofs::checkpoint),
        at("/checkpoint/key").get(NOTHING, proofs::keys),
        shows("/proof").get(READ, proofs::consistency),
        shows("/proof/{id}").get(READ, proofs::inclusion),
        shows("/hosts/{server_group}/{host}/retire").post(ADMIN, hosts::retire),
        shows("/hosts/{server_group}/{host}/alias").post(ADMIN, hosts::alias),
        shows("/metrics").get(METRICS, metrics::scrape),
        pushes(shows("/metrics/job/{grouping:.*}")),
        pushes(shows("/metrics/job@base64/{grouping:.*}")),
        at("/api-docs/openapi.json").get(NOTHING, openapi_document),
        at("/swagger-ui").get(NOTHING, openapi::redirect_to_ui),
        at("/swagger-ui/{file:.*}").get(NOTHING, openapi::swagger_ui),
    ]
}

async fn openapi_document(request: HttpRequest) -> HttpResponse {
    openapi::serve(&request, document())
}

/// A path whose answers show what is recorded.
fn shows(path: &'static str) -> Endpoint {
    at(path).shows_history()
}

fn pushes(endpoint: Endpoint) -> Endpoint {
    let needs = report(Source::Pushgateway);
    endpoint.post(needs, push::post).put(needs, push::put).delete(needs, push::delete)
}

/// Puts all of it into the application. What is not there, or not taken, is said to everybody: the
/// document, which is open, says the same.
pub fn routes(config: &mut web::ServiceConfig) {
    for endpoint in endpoints() {
        endpoint.register(config);
    }
    let not_found = web::to(system::not_found);
    let timed = from_fn(|request, next| timed(Arc::from("none"), request, next));
    config.default_service(not_found.wrap(timed));
}

/// The document as committed in `openapi/openapi.json`: pretty-printed, with a line end.
pub fn document() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| openapi::text(&endpoints()))
}
