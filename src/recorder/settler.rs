//! When hosts are settled: soon after they have reported, before they are read by host, and at the end.

use super::messages::RecordError;
use super::queue::Job;
use super::task::{MOVED_RETRIES, Task};
use crate::board::Board;
use crate::store::{CommitError, Pace, Patience, Settle, Settler};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot};

/// Commits a second from which on hosts are settled along with them; with fewer, in between.
const BUSY: usize = 100;
/// Hosts settled at once in between: a report that comes meanwhile waits for them.
const AT_ONCE: usize = 8;

/// Asks the recorder to settle what is about to be read. It does not keep the recorder alive.
#[derive(Debug)]
pub struct QueueSettler {
    pub(super) queue: mpsc::WeakSender<Job>,
    pub(super) settled: Arc<AtomicU64>,
    pub(super) board: Arc<Board>,
}

impl Settler for QueueSettler {
    fn has_settled(&self, id: u64) -> bool {
        let settled = self.settled.load(Ordering::Acquire);
        settled >= id || settled >= self.board.size()
    }

    fn settle(&self, hosts: Option<Vec<i64>>) -> Settle {
        let queue = self.queue.upgrade();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let Some(queue) = queue else { return false };
            queue.send(Job::Settle(hosts, answer)).await.is_ok() && answered.await.unwrap_or(false)
        })
    }
}

impl Task {
    /// What is there by now is overdue: it is settled within the next second, evenly, along with the
    /// commits if there are many.
    pub(super) fn pace_settling(&mut self) {
        let commits = std::mem::take(&mut self.lag.commits);
        self.lag.overdue = self.size;
        self.lag.busy = commits >= BUSY;
        let hosts = if self.lag.busy { self.writer.unsettled_hosts().div_ceil(commits) } else { 0 };
        self.writer.settle_along(Pace { overdue: self.lag.overdue, hosts });
    }

    /// Whether hosts are to be settled in between.
    pub(super) fn is_behind(&self) -> bool {
        let trusted = !self.void && !self.failing;
        trusted && !self.lag.busy && self.writer.settled_up_to() < self.lag.overdue
    }

    /// Settles some hosts of those left longest; if another process is writing, after the next look
    /// around.
    pub(super) async fn settle_some(&mut self) {
        let hosts = self.writer.unsettled_up_to(self.lag.overdue, AT_ONCE);
        match self.writer.settle(&hosts, Patience::None).await {
            Err(CommitError::NotStored(error)) if error.is_busy() => self.lag.overdue = 0,
            done => {
                self.judge(done);
            }
        }
    }

    /// Settles these hosts, or all; answers whether it is done.
    pub(super) async fn settle(&mut self, hosts: Option<Vec<i64>>) -> bool {
        for _ in 0..MOVED_RETRIES {
            if let Err(error) = self.catch_up(false).await {
                self.note(&error, RecordError::NotStored);
                return false;
            }
            let done = match &hosts {
                Some(names) => {
                    let hosts = self.writer.unsettled_of(names);
                    self.settle_hosts(&hosts).await
                }
                None => self.settle_all().await,
            };
            if done || !self.void || self.failing {
                return done;
            }
        }
        false
    }

    /// Settles all that is left, at the end.
    pub(super) async fn settle_rest(&mut self) {
        if !self.disk.lost && !self.void {
            self.settle_all().await;
        }
    }

    async fn settle_all(&mut self) -> bool {
        let done = self.writer.settle_all().await;
        self.judge(done)
    }

    async fn settle_hosts(&mut self, hosts: &[i64]) -> bool {
        let done = self.writer.settle(hosts, Patience::Usual).await;
        self.judge(done)
    }

    /// `false`: not done; if another process has written meanwhile, memory is void then.
    fn judge(&mut self, done: Result<bool, CommitError>) -> bool {
        match done {
            Ok(true) => {
                self.folding.note(self.writer.pages_written());
                self.tell_settled();
                self.failing = false;
                return true;
            }
            Ok(false) | Err(CommitError::Moved) => self.void = true,
            Err(CommitError::NotStored(error) | CommitError::Unknown(error)) => {
                tracing::error!(%error, "what was recorded last could not be settled");
                self.distrust(&error);
                (self.void, self.failing) = (true, true);
            }
        }
        false
    }
}
