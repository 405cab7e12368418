//! gitops-status-server: records every drift report, and answers whether each machine still
//! matches Git and what has happened since. `docs/ARCHITECTURE.md` draws the house.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

pub mod board;
pub mod commands;
pub mod config;
pub mod domain;
pub mod files;
pub mod http;
pub mod ingest;
pub mod ledger;
pub mod projection;
pub mod recorder;
pub mod views;
