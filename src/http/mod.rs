//! The only rooms that know actix: routes here, problems in `problem`, one file per noun, wire types
//! in `dto`, the OpenAPI document in `openapi`.
//!
//! A handler extracts, calls, maps. Whatever it needs of the machine it finds in [`AppState`].

mod access;
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
mod unread;

pub use access::Tokens;
pub use body::{BODIES_MAX_BYTES, BODY_DEADLINE};
pub use openapi::document;
pub use params::Params;
pub use problem::Problem;
pub use reports::parse_only;
pub use respond::Prepared;

use crate::board::Board;
use crate::domain::checkpoint::SigningKeys;
use crate::domain::max_age::StaleAfter;
use crate::domain::report::Source;
use crate::domain::time::Timestamp;
use crate::recorder::{Clock, Recorder};
use crate::store::{Readers, Space};
use access::{ADMIN, METRICS, NOTHING, READ, report};
use actix_web::middleware::from_fn;
use actix_web::web;
use body::BodyBudget;
use ipnet::IpNet;
use metrics::Meters;
use prepared::PreparedStatus;
use route::{Endpoint, at, timed};
use std::sync::Arc;
use url::Url;

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
    /// The room on the database's disk.
    pub space: Arc<Space>,
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
    /// Whose `X-Forwarded-For` and `X-Forwarded-Host` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The server's address as people see it, if the operator has said it.
    pub public_url: Option<Url>,
    /// Who may do what.
    pub tokens: Tokens,
}

impl AppState {
    /// Puts the parts together.
    pub fn new(
        recorder: Recorder,
        board: Arc<Board>,
        readers: Arc<Readers>,
        keys: Arc<SigningKeys>,
        clock: Clock,
        space: Arc<Space>,
        rules: Rules,
    ) -> Self {
        let (budget, status) = (BodyBudget::default(), PreparedStatus::default());
        let meters = Meters::new();
        Self { recorder, board, readers, keys, clock, space, rules, budget, status, meters }
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

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
