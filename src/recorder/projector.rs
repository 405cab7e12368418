//! The projector: it writes what is recorded to the tables that are kept by host, in steps that stand in
//! nobody's way, and folds hosts anew to whom something came late.

use super::messages::RecordError;
use super::task::Task;
use crate::files::Trouble;
use crate::ledger::CommitError;
use crate::projection::{Pace, Refold, Refolded};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Commits a second from which on hosts are projected along with them; with fewer, in between.
const BUSY: usize = 100;
/// Hosts whose steps of folding anew are prepared together, at most.
const REFOLDED_AT_ONCE: usize = 64;
/// Hosts projected at once in between: a report that comes meanwhile waits for them.
const AT_ONCE: usize = 8;

/// How long an end goes on with folding hosts anew: a part of what the whole of it may take.
const AT_THE_END: Duration = Duration::from_secs(2);

impl Task {
    /// What is there by now is overdue: it is projected within the next second, evenly, along with the
    /// commits if there are many.
    pub(super) fn pace_projecting(&mut self) {
        self.refolding.failed = false;
        let commits = std::mem::take(&mut self.lag.commits);
        self.lag.overdue = self.size;
        self.lag.busy = commits >= BUSY;
        let hosts = if self.lag.busy { self.writer.hosts_in_tail().div_ceil(commits) } else { 0 };
        self.writer.project_along(Pace { overdue: self.lag.overdue, hosts });
    }

    /// Whether hosts are to be projected in between.
    pub(super) fn is_behind(&self) -> bool {
        let trusted = self.projects && !self.void && !self.failing;
        trusted && !self.lag.busy && self.writer.watermark() < self.lag.overdue
    }

    /// Projects some hosts of those that wait longest; if another process is writing, after the next look
    /// around.
    pub(super) fn project_some(&mut self) {
        let hosts = self.writer.behind(self.lag.overdue, AT_ONCE);
        let done = self.writer.project(&hosts);
        self.judge(done);
    }

    /// Projects all that is left, and ends what was being folded anew, at the end.
    pub(super) fn project_rest(&mut self) {
        if self.projects && !self.disk.lost && !self.void {
            let hosts = self.writer.behind(u64::MAX, usize::MAX);
            let done = self.writer.project(&hosts);
            self.judge(done);
        }
    }

    /// Folds on what is being folded anew, at the end: not for long, the next start goes on with it.
    pub(super) async fn refold_rest(&mut self) {
        let until = Instant::now() + AT_THE_END;
        while !self.disk.lost {
            self.refold_some();
            if !self.refolding.busy {
                return;
            }
            let Ok(step) = timeout_at(until, self.refolding.ended()).await else { return };
            self.refolded(step);
        }
    }

    /// Has the next hosts folded on, if any are to be folded anew and none is at the moment.
    pub(super) fn refold_some(&mut self) {
        if self.refolding.busy || self.refolding.failed || !self.projects || self.void {
            return;
        }
        let last = self.refolding.last;
        let mut next: Vec<&Refold> = self.writer.refolds().collect();
        next.sort_unstable_by_key(|refold| (refold.names.root <= last, refold.names.root));
        let next: Vec<Refold> = next.into_iter().take(REFOLDED_AT_ONCE).cloned().collect();
        if !next.is_empty() && self.refolding.begin(next) {
            self.refolding.busy = true;
        }
    }

    /// Writes steps of folding hosts anew.
    pub(super) fn refolded(&mut self, outcome: Result<Vec<Refolded>, Trouble>) {
        self.refolding.busy = false;
        let refolded = match outcome {
            Ok(refolded) => refolded,
            Err(error) => {
                tracing::error!(%error, "a host could not be folded anew just now; see `verify`");
                self.refolding.failed = true;
                return self.distrust(&error);
            }
        };
        if self.void {
            return;
        }
        self.refolding.last = refolded.last().map_or(0, |step| step.names.root);
        let board = &self.board;
        let state = |row: &Refold| board.find(&row.key).map(|(_, state)| state);
        let done = self.writer.write_refolded(&refolded, state);
        self.refolding.failed = done.is_err();
        let states = done.map(|states| {
            if !states.is_empty() {
                self.board.publish(states, None, self.size);
            }
        });
        self.judge(states);
    }

    /// What becomes of a step that was not written: another process writes just now, or the database fails.
    /// Memory is as it was before, and it is tried again after the next look around.
    fn judge(&mut self, done: Result<(), CommitError>) {
        match done {
            Ok(()) => {
                self.folding.note(self.writer.pages_written());
                self.failing = false;
            }
            Err(CommitError::NotStored(error)) if error.is_busy() => self.lag.overdue = 0,
            Err(CommitError::Moved) => self.lag.overdue = 0,
            Err(CommitError::NotStored(error)) => {
                tracing::error!(%error, "what was recorded last could not be projected");
                self.distrust(&error);
                self.lag.overdue = 0;
            }
            Err(CommitError::Unknown(error)) => {
                self.note(&error, RecordError::Unknown);
            }
        }
    }
}
