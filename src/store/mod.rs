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
pub use lookback::{Closed, EpisodeRecord, HostChoice, Lookback, LookbackError, Past, Question};
pub use opening::{check_only, create_or_check, refuse_strange_triggers};
pub use place::{
    PRIVATE, RESTORING, beside, check_names, close_to_others, folder_of, followed, free_bytes,
    give_to_owner_of, sync_folder, warning,
};
pub use readers::{ReadError, Readers, Settle, Settler};
pub use refold::{Difference, Progress, Verdict, fold_anew, rebuild, verify};
pub use rows::NarrowEntry;
pub use soundness::check_file;
pub use space::{FreeBytes, Space};
pub use tree::{
    Audit, Fault, TreeHead, audit, entry_hash, grow_over_history, hashes_of, note_signed,
    tree_head_of,
};
pub use whole::{Findings, Head, check_whole};
pub use writer::{
    Batch, CommitError, Disorder, KeyRecord, LastRuns, Loaded, NewEntry, Pace, Patience,
    PushedGrouping, REJECTIONS_KEPT, Refolded, Rejection, Renaming, Twin, Writer, settled_of,
};

use crate::domain::shown::shown;

/// The database failed, or holds what cannot be. For the log, never for a client.
#[derive(Debug, thiserror::Error)]
#[error("{}", shown(&.0.to_string()))] // SQLite quotes names out of the file
pub struct Trouble(#[from] sqlx::Error);

impl Trouble {
    /// Whether something in the database makes no sense, while the database itself works.
    pub fn is_damage(&self) -> bool {
        matches!(self.0, sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. })
    }

    /// Whether a page of the file is not what SQLite has written.
    pub fn is_corrupt(&self) -> bool {
        const CORRUPT: i64 = 11;
        // The low byte of an extended code is the code.
        code_of(&self.0).is_some_and(|code| code & 0xff == CORRUPT)
    }

    /// Whether what is stored cannot be read as what it should be, for either reason.
    pub fn is_unreadable(&self) -> bool {
        self.is_damage() || self.is_corrupt()
    }

    /// Whether another connection held a lock for longer than we wait.
    pub fn is_busy(&self) -> bool {
        is_busy(&self.0)
    }

    /// Whether what was to be written does not fit what is there.
    fn is_constraint(&self) -> bool {
        const CONSTRAINT: i64 = 19;
        code_of(&self.0).is_some_and(|code| code & 0xff == CONSTRAINT)
    }

    /// Whether the disk failed to sync what was written. The kernel may have dropped it then, and says
    /// so only once: the next sync would succeed without it.
    pub fn is_lost_sync(&self) -> bool {
        const FSYNC: i64 = 1034;
        const DIR_FSYNC: i64 = 1290;
        matches!(code_of(&self.0), Some(FSYNC | DIR_FSYNC))
    }

    /// Something that must be there is not, or makes no sense.
    pub fn damaged(what: String) -> Self {
        Self(sqlx::Error::Decode(what.into()))
    }
}

/// Whether another connection held a lock for longer than we wait.
fn is_busy(error: &sqlx::Error) -> bool {
    const BUSY: i64 = 5;
    code_of(error).is_some_and(|code| code & 0xff == BUSY)
}

/// SQLite's code of an error, extended where it has one to give; `None` if the error is not SQLite's.
fn code_of(error: &sqlx::Error) -> Option<i64> {
    error.as_database_error()?.code()?.parse().ok()
}
