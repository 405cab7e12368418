//! The only rooms that know actix: routes here, problems in `problem`, one file per noun, wire types
//! in `dto`, the OpenAPI document in `openapi`.
//!
//! A handler extracts, calls, maps. Whatever it needs of the machine it finds in [`AppState`] (`app`).

mod access;
mod app;
mod body;
mod connection;
mod dto;
mod edge;
pub mod history;
mod host_filter;
mod hosts;
mod legacy;
mod metrics;
mod openapi;
mod overload;
mod params;
pub mod past;
mod prepared;
mod problem;
mod proofs;
mod proxies;
mod push;
mod reports;
mod respond;
mod route;
pub mod server;
mod site;
mod status;
mod system;
mod tokens;
mod unread;

pub use app::{AppState, Rules};
pub use body::{BODIES_MAX_BYTES, BODY_DEADLINE};
pub use openapi::document;
pub use params::Params;
pub use problem::Problem;
pub use reports::parse_only;
pub use respond::Prepared;
pub use tokens::Tokens;

use crate::domain::report::Source;
use access::{ADMIN, METRICS, NOTHING, READ, report};
use actix_web::middleware::from_fn;
use actix_web::web;
use route::{Endpoint, at, timed};
use std::sync::Arc;

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
        at("/api-docs/openapi.json").get(NOTHING, openapi::serve),
        at("/swagger-ui").get(NOTHING, openapi::redirect_to_ui),
        at("/swagger-ui/{file:.*}").get(NOTHING, openapi::swagger_ui),
    ]
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
