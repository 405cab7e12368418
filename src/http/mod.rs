//! The only rooms that know actix: the list of routes in `routes`, problems in `problem`, one file
//! per noun, wire types in `dto`, the OpenAPI document in `openapi`.
//!
//! A handler extracts, calls, maps. Whatever it needs of the machine it finds in [`AppState`] (`app`).

mod access;
mod app;
mod body;
mod connection;
mod dto;
mod edge;
mod flight;
pub mod history;
mod host_filter;
mod hosts;
mod lanes;
mod legacy;
mod metrics;
mod openapi;
mod outcomes;
mod overload;
mod params;
pub mod past;
mod paths;
mod position;
mod prepared;
mod problem;
mod proofs;
mod proxies;
mod push;
mod reports;
mod respond;
mod route;
mod routes;
pub mod server;
mod site;
mod status;
mod stored;
mod system;
mod tokens;
mod unread;

pub use app::{AppState, Rules};
pub use body::{BODIES_MAX_BYTES, BODY_DEADLINE};
pub use flight::{ANSWERS_MAX_BYTES, WINDOWS_MAX_BYTES};
pub use lanes::LANE_ANSWERS;
pub use params::Params;
pub use problem::Problem;
pub use reports::parse_only;
pub use respond::Prepared;
pub use routes::{document, routes};
pub use tokens::Tokens;
