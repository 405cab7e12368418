//! What the recorder's task has in hand, and how a batch is committed and put up.

use super::folding::Folding;
use super::messages::RecordError;
use crate::board::Board;
use crate::domain::time::Timestamp;
use crate::domain::tree::Frontier;
use crate::store::{Batch, CommitError, LastRuns, Space, Trouble, Writer};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How often a batch is folded anew because another process wrote in between.
pub(super) const MOVED_RETRIES: usize = 5;

/// The clock: microseconds UTC. Handed in, so that tests can freeze it.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

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

/// How far settling may lag behind.
#[derive(Debug, Default)]
pub(super) struct Lag {
    /// What was there at the last look around is overdue.
    pub overdue: u64,
    /// Commits since then,
    pub commits: usize,
    /// and whether there were many before it.
    pub busy: bool,
}

/// The recorder's state, on its thread.
pub(super) struct Task {
    pub writer: Writer,
    pub board: Arc<Board>,
    pub clock: Clock,
    pub space: Arc<Space>,
    pub disk: Disk,
    pub folding: Folding,
    pub waiting_bytes: Arc<AtomicUsize>,
    /// Every entry up to here is settled; for those who read by host.
    pub settled: Arc<AtomicU64>,
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
    pub async fn commit(&mut self, mut batch: Batch) -> Result<(), Option<RecordError>> {
        batch.grow(&self.tree);
        match self.writer.commit(&batch).await {
            Ok(refolded) => {
                self.failing = false;
                self.lag.commits += 1;
                self.folding.note(self.writer.pages_written());
                self.size += batch.entries.len() as u64;
                self.tell_settled();
                if let Some(growth) = batch.growth.take() {
                    self.tree = growth.tree;
                }
                let runs = if batch.groupings.is_empty() { None } else { self.last_runs().await };
                if let Some(newest) = batch.entries.last() {
                    self.last_received = newest.entry.received_at;
                    batch.put_in(refolded);
                    self.last_host_id += batch.new_hosts.len() as i64;
                }
                if !batch.entries.is_empty() || runs.is_some() {
                    self.board.publish(batch.states, runs, self.size);
                }
                Ok(())
            }
            Err(CommitError::Moved) => {
                self.void = true;
                Err(None)
            }
            Err(CommitError::NotStored(error)) => {
                Err(Some(self.note(&error, RecordError::NotStored)))
            }
            Err(CommitError::Unknown(error)) => Err(Some(self.note(&error, RecordError::Unknown))),
        }
    }

    /// The time at which what is folded now came.
    pub fn now(&self) -> Timestamp {
        (self.clock)().max(self.last_received)
    }

    /// Logs a failure once, and distrusts what is in memory.
    pub fn note(&mut self, error: &Trouble, outcome: RecordError) -> RecordError {
        tracing::error!(%error, stored = ?outcome, "a batch was not committed");
        self.distrust(error);
        self.void = true;
        self.failing = true;
        outcome
    }

    /// Loads what may be wrong in memory. `locked`: nobody else may write until the next commit, since
    /// somebody did before the last one; a busy neighbour would come first for ever.
    pub async fn catch_up(&mut self, locked: bool) -> Result<(), Trouble> {
        if locked {
            self.writer.lock().await?;
        }
        if self.void { self.load().await } else { Ok(()) }
    }

    pub async fn load(&mut self) -> Result<(), Trouble> {
        let loaded = self.writer.load().await?;
        self.size = loaded.size;
        self.tree = loaded.tree;
        self.last_host_id = loaded.last_host_id;
        self.last_received = loaded.last_received.max(self.last_received);
        self.tell_settled();
        self.board.replace(loaded.hosts, loaded.former, loaded.last_runs, loaded.size);
        self.void = false;
        Ok(())
    }

    pub async fn probe(&mut self) -> bool {
        let probed = self.writer.probe(self.failing, (self.clock)()).await.map_err(Trouble::from);
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

    /// Tells those who read by host how far everything is settled.
    pub fn tell_settled(&self) {
        self.settled.store(self.writer.settled_up_to(), Ordering::Release);
    }

    /// When each job was last pushed; `None` if that cannot be read just now: the next batch loads it.
    pub async fn last_runs(&mut self) -> Option<LastRuns> {
        let found = self.writer.last_runs().await;
        if let Err(error) = &found {
            tracing::warn!(%error, "the time of the last push cannot be read");
            self.void = true;
        }
        found.ok()
    }
}
