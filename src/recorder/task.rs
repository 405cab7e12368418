//! What the recorder's task has in hand, and how a batch is committed and put up.

use super::folding::Folding;
use super::messages::RecordError;
use super::refolding::{Lag, Refolding};
use super::watch::Watch;
use crate::board::Board;
use crate::domain::time::Timestamp;
use crate::domain::tree::Frontier;
use crate::files::{Space, Trouble};
use crate::ledger::{CommitError, LastRuns};
use crate::projection::{Batch, Loaded, Writer};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// How often a batch is folded anew because another process wrote in between.
pub(super) const MOVED_RETRIES: usize = 5;

/// What is known of the disk.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// Whether it was said that there is too little room.
    pub short: bool,
    /// Looks at which the log was large and could not be folded back.
    pub pinned: u32,
    /// Bytes of the log when that was said last.
    pub warned_at: u64,
    /// A sync failed: nothing may be built on what is in memory.
    pub lost: bool,
}

/// The recorder's state, on its thread.
pub(super) struct Task {
    pub writer: Writer,
    pub board: Arc<Board>,
    pub watch: Arc<Watch>,
    pub space: Arc<Space>,
    pub disk: Disk,
    pub folding: Folding,
    pub waiting_bytes: Arc<AtomicUsize>,
    pub refolding: Refolding,
    /// Whether this process projects: it does if it holds the database's lock.
    pub projects: bool,
    pub lag: Lag,
    pub origin: Arc<str>,
    pub last_received: Timestamp,
    pub last_host_id: i64,
    pub size: u64,
    /// The Merkle tree over all entries.
    pub tree: Frontier,
    /// Memory may differ from the database: load before the next fold.
    pub void: bool,
    /// The last write failed: the next probe really writes.
    pub failing: bool,
}

impl Task {
    /// Commits a batch and puts it up. `Err(None)`: another process has written meanwhile.
    pub fn commit(&mut self, mut batch: Batch) -> Result<(), Option<RecordError>> {
        batch.truth.grow(&self.tree);
        match self.writer.commit(&mut batch) {
            Ok(()) => {
                let Batch { truth, derived } = batch;
                self.failing = false;
                self.lag.commits += 1;
                self.folding.note(self.writer.pages_written());
                self.size += truth.entries.len() as u64;
                if let Some(growth) = truth.growth {
                    self.tree = growth.tree;
                }
                let runs = if truth.groupings.is_empty() { None } else { self.last_runs() };
                if let Some(newest) = truth.entries.last() {
                    self.last_received = newest.entry.received_at;
                    self.last_host_id += truth.new_hosts.len() as i64;
                }
                if let Some(renaming) = derived.renaming {
                    self.board.rename(&renaming.old_key, renaming.state, self.size);
                } else if !truth.entries.is_empty() || runs.is_some() {
                    self.board.publish(derived.states, runs, self.size);
                }
                Ok(())
            }
            Err(CommitError::Moved) => Err(None),
            Err(CommitError::NotStored(error)) => {
                Err(Some(self.note(&error, RecordError::NotStored)))
            }
            Err(CommitError::Unknown(error)) => Err(Some(self.note(&error, RecordError::Unknown))),
        }
    }

    /// The time at which what is folded now came.
    pub fn now(&self) -> Timestamp {
        self.watch.now().max(self.last_received)
    }

    /// Logs a failure once, and distrusts what is in memory.
    pub fn note(&mut self, error: &Trouble, outcome: RecordError) -> RecordError {
        tracing::error!(%error, stored = ?outcome, "a batch was not committed");
        self.distrust(error);
        self.void = true;
        self.failing = true;
        outcome
    }

    /// Makes memory what the database is. `moved`: how often another process came first; it is kept from
    /// writing until the next commit then, since a busy neighbour would come first for ever.
    pub fn catch_up(&mut self, moved: usize) -> Result<(), Trouble> {
        if moved > 0 {
            self.writer.lock()?;
        }
        match (self.void, moved) {
            (true, _) => self.load(),
            (false, 0) => Ok(()),
            (false, _) => self.follow(),
        }
    }

    /// Loads everything.
    pub fn load(&mut self) -> Result<(), Trouble> {
        let loaded = self.writer.load()?;
        self.take_over(&loaded);
        self.board.replace(loaded.hosts, loaded.former, loaded.last_runs, loaded.size);
        self.void = false;
        Ok(())
    }

    /// Applies what another process has written.
    pub fn follow(&mut self) -> Result<(), Trouble> {
        let known = self.board.by_number();
        match self.writer.follow(&known)? {
            Some(followed) => {
                self.take_over(&followed);
                self.board.publish(followed.hosts, Some(followed.last_runs), followed.size);
                Ok(())
            }
            None => self.load(),
        }
    }

    fn take_over(&mut self, loaded: &Loaded) {
        self.size = loaded.size;
        self.tree = loaded.tree.clone();
        self.last_host_id = loaded.last_host_id;
        self.last_received = loaded.last_received.max(self.last_received);
    }

    pub fn probe(&mut self) -> bool {
        let probed = self.writer.probe(self.failing, self.watch.now());
        if let Err(error) = &probed {
            tracing::warn!(%error, "the database does not take writes");
            self.distrust(error);
        }
        self.failing &= probed.is_err();
        probed.is_ok()
    }

    /// After a sync that failed, the recorder ends: see `Trouble::is_lost_sync`.
    pub fn distrust(&mut self, error: &Trouble) {
        if error.is_lost_sync() && !self.disk.lost {
            self.disk.lost = true;
            tracing::error!(
                %error,
                "the disk failed to sync: stopping, so that nothing is built on what it may have lost"
            );
        }
    }

    /// When each job was last pushed; `None` if that cannot be read just now: the next batch loads it.
    pub fn last_runs(&mut self) -> Option<LastRuns> {
        let found = self.writer.last_runs();
        if let Err(error) = &found {
            tracing::warn!(%error, "the time of the last push cannot be read");
            self.void = true;
        }
        found.ok()
    }
}
