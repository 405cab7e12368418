//! The only rooms that know actix: routes here, problems in `problem`, one file per noun, wire types
//! in `dto`, the OpenAPI document in `openapi`.
//!
//! A handler extracts, calls, maps. Whatever it needs of the machine it finds in [`AppState`].

mod body;
mod connection;
mod dto;
mod edge;
pub mod history;
mod hosts;
mod legacy;
mod metrics;
mod openapi;
mod params;
pub mod past;
mod prepared;
mod problem;
mod proofs;
mod push;
mod reports;
mod respond;
mod route;
pub mod server;
mod status;
mod system;
mod unread;

pub use body::{BODIES_MAX_BYTES, BODY_DEADLINE};
pub use openapi::document;
pub use params::Params;
pub use problem::Problem;
pub use reports::parse_only;
pub use respond::Prepared;

use crate::board::Board;
use crate::domain::checkpoint::SigningKeys;
use crate::domain::max_age::StaleAfter;
use crate::domain::time::Timestamp;
use crate::recorder::{Clock, Recorder};
use crate::store::Readers;
use actix_web::middleware::from_fn;
use actix_web::web;
use body::BodyBudget;
use ipnet::IpNet;
use metrics::Meters;
use prepared::PreparedStatus;
use route::{at, timed};
use std::sync::Arc;

/// What handlers work with. One for all workers.
pub struct AppState {
    /// The write path.
    pub recorder: Recorder,
    /// Every host's state.
    pub board: Arc<Board>,
    /// Raw history.
    pub readers: Arc<Readers>,
    /// What checkpoints are signed with.
    pub keys: Arc<SigningKeys>,
    /// The clock.
    pub clock: Clock,
    /// How the outside is let in.
    pub rules: Rules,
    budget: BodyBudget,
    status: PreparedStatus,
    meters: Meters,
}

/// Settings that decide what a request may do.
#[derive(Debug, Clone)]
pub struct Rules {
    /// `max_age` for reports that bring none.
    pub stale_after: StaleAfter,
    /// Whether checks may create hosts.
    pub cron_creates_hosts: bool,
    /// Bytes a body may have.
    pub max_body_bytes: usize,
    /// The job whose stacks `/metrics` shows as `drift_stack_*`; empty for none.
    pub pushgateway_compat_job: String,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl AppState {
    /// Puts the parts together.
    pub fn new(
        recorder: Recorder,
        board: Arc<Board>,
        readers: Arc<Readers>,
        keys: Arc<SigningKeys>,
        clock: Clock,
        rules: Rules,
    ) -> Self {
        let (budget, status) = (BodyBudget::default(), PreparedStatus::default());
        let meters = Meters::new();
        Self { recorder, board, readers, keys, clock, rules, budget, status, meters }
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

/// Every path and what it takes. `document()` describes the same list; a test compares them.
pub fn routes(config: &mut web::ServiceConfig) {
    for endpoint in [
        // Reports first: paths are tried in this order.
        at("/status/pipeline").get(status::of_group).post(reports::pipeline),
        at("/status/cron").get(status::of_group).post(reports::cron),
        at("/api/status").get(legacy::current).post(reports::legacy),
        at("/").get(system::index),
        at("/health").get(system::health),
        at("/-/healthy").get(system::health),
        at("/ready").get(system::ready),
        at("/-/ready").get(system::ready),
        at("/status.json").get(legacy::current),
        at("/status").get(status::all),
        at("/status/{server_group}").get(status::of_group),
        at("/status/{server_group}/{host}").get(status::of_host),
        at("/summary").get(status::summary),
        at("/rejections").get(status::rejections),
        at("/history").get(history::all),
        at("/history/{server_group}/{host}").get(history::of_host),
        at("/timeline").get(past::timeline::timeline),
        at("/episodes").get(past::episodes::list),
        at("/episodes/{id}").get(past::episodes::one),
        at("/annotations").get(past::annotations::annotations),
        at("/reviews").get(past::reviews::of_stretch),
        at("/reviews/{period}").get(past::reviews::of_period),
        at("/checkpoint").get(proofs::checkpoint),
        at("/checkpoint/key").get(proofs::keys),
        at("/proof").get(proofs::consistency),
        at("/proof/{id}").get(proofs::inclusion),
        at("/hosts/{server_group}/{host}/retire").post(hosts::retire),
        at("/hosts/{server_group}/{host}/alias").post(hosts::alias),
        at("/metrics").get(metrics::scrape),
        at("/metrics/job/{grouping:.*}").post(push::post).put(push::put).delete(push::delete),
        at("/metrics/job@base64/{grouping:.*}")
            .post(push::post)
            .put(push::put)
            .delete(push::delete),
        at("/api-docs/openapi.json").get(openapi::serve),
        at("/swagger-ui").get(openapi::redirect_to_ui),
        at("/swagger-ui/{file:.*}").get(openapi::swagger_ui),
    ] {
        endpoint.register(config);
    }
    let not_found = web::to(system::not_found);
    let timed = from_fn(|request, next| timed(Arc::from("none"), request, next));
    config.default_service(not_found.wrap(timed));
}
