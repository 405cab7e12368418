//! What is taken from the queue for one batch.

use super::messages::{Act, ActError, ActReceipt, Receipt, RecordError, Submission};
use super::queue::{Job, Waiting};
use crate::ledger::{REJECTIONS_KEPT, Rejection};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::oneshot;

/// Reports after which a batch takes no further request.
const BATCH_REPORTS: usize = 1000;
/// Bytes of bodies after which it takes none: a batch is written as texts, each several times as large.
const BATCH_BYTES: usize = 4 << 20;

/// What becomes of each submission.
pub(super) type Results = Vec<Result<Vec<Receipt>, RecordError>>;

/// An act of a person, which is done behind the batch that it ends.
pub(super) type Last = (Act, oneshot::Sender<Result<ActReceipt, ActError>>);

/// A batch before it is folded.
pub(super) struct Incoming {
    waiting_bytes: Arc<AtomicUsize>,
    pub submissions: Vec<Submission>,
    /// Who waits for them, in the same order.
    pub answers: Vec<oneshot::Sender<Result<Vec<Receipt>, RecordError>>>,
    pub rejections: Vec<Rejection>,
    /// Who waits for rejections.
    listed: Vec<oneshot::Sender<()>>,
    pub probes: Vec<oneshot::Sender<bool>>,
    pub last: Option<Last>,
    /// Reports of all submissions.
    pub reports: usize,
    /// Whether nothing else is taken.
    pub alone: bool,
    /// Bytes of their bodies.
    bytes: usize,
}

impl Incoming {
    /// Nothing yet.
    pub fn new(waiting_bytes: Arc<AtomicUsize>) -> Self {
        Self {
            waiting_bytes,
            submissions: Vec::new(),
            answers: Vec::new(),
            rejections: Vec::new(),
            listed: Vec::new(),
            probes: Vec::new(),
            last: None,
            reports: 0,
            alone: false,
            bytes: 0,
        }
    }

    /// Takes a job.
    pub fn take(&mut self, job: Job) {
        self.alone |= job.is_large();
        match job {
            Job::Record(submission, answer) => {
                self.waiting_bytes.fetch_sub(submission.bytes, Ordering::Relaxed);
                self.reports += submission.reports.len();
                self.bytes += submission.bytes;
                self.submissions.push(submission);
                self.answers.push(answer);
            }
            Job::Reject(list, bytes, done) => {
                self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
                self.rejections.extend(list);
                // Older ones would be forgotten by the same transaction.
                let surplus = self.rejections.len().saturating_sub(REJECTIONS_KEPT as usize);
                self.rejections.drain(..surplus);
                self.listed.push(done);
            }
            Job::Probe(answer) => self.probes.push(answer),
            Job::Act(act, answer) => self.last = Some((act, answer)),
        }
    }

    /// Takes what waits, if there is room for it. Answers whether it took anything.
    pub fn take_waiting(&mut self, waiting: &mut Waiting) -> bool {
        let mut any = false;
        while self.reports < BATCH_REPORTS
            && self.bytes < BATCH_BYTES
            && self.last.is_none()
            && !self.alone
            && let Some(job) = waiting.try_next()
        {
            self.take(job);
            any = true;
        }
        any
    }

    /// Whether there is anything to write.
    pub fn is_to_be_written(&self) -> bool {
        !(self.submissions.is_empty() && self.rejections.is_empty())
    }

    /// The same for every submission.
    pub fn all(&self, error: &RecordError) -> Results {
        self.submissions.iter().map(|_| Err(error.clone())).collect()
    }

    /// Tells everybody what became of theirs.
    pub fn answer(&mut self, results: Results) {
        for (answer, result) in self.answers.drain(..).zip(results) {
            let _ = answer.send(result);
        }
        self.listed.clear();
    }
}
