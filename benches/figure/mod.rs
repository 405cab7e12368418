//! One file per figure.

mod arrays;
mod beside;
mod export;
mod flask;
mod growth;
mod history;
mod ingest;
mod latency;
mod memory;
mod proofs;
mod pushgateway;
mod review;
mod scrape;
mod size;
mod start;
mod status;

use crate::support::plan::Plan;

/// A figure: its name, and what runs it.
pub type Figure = (&'static str, fn(&Plan));

/// All of them, in the order in which they run.
pub const ALL: &[Figure] = &[
    ("ingest", ingest::run),
    ("arrays", arrays::run),
    ("latency", latency::run),
    ("pushgateway", pushgateway::run),
    ("flask", flask::run),
    ("status", status::run),
    ("history", history::run),
    ("review", review::run),
    ("start", start::run),
    ("export", export::run),
    ("proofs", proofs::run),
    ("scrape", scrape::run),
    ("memory", memory::run),
    ("growth", growth::run),
    ("size", size::run),
    ("beside", beside::run),
];
