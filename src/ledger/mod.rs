//! The ledger: what is true. Entries in the order in which they came, what they refer to by number, the tree
//! over them, and what no entry says: idempotency keys, members of pushes, refused reports, what came in one
//! array. Rows are appended and never changed. It knows nothing of what follows from them.

pub mod append;
pub mod audit;
pub mod batch;
pub mod dictionary;
pub mod direct;
pub mod lookups;
pub mod numbers;
pub mod pushes;
pub mod rows;
pub mod steps;
pub mod tree;

pub use audit::{Audit, Fault, audit};
pub use batch::{
    CommitError, KeyRecord, NewEntry, PushedGrouping, REJECTIONS_KEPT, Rejection, Truth,
};
pub use dictionary::Dictionary;
pub use pushes::LastRuns;
pub use rows::NarrowEntry;
pub use tree::{TreeHead, entry_hash, grow_over_history, hashes_of, note_signed, tree_head_of};
