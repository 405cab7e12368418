//! The write path on one screen: queue -> batch -> fold -> one transaction -> answers.
//!
//! One task on a thread of its own owns the writer. It takes what waits, folds it in memory, writes it in one
//! transaction, and answers every caller only after the commit. A caller may go away: its report is written.

mod acts;
mod disk;
mod folding;
mod incoming;
mod messages;
mod projector;
mod pushes;
mod queue;
mod refolding;
mod repeats;
mod stage;
mod task;
mod watch;

pub use messages::{
    AHEAD_TOLERANCE, Act, ActError, ActReceipt, Deed, IdempotencyKey, Receipt, RecordError,
    Submission,
};
pub use watch::{CLOCK_TOLERANCE, Clock, ClockFault, Uptime, Watch};

use crate::board::Board;
use crate::files::{Location, Space, Trouble};
use crate::ledger::{Dictionary, Rejection};
use crate::projection::{Batch, Writer};
use folding::Folding;
use incoming::{Incoming, Results};
use queue::{Job, Waiting};
use refolding::{Lag, Refolding};
use stage::Stage;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use task::{Disk, MOVED_RETRIES, Task};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Requests that may wait; more are refused with [`RecordError::Busy`].
pub const QUEUE_MAX_REQUESTS: usize = 1024;
/// Bytes of bodies that may wait.
pub const QUEUE_MAX_BYTES: usize = 16 << 20;
/// How often the recorder looks whether another process (an import by hand) has written.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// The handle everyone records through; cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Job>,
    waiting_bytes: Arc<AtomicUsize>,
    watch: Arc<Watch>,
    origin: Arc<str>,
}

impl Recorder {
    /// Opens the database's writing side and starts the task. `projects`: whether this process holds the
    /// database's lock; another one only appends. The task ends, and closes the
    /// database in order, when the last handle is dropped; await the join handle to see it done.
    pub fn start(
        location: &Location,
        dictionary: Arc<Dictionary>,
        new_origin: &str,
        board: Arc<Board>,
        watch: Arc<Watch>,
        space: Arc<Space>,
        projects: bool,
    ) -> Result<(Self, tokio::task::JoinHandle<()>), Trouble> {
        let refolding = Refolding::start(location, dictionary.clone());
        let (writer, loaded) = Writer::open(location, dictionary, new_origin, projects)?;
        let (queue, jobs) = mpsc::channel(QUEUE_MAX_REQUESTS);
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let recorder = Self {
            queue,
            waiting_bytes: waiting_bytes.clone(),
            watch: watch.clone(),
            origin: loaded.origin.clone(),
        };
        let task = Task {
            writer,
            board,
            watch,
            space,
            disk: Disk::default(),
            folding: Folding::start(location),
            waiting_bytes,
            refolding,
            projects,
            lag: Lag::default(),
            origin: loaded.origin.clone(),
            last_received: loaded.last_received,
            last_host_id: loaded.last_host_id,
            size: loaded.size,
            tree: loaded.tree,
            void: false,
            failing: false,
        };
        // Before anybody asks.
        let _ = task.watch.check(task.last_received);
        task.board.replace(loaded.hosts, loaded.former, loaded.last_runs, loaded.size);
        Ok((recorder, task.on_its_thread(jobs)))
    }

    /// The history's name.
    pub fn origin(&self) -> &Arc<str> {
        &self.origin
    }

    /// Records a request; answers after the commit, in the order of the reports.
    pub async fn record(&self, submission: Submission) -> Result<Vec<Receipt>, RecordError> {
        let bytes = submission.bytes;
        if self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > QUEUE_MAX_BYTES {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(RecordError::Busy);
        }
        let (answer, answered) = oneshot::channel();
        if let Err(error) = self.queue.try_send(Job::Record(submission, answer)) {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(refusal(&error));
        }
        answered.await.unwrap_or(Err(RecordError::Unknown))
    }

    /// Lists refused reports. Best effort: a refusal is answered whether or not it can be listed.
    /// Each shares its reason with the others of its request.
    pub async fn reject(&self, rejections: Vec<Rejection>) {
        let names = |r: &Rejection| {
            r.server_group.as_ref().map_or(0, String::len) + r.host.as_ref().map_or(0, String::len)
        };
        let reason = rejections.first().map_or(0, |rejection| rejection.reason.len());
        let each = std::mem::size_of::<Rejection>();
        let bytes = reason + rejections.iter().map(|r| each + names(r)).sum::<usize>();
        if self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > QUEUE_MAX_BYTES {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return;
        }
        let (done, listed) = oneshot::channel();
        if self.queue.try_send(Job::Reject(rejections, bytes, done)).is_ok() {
            let _ = listed.await;
        } else {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Records an act of a person; answers after the commit.
    pub async fn act(&self, act: Act) -> Result<ActReceipt, ActError> {
        let (answer, answered) = oneshot::channel();
        if let Err(error) = self.queue.try_send(Job::Act(act, answer)) {
            return Err(refusal(&error).into());
        }
        answered.await.unwrap_or(Err(RecordError::Unknown.into()))
    }

    /// Why the clock cannot be believed just now.
    pub fn clock_fault(&self) -> Option<ClockFault> {
        self.watch.fault()
    }

    /// Whether reports can be written just now.
    pub async fn can_write(&self) -> bool {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Job::Probe(answer)).is_ok() && answered.await.unwrap_or(false)
    }
}

/// A full queue is a matter of moments; without a recorder nothing can be stored.
fn refusal(error: &mpsc::error::TrySendError<Job>) -> RecordError {
    match error {
        mpsc::error::TrySendError::Full(_) => RecordError::Busy,
        mpsc::error::TrySendError::Closed(_) => RecordError::NotStored,
    }
}

impl Task {
    /// Runs on a thread of its own, since it waits for the disk.
    fn on_its_thread(self, jobs: mpsc::Receiver<Job>) -> tokio::task::JoinHandle<()> {
        let (done, ended) = oneshot::channel();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            runtime.expect("it asks nothing of the system").block_on(self.run(jobs));
            let _ = done.send(());
        };
        let thread = std::thread::Builder::new().name("recorder".into());
        thread.spawn(run).expect("the system has a thread left at the start");
        tokio::spawn(async { ended.await.expect("the recorder's thread does not break off") })
    }

