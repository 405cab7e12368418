//! What waits for the recorder, and in which order it takes it: as it came, but for what is large. That comes
//! alone, and between one and the next as much time is left to others as they took from them.

use super::messages::{Act, ActError, ActReceipt, Receipt, RecordError, Submission};
use crate::ledger::Rejection;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Reports of a submission that is written alone.
const LARGE_REPORTS: usize = 256;
/// Time for others behind a large submission, in parts of the time that it took,
const REST: u32 = 2;
/// and at most.
const REST_MOST: Duration = Duration::from_secs(1);

/// One thing to do, and where the answer goes.
pub(super) enum Job {
    Record(Submission, oneshot::Sender<Result<Vec<Receipt>, RecordError>>),
    Reject(Vec<Rejection>, usize, oneshot::Sender<()>),
    Probe(oneshot::Sender<bool>),
    Act(Act, oneshot::Sender<Result<ActReceipt, ActError>>),
}

impl Job {
    /// Whether it is written alone.
    pub fn is_large(&self) -> bool {
        matches!(self, Self::Record(submission, _) if submission.reports.len() > LARGE_REPORTS)
    }
}

/// What waits.
pub(super) struct Waiting {
    jobs: mpsc::Receiver<Job>,
    /// Large ones, in the order in which they came.
    large: VecDeque<Job>,
    /// When the next of them may be begun.
    rest_until: Instant,
    /// Whether anybody else has come since the last of them.
    others: bool,
}

impl Waiting {
    /// What comes through a queue.
    pub fn new(jobs: mpsc::Receiver<Job>) -> Self {
        Self { jobs, large: VecDeque::new(), rest_until: Instant::now(), others: false }
    }

    /// The next one; `None` at the end.
    pub async fn next(&mut self) -> Option<Job> {
        loop {
            let waits = !self.large.is_empty();
            tokio::select! {
                biased;
                job = self.jobs.recv() => match job {
                    Some(job) if job.is_large() => self.large.push_back(job),
                    Some(job) => {
                        self.others = true;
                        return Some(job);
                    }
                    None => return self.large.pop_front(),
                },
                () = tokio::time::sleep_until(self.rest_until), if waits => {
                    return self.large.pop_front();
                }
            }
        }
    }

    /// The next one that need not be written alone, if any waits.
    pub fn try_next(&mut self) -> Option<Job> {
        while let Ok(job) = self.jobs.try_recv() {
            if !job.is_large() {
                self.others = true;
                return Some(job);
            }
            self.large.push_back(job);
        }
        None
    }

    /// Notes how long a large one took.
    pub fn rest(&mut self, took: Duration) {
        if std::mem::take(&mut self.others) {
            self.rest_until = Instant::now() + (took * REST).min(REST_MOST);
        }
    }

    /// Takes nothing more; answers what still waits.
    pub fn close(&mut self) -> Vec<Job> {
        self.jobs.close();
        let mut rest: Vec<Job> = self.large.drain(..).collect();
        while let Ok(job) = self.jobs.try_recv() {
            rest.push(job);
        }
        rest
    }
}
