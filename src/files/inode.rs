//! A lock on the database file itself, whatever name it goes by: beside a hard link, a renamed file or a
//! mount of its own there is another lock file, and SQLite would keep another log there.
//!
//! It is `flock`, which on Linux has nothing to do with the locks that SQLite takes. The handle is never
//! closed: that would let go of SQLite's, for the whole process. Elsewhere, and over a network, the two
//! kinds are in each other's way, and there is none.

use crate::files::place::is_on_network;
use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Handles that nobody uses at the moment.
static IDLE: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// The lock, held until this is dropped.
#[derive(Debug)]
pub struct InodeLock {
    file: Option<File>,
}

impl Drop for InodeLock {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            let _ = file.unlock();
            keep(file);
        }
    }
}

impl InodeLock {
    /// Takes it; `None` if somebody else has it. Where there is no such lock, it is had at once.
    pub fn take(path: &Path) -> std::io::Result<Option<Self>> {
        if !cfg!(target_os = "linux") || is_on_network(path) {
            return Ok(Some(Self { file: None }));
        }
        let file = match idle(path)? {
            Some(file) => file,
            None => File::open(path)?,
        };
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { file: Some(file) })),
            Err(TryLockError::WouldBlock) => {
                keep(file);
                Ok(None)
            }
            // A file system without such locks.
            Err(TryLockError::Error(_)) => {
                keep(file);
                Ok(Some(Self { file: None }))
            }
        }
    }
}

fn keep(file: File) {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(file);
}

/// A handle of this file that was opened before.
fn idle(path: &Path) -> std::io::Result<Option<File>> {
    let wanted = std::fs::metadata(path)?;
    let is_it = |file: &File| {
        file.metadata().is_ok_and(|at| (at.dev(), at.ino()) == (wanted.dev(), wanted.ino()))
    };
    let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    let at = idle.iter().position(is_it);
    Ok(at.map(|at| idle.swap_remove(at)))
}
