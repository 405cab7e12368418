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
        at("/status/pipeline")
            .get(READ, status::of_group)
            .post(report(Source::Pipeline), reports::pipeline),
        at("/status/cron").get(READ, status::of_group).post(report(Source::Cron), reports::cron),
        at("/status").get(READ, status::all),
        at("/api/status").get(READ, legacy::current).post(report(Source::Legacy), reports::legacy),
        at("/").get(NOTHING, system::index),
        at("/health").get(NOTHING, system::health),
        at("/-/healthy").get(NOTHING, system::health),
        at("/ready").get(NOTHING, system::ready),
        at("/-/ready").get(NOTHING, system::ready),
        at("/status.json").get(READ, legacy::current),
        at("/status/{server_group}").get(READ, status::of_group),
        at("/status/{server_group}/{host}").get(READ, status::of_host),
        at("/summary").get(READ, status::summary),
        at("/rejections").get(READ, status::rejections),
        at("/history").get(READ, history::all),
        at("/history/{server_group}/{host}").get(READ, history::of_host),
        at("/timeline").get(READ, past::timeline::timeline),
        at("/episodes").get(READ, past::episodes::list),
        at("/episodes/{id}").get(READ, past::episodes::one),
        at("/annotations").get(READ, past::annotations::annotations),
        at("/reviews").get(READ, past::reviews::of_stretch),
        at("/reviews/{period}").get(READ, past::reviews::of_period),
        at("/checkpoint").get(NOTHING, proofs::checkpoint),
        at("/checkpoint/key").get(NOTHING, proofs::keys),
        at("/proof").get(READ, proofs::consistency),
        at("/proof/{id}").get(READ, proofs::inclusion),
        at("/hosts/{server_group}/{host}/retire").post(ADMIN, hosts::retire),
        at("/hosts/{server_group}/{host}/alias").post(ADMIN, hosts::alias),
        at("/metrics").get(METRICS, metrics::scrape),
        pushes(at("/metrics/job/{grouping:.*}")),
        pushes(at("/metrics/job@base64/{grouping:.*}")),
        at("/api-docs/openapi.json").get(NOTHING, openapi_document),
        at("/swagger-ui").get(NOTHING, openapi::redirect_to_ui),
        at("/swagger-ui/{file:.*}").get(NOTHING, openapi::swagger_ui),
    ]
}

async fn openapi_document(request: HttpRequest) -> HttpResponse {
    openapi::serve(&request, document())
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