    async fn run(mut self, jobs: mpsc::Receiver<Job>) {
        let mut waiting = Waiting::new(jobs);
        let mut look_around = tokio::time::interval(LOOK_AROUND);
        look_around.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.disk.lost {
            tokio::select! {
                job = waiting.next() => match job {
                    Some(job) if self.is_short() => self.refuse(job, &RecordError::DiskFull),
                    Some(job) => self.batch(job, &mut waiting),
                    None => break,
                },
                _ = look_around.tick() => self.look_around(),
                outcome = self.folding.ended() => self.fold_rest(outcome),
                step = self.refolding.ended() => self.refolded(step),
                () = std::future::ready(()), if self.is_behind() => self.project_some(),
            }
            self.refold_some();
        }
        for job in waiting.close() {
            // Nothing of it was begun.
            self.refuse(job, &RecordError::NotStored);
        }
        self.project_rest();
        self.refold_rest().await;
        self.folding.end().await;
        self.refolding.end();
        if let Err(error) = self.writer.close() {
            tracing::warn!(%error, "the database was not closed in order; it recovers at the next start");
        }
    }

    /// Takes what waits, writes it, answers. An act is a batch of its own, behind what came before it.
    fn batch(&mut self, first: Job, waiting: &mut Waiting) {
        let begun = Instant::now();
        let mut incoming = Incoming::new(self.waiting_bytes.clone());
        incoming.take(first);
        incoming.take_waiting(waiting);
        if incoming.is_to_be_written() {
            let results = self.record(&mut incoming, waiting);
            self.writer.unlock();
            incoming.answer(results);
        }
        if incoming.alone {
            waiting.rest(begun.elapsed());
        }
        if !incoming.probes.is_empty() {
            let ok = self.watch.check(self.last_received).is_ok() && self.probe();
            for probe in incoming.probes {
                let _ = probe.send(ok);
            }
        }
        if let Some((act, answer)) = incoming.last {
            let receipt = self.act(&act);
            self.writer.unlock();
            let _ = answer.send(receipt);
        }
    }

    /// Folds and commits; one result for each submission.
    fn record(&mut self, incoming: &mut Incoming, waiting: &mut Waiting) -> Results {
        // Submissions that met something damaged: the others need not suffer.
        let mut damaged = HashSet::new();
        let mut moved = 0;
        while moved < MOVED_RETRIES {
            if let Err(error) = self.catch_up(moved) {
                return incoming.all(&self.note(&error, RecordError::NotStored));
            }
            // Here, because what was loaded may be what another process wrote with a clock of its own.
            if let Err(fault) = self.watch.check(self.last_received) {
                return incoming.all(&RecordError::Clock(fault));
            }
            let (batch, results) = match self.fold(incoming, waiting, &damaged) {
                Ok(folded) => folded,
                Err((at, error)) if error.is_damage() => {
                    tracing::error!(%error, "a report meets something damaged; see `verify`");
                    damaged.insert(at);
                    continue;
                }
                Err((_, error)) => {
                    return incoming.all(&self.note(&error, RecordError::NotStored));
                }
            };
            if batch.truth.is_empty() {
                return results;
            }
            match self.commit(batch) {
                Ok(()) => return results,
                Err(Some(error)) => return incoming.all(&error),
                Err(None) => moved += 1,
            }
        }
        incoming.all(&RecordError::NotStored)
    }

    /// Folds what has come, and what comes meanwhile: a commit takes hardly longer for it.
    fn fold(
        &mut self,
        incoming: &mut Incoming,
        waiting: &mut Waiting,
        damaged: &HashSet<usize>,
    ) -> Result<(Batch, Results), (usize, Trouble)> {
        let mut stage = Stage::new(self, incoming.reports);
        let mut results = Results::with_capacity(incoming.submissions.len());
        loop {
            stage.take_rest(&incoming.submissions, damaged, &mut results)?;
            if !incoming.take_waiting(waiting) {
                break;
            }
        }
        let mut batch = stage.into_batch();
        batch.truth.rejections.clone_from(&incoming.rejections);
        Ok((batch, results))
    }
}
