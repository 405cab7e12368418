//! The only room that knows the drivers (sqlx; rusqlite for the usual batch) and refinery.
//!
//! [`Writer`] alone writes: it loads the fold, looks things up for the recorder,
//! and commits batches whole. [`Readers`] are read-only connections with a deadline inside SQLite;
//! they answer questions about raw history. Nothing here asks for the time, and nothing here knows
//! HTTP.

mod connect;
mod copy;
mod courses;
mod dictionary;
mod failure;
mod guards;
mod history;
mod inode;
mod lock;
mod log;
mod lookback;
mod migrate;
mod opening;
mod place;
mod readers;
mod refold;
mod rows;
mod soundness;
mod space;
mod threads;
mod tree;
mod trouble;
mod usable;
mod whole;
mod writer;

pub use connect::{Location, OpenError};
pub use copy::{CopyError, Watch, copy_to, let_go};
pub use courses::Names;
pub use dictionary::Dictionary;
pub use guards::{Guards, check_guards, put_back};
pub use history::{Filters, Hosts, Order, Page, PageRequest, Window};
pub use lock::{Hold, Role};
pub use log::{LARGE_BYTES, LOG_STRETCH, LogFolder};
pub use lookback::episodes::{Closed, EpisodeRecord};
pub use lookback::{HostChoice, Lookback, LookbackError, Past, Question};
pub use opening::{check_only, create_or_check, refuse_strange_triggers};
pub use place::{
    PRIVATE, RESTORING, beside, close_to_others, folder_of, followed, free_bytes, give_to_owner_of,
    sync_folder, warning,
};
pub use readers::{ReadError, Readers, Settle, Settler};
pub use refold::{Difference, Progress, Verdict, fold_anew, rebuild, verify};
pub use rows::NarrowEntry;
pub use soundness::check_file;
pub use space::{FreeBytes, Space};
pub use tree::audit::{Audit, Fault, audit};
pub use tree::{TreeHead, entry_hash, grow_over_history, hashes_of, note_signed, tree_head_of};
pub use trouble::Trouble;
pub use usable::check_names;
pub use whole::{Findings, Head, check_whole};
pub use writer::{
    Batch, CommitError, Disorder, KeyRecord, LastRuns, Loaded, NewEntry, Pace, Patience,
    PushedGrouping, REJECTIONS_KEPT, Refolded, Rejection, Renaming, Twin, Writer, settled_of,
};
