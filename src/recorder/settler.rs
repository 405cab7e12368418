//! When hosts are settled: soon after they have reported, before they are read by host, and at the end.

use super::{Job, MOVED_RETRIES, RecordError, Recorder, Task};
use crate::board::Board;
use crate::store::{CommitError, SETTLED_AT_ONCE, Settle, Settler};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot};

/// Asks the recorder to settle what is about to be read. It does not keep the recorder alive.
#[derive(Debug)]
pub struct QueueSettler {
    queue: mpsc::WeakSender<Job>,
    settled: Arc<AtomicU64>,
    board: Arc<Board>,
}

impl Recorder {
    /// For those who read by host.
    pub fn settler(&self, board: Arc<Board>) -> QueueSettler {
        QueueSettler { queue: self.queue.downgrade(), settled: self.settled.clone(), board }
    }
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
    /// Tells those who read by host how far everything is settled.
    pub(super) fn tell_settled(&self) {
        self.settled.store(self.writer.settled_up_to(), Ordering::Release);
    }

    /// Whether hosts have been left unsettled since before the last look around.
    pub(super) fn is_behind(&self) -> bool {
        !self.void && !self.failing && self.writer.settled_up_to() < self.overdue
    }

    /// Settles some hosts of those left longest.
    pub(super) async fn settle_some(&mut self) {
        let hosts = self.writer.unsettled_up_to(self.overdue, SETTLED_AT_ONCE);
        self.settle_hosts(&hosts).await;
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
        let done = self.writer.settle(hosts).await;
        self.judge(done)
    }

    /// `false`: not done; if another process has written meanwhile, memory is void then.
    fn judge(&mut self, done: Result<bool, CommitError>) -> bool {
        match done {
            Ok(true) => {
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
