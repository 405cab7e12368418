//! The database file as a thing on a disk: its place, its lock, its room, its WAL, copies of it, whether it
//! is sound, and connections to it. The rooms above know what is in it.

pub mod columns;
pub mod connect;
pub mod copy;
mod failure;
pub mod guards;
mod inode;
pub mod lock;
pub mod log;
mod migrate;
pub mod opening;
pub mod place;
pub mod soundness;
pub mod space;
pub mod threads;
pub mod trouble;
mod usable;

pub use connect::{Location, OpenError};
pub use copy::{CopyError, Head, Watch, copy_to, let_go};
pub use guards::{Guards, check_guards, put_back};
pub use lock::{Hold, Role};
pub use log::{LARGE_BYTES, LOG_STRETCH, LogFolder};
pub use opening::{check_only, create_or_check, refuse_strange_triggers};
pub use place::{
    PRIVATE, RESTORING, beside, close_to_others, folder_of, followed, free_bytes, give_to_owner_of,
    sync_folder, warning,
};
pub use soundness::check_file;
pub use space::{FreeBytes, Space};
pub use threads::Progress;
pub use trouble::Trouble;
pub use usable::check_names;
