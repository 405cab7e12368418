//! The promises of the contract, kept by a real server: each test starts one on a port of its own
//! with a database of its own, so tests need no order and run side by side.
//!
//! `harness` runs servers inside this process under a frozen clock, `process` runs the real binary;
//! everything else is named after what it promises.
#![expect(clippy::unwrap_used, reason = "a test that meets None or Err has failed")]

mod ages;
mod backup;
mod batches;
mod bounds;
mod checks;
mod clock;
mod command_line;
mod corpus;
mod courses;
mod disk_failure;
mod documents;
mod durability;
mod edge;
mod exports;
mod guards;
mod harness;
mod history_filters;
mod history_groups;
mod history_pages;
mod hostile;
mod import;
mod inputs;
mod keys;
mod legacy;
mod lock;
mod log;
mod logs;
mod merkle;
mod metrics;
mod migration;
mod order;
mod outputs;
mod past;
mod pipeline;
mod problems;
mod process;
mod proofs;
mod pushes;
mod quarter;
mod random;
mod receipts;
mod refold;
mod refusals;
mod restore;
mod retries;
mod seeds;
mod site;
mod slow;
mod space;
mod status;
mod store;
mod streams;
mod tail;
mod tampering;
mod targets;
mod texts;
mod tidy;
mod token_files;
mod tokens;
mod told;
mod unavailable;
mod wire;
