//! Writing a batch whole, or nothing of it: what is true, and what the projector has ready.

use super::batch::{Batch, Renaming};
use super::listing::listed;
use super::plan::Plan;
use super::refolder::Refold;
use super::steps;
use super::tail::Share;
use super::writer::{Pace, Writer};
use crate::domain::apply::Late;
use crate::domain::course::Course;
use crate::domain::time::Timestamp;
use crate::files::trouble::Trouble;
use crate::ledger::batch::CommitError;
use crate::ledger::direct;
use crate::ledger::steps::Step;

impl Writer {
    /// Writes a batch; on `Ok` it is committed and synced. After an error the states handed in are
    /// void: [`Writer::load`] again before the next commit.
    pub fn commit(&mut self, batch: &mut Batch) -> Result<(), CommitError> {
        let done = self.append_and_project(batch);
        if done.is_ok() {
            self.locked = false;
            self.appender.committed(&batch.truth);
            if batch.derived.renaming.is_none() {
                self.tail.absorb(batch);
            }
            self.file_sets.keep_small();
            return done;
        }
        // Dropping it ends the transaction; see the head of `writer`.
        self.let_go();
        match done {
            Err(CommitError::NotStored(cause)) => match self.has_moved() {
                Ok(true) => Err(CommitError::Moved),
                _ if cause.is_constraint() => Err(CommitError::NotStored(self.edited(&cause))),
                _ => Err(CommitError::NotStored(cause)),
            },
            other => other,
        }
    }

    /// What it means that a batch does not fit the tables, when no process of ours has written meanwhile.
    fn edited(&self, cause: &Trouble) -> Trouble {
        let size = self.appender.size;
        Trouble::damaged(format!(
            "the tables are not as entry {size} left them, something else has written: see `verify` ({cause})"
        ))
    }

    /// If what the projector adds does not go through, the batch is written without it: a damaged
    /// projection refuses no report.
    fn append_and_project(&mut self, batch: &Batch) -> Result<(), CommitError> {
        let steps = self.append(batch).map_err(CommitError::NotStored)?;
        if batch.derived.renaming.is_some() {
            let plan = self.plan_renaming(batch).map_err(CommitError::NotStored)?;
            let done = self.transact(&[&steps, &plan.steps]);
            return self.concluded(plan, done);
        }
        let plan = self.plan(batch).unwrap_or_else(|cause| self.nothing_to_project(&cause));
        let projects = !plan.steps.is_empty();
        let done = self.transact(&[&steps, &plan.steps]);
        let done = self.concluded(plan, done);
        match &done {
            Err(CommitError::NotStored(cause)) if projects && cause.may_be_the_contents() => {
                self.let_go();
                if self.locked || matches!(self.has_moved(), Ok(true)) {
                    return done;
                }
                self.nothing_to_project(cause);
                self.transact(&[&steps])
            }
            _ => done,
        }
    }

    fn nothing_to_project(&mut self, cause: &Trouble) -> Plan {
        tracing::error!(error = %cause, "what was to be projected with a batch is left out; see `verify`");
        // Until the next look around.
        self.pace = Pace::default();
        Plan::default()
    }

    fn append(&mut self, batch: &Batch) -> Result<Vec<Step>, Trouble> {
        self.connection()?;
        let Some(connection) = &self.connection else { return Ok(Vec::new()) };
        let steps = self.appender.append(connection, &batch.truth)?;
        let bytes = steps.iter().map(Step::text_bytes).sum();
        let (rows, keys) = (batch.truth.entries.len(), batch.truth.keys.len());
        self.note_pages(rows, bytes, self.pace.hosts, keys);
        Ok(steps)
    }

    /// Keeps a plan's word once its transaction has gone through.
    pub fn concluded(
        &mut self,
        plan: Plan,
        done: Result<(), CommitError>,
    ) -> Result<(), CommitError> {
        match &done {
            Ok(()) => self.carried_out(plan),
            Err(_) => self.given_up(plan),
        }
        done
    }

    /// Runs steps as one transaction.
    pub fn transact(&mut self, parts: &[&[Step]]) -> Result<(), CommitError> {
        let locked = self.locked;
        let connection = self.connection().map_err(CommitError::NotStored)?;
        if !locked {
            direct::begin(connection).map_err(CommitError::NotStored)?;
        }
        for steps in parts {
            direct::run(connection, steps).map_err(CommitError::NotStored)?;
        }
        direct::commit(connection)
    }

    /// What writes a renaming: both hosts' parts of the tail, the entry that says so, the state of the
    /// host that goes on, and that it is to be folded anew from its beginning.
    fn plan_renaming(&mut self, batch: &Batch) -> Result<Plan, Trouble> {
        let (Some(renaming), Some(new)) = (&batch.derived.renaming, batch.truth.entries.first())
        else {
            return Ok(Plan::default());
        };
        let Renaming { old, state, .. } = renaming;
        let mut plan = Plan { unlisted: vec![*old], ..Plan::default() };
        let before = self.refolds.get(&state.host_id).map(|refold| refold.generation);
        let mut merged = Share::empty(state.clone());
        for root in [*old, state.host_id] {
            if let Some(share) = self.tail.take(root) {
                merged.entries.extend_from_slice(&share.entries);
                plan.shares.push(share);
            }
        }
        merged.take_in(new);
        merged.entries.sort_unstable_by_key(|entry| entry.place.id);
        merged.note_late(Late {
            base: Some(Course::default()),
            from: Timestamp(i64::MIN),
            last: Timestamp(i64::MAX),
        });
        let size = self.appender.size + 1;
        let first = self.tail.first();
        let watermark = first.map_or(size, |first| first - 1);
        plan.steps.extend(steps::rename(*old, state.host_id));
        plan.steps.extend(steps::project(std::iter::once((&merged, size)), watermark));
        if let Some(listing) = merged.listing() {
            let generation = before.map_or(0, |generation| generation + 1);
            let refold = Refold { generation, ..listed(None, listing) };
            plan.steps.extend(self.list(&refold)?);
            plan.refolds.push(refold);
        }
        Ok(plan)
    }
}
