//! Projections: what follows from the ledger, kept at hand. Each host's state, its segments and episodes, and
//! the index of its entries by time; and how far all of that is (the watermark). Everything here can be made
//! anew from the ledger at any time.
//!
//! [`Writer`] appends a batch and projects with the same transaction; `refolder` folds a host anew beside it.

pub mod batch;
mod changes;
mod commit;
pub mod compare;
pub mod course_value;
pub mod courses;
pub mod fold;
pub mod index;
mod listing;
pub mod load;
mod lookups;
mod plan;
mod rebuild;
pub mod refold;
pub mod refolder;
mod refolds;
mod replay;
pub mod state_value;
mod steps;
mod tail;
pub mod whole;
pub mod writer;

pub use batch::{Batch, Derived, Renaming};
pub use compare::{Difference, Verdict, verify};
pub use courses::Names;
pub use load::Loaded;
pub use lookups::{Twin, TwinKey, repeats};
pub use refold::{catch_up, fold_anew, rebuild};
pub use refolder::{Refold, Refolded, Refolder};
pub use whole::{Findings, check_whole};
pub use writer::{Pace, Writer};
