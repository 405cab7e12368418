//! Writing the steps in which a host is folded anew, because an entry came that belongs before something
//! that was folded. `refolder` prepares them, on a connection that reads. Reports do not wait for any of it.

use super::changes::changes;
use super::listing::listed;
use super::plan::Plan;
use super::refolder::{Next, Refold, Refolded};
use super::steps;
use super::tail::{Share, TailEntry};
use super::writer::Writer;
use crate::domain::apply::advance;
use crate::domain::state::HostState;
use crate::domain::time::Timestamp;
use crate::files::trouble::Trouble;
use crate::ledger::batch::CommitError;
use crate::ledger::steps::{Step, Value};
use std::sync::Arc;

/// What a stretch held before: segments that begin in it, episodes that begin in it, and what the
/// episode that was open before it knew of it.
const CLEAR_SEGMENTS: &str = "DELETE FROM segment WHERE host_id IN (SELECT value FROM json_each(?)) \
     AND start >= ? AND start < ?";
const CLEAR_FILES: &str = "DELETE FROM episode_files WHERE episode_id IN (SELECT id FROM episode \
     WHERE host_id IN (SELECT value FROM json_each(?)) AND started_at > ? AND started_at <= ?)";
const CLEAR_EPISODES: &str = "DELETE FROM episode WHERE host_id IN (SELECT value FROM json_each(?)) \
     AND started_at > ? AND started_at <= ?";
const CLEAR_FILES_OF_OPEN: &str = "DELETE FROM episode_files WHERE episode_id = ? \
     AND (SELECT h.time FROM drift_history h WHERE h.seq = episode_files.seq) > ?";
const REOPEN: &str = "UPDATE episode SET ended_at = NULL, closed_seq = NULL, closed_by = NULL, \
     deployment_id = NULL, last_drift = started_at, reports = 0, drifted = 0 WHERE id = ?";

impl Writer {
    /// The hosts that are being folded anew.
    pub fn refolds(&self) -> impl Iterator<Item = &Refold> {
        self.refolds.values()
    }

    /// Writes steps of folding hosts anew, in a transaction of their own; those that are of no use any more
    /// are left out. `state`: a host's, as it is now. Answers the states of hosts that are in order again.
    pub fn write_refolded(
        &mut self,
        done: &[Refolded],
        state: impl Fn(&Refold) -> Option<Arc<HostState>>,
    ) -> Result<Vec<Arc<HostState>>, CommitError> {
        self.unlock();
        let (mut plan, mut states) = (Plan::default(), Vec::new());
        for done in done {
            let row = self.refolds.get(&done.names.root);
            let row = row.filter(|row| row.generation == done.generation).cloned();
            let Some((row, state)) = row.and_then(|row| state(&row).map(|state| (row, state)))
            else {
                continue;
            };
            match self.plan_refolded(&mut plan, done, row, &state) {
                Ok(state) => states.extend(state),
                Err(error) => {
                    self.given_up(plan);
                    self.let_go();
                    return Err(CommitError::NotStored(error));
                }
            }
        }
        if plan.steps.is_empty() {
            return Ok(states);
        }
        plan.steps.push(steps::move_watermark(self.watermark()));
        let steps = std::mem::take(&mut plan.steps);
        self.note_pages(0, 0, 2 * done.len(), 0);
        let written = self.without_waiting(|writer| writer.transact(&[&steps]));
        if written.is_err() {
            self.let_go();
        }
        self.concluded(plan, written).map(|()| states)
    }

    fn plan_refolded(
        &mut self,
        plan: &mut Plan,
        done: &Refolded,
        mut row: Refold,
        state: &HostState,
    ) -> Result<Option<Arc<HostState>>, Trouble> {
        plan.steps.extend(clear(done));
        let root = done.names.root;
        let added: Vec<_> = done.changes.iter().map(|change| (root, change)).collect();
        plan.steps.extend(changes(self, &added)?);
        match &done.next {
            Next::On { from, course, met } => {
                (row.from, row.course, row.resumed) = (*from, course.clone(), true);
                if *met {
                    // What is met once is passed: nothing further on differs.
                    row.last = Timestamp(i64::MAX);
                }
                plan.steps.extend(self.list(&row)?);
                plan.refolds.push(row);
                Ok(None)
            }
            Next::End { course } => {
                let mut state = HostState { course: Some(course.clone()), ..state.clone() };
                let share = self.tail.take(root);
                let (mut heard, mut added) = (Vec::new(), Vec::new());
                heard.extend(share.iter().flat_map(|share| &share.entries).map(TailEntry::heard));
                let late = advance(&mut state, &mut heard, &mut added);
                let added: Vec<_> = added.iter().map(|change| (root, change)).collect();
                plan.steps.extend(changes(self, &added)?);
                let state = Arc::new(state);
                let entries = share.iter().flat_map(|share| share.entries.iter().cloned());
                let now = Share { entries: entries.collect(), late, ..Share::empty(state.clone()) };
                plan.shares.extend(share);
                let watermark = self.watermark();
                plan.steps
                    .extend(steps::project(std::iter::once((&now, self.appender.size)), watermark));
                if let Some(listing) = now.listing() {
                    let generation = row.generation + 1;
                    let refold = Refold { generation, ..listed(None, listing) };
                    plan.steps.extend(self.list(&refold)?);
                    plan.refolds.push(refold);
                    return Ok(None);
                }
                plan.steps.push(steps::unlist(root));
                plan.unlisted.push(root);
                Ok(Some(state))
            }
        }
    }
}

/// What takes away what a stretch held before.
fn clear(done: &Refolded) -> Vec<Step> {
    let names = serde_json::to_string(&done.names.all).expect("integers are JSON");
    let names = || Value::from(names.clone());
    let cleared = &done.cleared;
    let (after, until) = (cleared.episodes_after.0, cleared.episodes_until.0);
    let (from, to) = (cleared.segments_from.0, cleared.segments_until.0);
    let mut steps = vec![
        Step { text: CLEAR_SEGMENTS, values: vec![names(), from.into(), to.into()] },
        Step { text: CLEAR_FILES, values: vec![names(), after.into(), until.into()] },
        Step { text: CLEAR_EPISODES, values: vec![names(), after.into(), until.into()] },
    ];
    if let Some(open) = cleared.open_episode {
        let id = open as i64;
        steps.push(Step { text: CLEAR_FILES_OF_OPEN, values: vec![id.into(), after.into()] });
        steps.push(Step { text: REOPEN, values: vec![id.into()] });
    }
    steps
}
