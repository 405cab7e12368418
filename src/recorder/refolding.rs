//! Folding hosts anew beside the commits: the thread that prepares the steps, and how far it is.

use crate::files::{Location, Trouble};
use crate::ledger::Dictionary;
use crate::projection::{Refold, Refolded, Refolder};
use std::sync::Arc;
use tokio::sync::mpsc;

/// How far the projector may lag behind.
#[derive(Debug, Default)]
pub(super) struct Lag {
    /// What was there at the last look around is overdue.
    pub overdue: u64,
    /// Commits since then,
    pub commits: usize,
    /// and whether there were many before it.
    pub busy: bool,
}

/// The thread that prepares steps of folding hosts anew, beside the commits.
#[derive(Debug)]
pub(super) struct Refolding {
    /// Whether a step is being prepared; one at a time.
    pub busy: bool,
    /// Whether one failed: the next is for after the next look around.
    pub failed: bool,
    /// The host whose turn it was last.
    pub last: i64,
    begin: mpsc::Sender<Vec<Refold>>,
    ended: mpsc::Receiver<Result<Vec<Refolded>, Trouble>>,
    thread: std::thread::JoinHandle<()>,
}

impl Refolding {
    /// Starts the thread, which waits.
    pub fn start(location: &Location, dictionary: Arc<Dictionary>) -> Self {
        let mut refolder = Refolder::new(location, dictionary);
        let (begin, mut wanted) = mpsc::channel::<Vec<Refold>>(1);
        let (tell, ended) = mpsc::channel(1);
        let work = async move {
            while let Some(refolds) = wanted.recv().await {
                if tell.send(refolder.prepare(refolds).await).await.is_err() {
                    break;
                }
            }
            refolder.close().await;
        };
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.expect("it asks nothing of the system").block_on(work);
        };
        let thread = std::thread::Builder::new().name("refolder".into()).spawn(run);
        let thread = thread.expect("the system has a thread left at the start");
        Self { busy: false, failed: false, last: 0, begin, ended, thread }
    }

    /// Has steps of some hosts prepared; `false` if that is going on already.
    pub fn begin(&mut self, refolds: Vec<Refold>) -> bool {
        self.begin.try_send(refolds).is_ok()
    }

    /// Waits for steps.
    pub async fn ended(&mut self) -> Result<Vec<Refolded>, Trouble> {
        match self.ended.recv().await {
            Some(outcome) => outcome,
            None => std::future::pending().await,
        }
    }

    /// Ends the thread: the writer is the last to close the database.
    pub fn end(self) {
        let Self { begin, ended, thread, .. } = self;
        drop((begin, ended));
        let _ = thread.join();
    }
}
