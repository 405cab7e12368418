//! What the recorder looks after besides reports: other writers, room on the disk, SQLite's log, and a disk
//! that fails.

use super::messages::RecordError;
use super::queue::Job;
use super::task::Task;
use crate::files::{LARGE_BYTES, Trouble};
use std::sync::atomic::Ordering;

/// Looks (one a second) after which it is no question of ours that holds on to the log.
const PINNED_LOOKS: u32 = 3;

impl Task {
    /// Whether there is too little room to write anything. Said once, when it begins and when it ends.
    pub(super) fn is_short(&mut self) -> bool {
        let short = self.space.is_short();
        if short != self.disk.short {
            self.disk.short = short;
            let (free, min_free) = (self.space.free().unwrap_or(0), self.space.min_free());
            if short {
                tracing::error!(
                    free,
                    min_free,
                    "the disk is nearly full: reports are refused until there is room"
                );
            } else {
                tracing::info!(free, min_free, "there is room on the disk again");
            }
        }
        short
    }

    /// Notices what another process has written.
    pub(super) fn look_around(&mut self) {
        let caught_up = match self.writer.has_moved() {
            _ if self.void => self.load(),
            Ok(true) => self.follow(),
            Ok(false) | Err(_) => Ok(()),
        };
        if let Err(error) = caught_up {
            tracing::warn!(%error, "the database cannot be read");
            self.void = true;
        }
        self.pace_projecting();
        self.tend_log();
    }

    /// Checkpoints a WAL that has grown large; says so if somebody holds on to it.
    fn tend_log(&mut self) {
        match self.writer.owed_bytes() {
            Ok(bytes) => self.space.owe(bytes),
            Err(error) => return self.distrust(&error),
        }
        let bytes = self.writer.log_bytes();
        if bytes > LARGE_BYTES {
            match self.writer.fold_back() {
                Ok(true) => {}
                Ok(false) => return self.note_pinned(bytes),
                Err(error) => {
                    tracing::warn!(%error, bytes, "the log cannot be folded back");
                    return self.distrust(&error);
                }
            }
        }
        if self.disk.warned_at > 0 {
            tracing::info!("the log is folded back");
        }
        (self.disk.pinned, self.disk.warned_at) = (0, 0);
    }

    fn note_pinned(&mut self, bytes: u64) {
        self.disk.pinned += 1;
        if self.disk.pinned >= PINNED_LOOKS && bytes >= 2 * self.disk.warned_at {
            self.disk.warned_at = bytes;
            tracing::warn!(
                bytes,
                "the log (-wal) cannot be folded back: something has been reading the database for \
                 long, and it grows until that ends"
            );
        }
    }

    /// The log is folded back but for what came meanwhile.
    pub(super) fn fold_rest(&mut self, outcome: Result<bool, Trouble>) {
        self.folding.busy = false;
        let folded = match outcome {
            Ok(false) => return,
            Ok(true) => self.writer.fold_rest(),
            Err(error) => Err(error),
        };
        if let Err(error) = folded {
            tracing::warn!(%error, "the log could not be folded back just now");
            self.distrust(&error);
        }
    }

    /// Answers a job of which nothing is written.
    pub(super) fn refuse(&self, job: Job, error: &RecordError) {
        match job {
            Job::Record(submission, answer) => {
                self.waiting_bytes.fetch_sub(submission.bytes, Ordering::Relaxed);
                let _ = answer.send(Err(error.clone()));
            }
            Job::Reject(_, bytes, _) => {
                self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            }
            Job::Probe(answer) => {
                let _ = answer.send(false);
            }
            Job::Act(_, answer) => {
                let _ = answer.send(Err(error.clone().into()));
            }
        }
    }
}
