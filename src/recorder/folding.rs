//! When SQLite's log is folded back: beside the commits, as soon as it is long. A commit that had to do it
//! would hold up every report behind it for tens of milliseconds.

use crate::files::{LOG_STRETCH, Location, LogFolder, Trouble};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The task that folds the log back, and what it will find there.
#[derive(Debug)]
pub(super) struct Folding {
    /// Pages that had been written when it last looked, about.
    looked_at: u64,
    pub busy: bool,
    begin: mpsc::Sender<()>,
    ended: mpsc::Receiver<Result<bool, Trouble>>,
    task: JoinHandle<()>,
}

impl Folding {
    /// Starts the task, which waits.
    pub fn start(location: &Location) -> Self {
        let mut folder = LogFolder::new(location);
        let (begin, mut wanted) = mpsc::channel(1);
        let (tell, ended) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            while wanted.recv().await.is_some() {
                if tell.send(folder.fold().await).await.is_err() {
                    break;
                }
            }
            folder.close().await;
        });
        Self { looked_at: 0, busy: false, begin, ended, task }
    }

    /// Notes how many pages have been written by now.
    pub fn note(&mut self, pages: u64) {
        if pages >= self.looked_at + LOG_STRETCH && !self.busy && self.begin.try_send(()).is_ok() {
            (self.looked_at, self.busy) = (pages, true);
        }
    }

    /// Waits for the end of what was begun; whether anything was folded back.
    pub async fn ended(&mut self) -> Result<bool, Trouble> {
        match self.ended.recv().await {
            Some(outcome) => outcome,
            None => std::future::pending().await,
        }
    }

    /// Ends the task: the writer is the last to close the database.
    pub async fn end(self) {
        let Self { begin, ended, task, .. } = self;
        drop((begin, ended));
        let _ = task.await;
    }
}
