//! The projector's side of a commit: which hosts' parts of the tail are written to the tables that are
//! kept by host.

use super::batch::Batch;
use super::changes::changes;
use super::listing::listed;
use super::refolder::Refold;
use super::steps;
use super::tail::{Share, Weight};
use super::writer::{Pace, Writer};
use crate::files::trouble::Trouble;
use crate::ledger::batch::CommitError;
use crate::ledger::steps::Step;

/// What is projected with a transaction.
#[derive(Debug, Default)]
pub struct Plan {
    /// The parts of the tail that are written: they are out of it while this is done.
    pub shares: Vec<Share>,
    /// Hosts that are listed to be folded anew.
    pub refolds: Vec<Refold>,
    /// Hosts that are not listed any more.
    pub unlisted: Vec<i64>,
    /// What writes all of it.
    pub steps: Vec<Step>,
}

impl Writer {
    /// Every entry up to this id is projected.
    pub fn watermark(&self) -> u64 {
        self.tail.first().map_or(self.appender.size, |first| first - 1)
    }

    /// Which hosts are projected along with the batches from here on.
    pub fn project_along(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// How many hosts have entries in the tail.
    pub fn hosts_in_tail(&self) -> usize {
        self.tail.hosts()
    }

    /// Hosts with entries behind the watermark up to an id, the oldest first.
    pub fn behind(&self, id: u64, at_most: usize) -> Vec<i64> {
        let oldest = self.tail.oldest().take_while(|(first, _)| *first <= id);
        oldest.take(at_most).map(|(_, share)| share.state.host_id).collect()
    }

    /// The hosts to be projected along with a batch: as many as the pace says, and what is too much at all.
    fn due(&self) -> Vec<i64> {
        let (mut due, mut gone) = (Vec::new(), Weight::default());
        for (first, share) in self.tail.oldest() {
            let paced = first <= self.pace.overdue && due.len() < self.pace.hosts;
            if !paced && !self.tail.is_too_much(gone) {
                break;
            }
            due.push(share.state.host_id);
            gone = gone + share.weight();
        }
        due
    }

    /// What is projected along with a batch.
    pub fn plan(&mut self, batch: &Batch) -> Result<Plan, Trouble> {
        if !self.projects {
            return Ok(Plan::default());
        }
        let due = self.due();
        self.plan_of(&due, batch.truth.entries.first().map(|new| new.entry.id))
    }

    /// What projects these hosts; `first_new`: the first entry that comes with the same transaction.
    pub fn plan_of(&mut self, roots: &[i64], first_new: Option<u64>) -> Result<Plan, Trouble> {
        let mut plan = Plan::default();
        plan.shares.extend(roots.iter().filter_map(|root| self.tail.take(*root)));
        if plan.shares.is_empty() {
            return Ok(plan);
        }
        match self.fill(&mut plan, first_new) {
            Ok(()) => Ok(plan),
            Err(error) => {
                // Else the watermark would pass what is taken out.
                self.given_up(plan);
                Err(error)
            }
        }
    }

    fn fill(&mut self, plan: &mut Plan, first_new: Option<u64>) -> Result<(), Trouble> {
        plan.shares.sort_unstable_by_key(|share| share.state.host_id);
        let first = self.tail.first().into_iter().chain(first_new).min();
        let watermark = first.map_or(self.appender.size, |first| first - 1);
        let (size, shares) = (self.appender.size, &plan.shares);
        plan.steps.extend(steps::project(shares.iter().map(|share| (share, size)), watermark));
        let added = shares
            .iter()
            .flat_map(|share| share.changes.iter().map(|change| (share.state.host_id, change)));
        plan.steps.extend(changes(self, &added.collect::<Vec<_>>())?);
        for share in shares {
            let before = self.refolds.get(&share.state.host_id);
            if let Some(listing) = share.listing() {
                let refold = listed(before, listing);
                plan.steps.extend(self.list(&refold)?);
                plan.refolds.push(refold);
            } else if let Some(before) = before {
                // A step that is being prepared does not know of these entries.
                let generation = before.generation + 1;
                plan.refolds.push(Refold { generation, ..before.clone() });
            }
        }
        Ok(())
    }

    /// Notes that a plan is carried out.
    pub fn carried_out(&mut self, plan: Plan) {
        for root in plan.unlisted {
            self.refolds.remove(&root);
        }
        for refold in plan.refolds {
            self.refolds.insert(refold.names.root, refold);
        }
    }

    /// Notes that a plan is not carried out.
    pub fn given_up(&mut self, plan: Plan) {
        // Numbers given to sets of files are free again.
        self.file_sets.known.clear();
        for share in plan.shares {
            self.tail.put(share);
        }
    }

    /// Projects hosts in a transaction of its own. It waits for nobody's lock: reports that come meanwhile
    /// would wait as well.
    pub fn project(&mut self, hosts: &[i64]) -> Result<(), CommitError> {
        // A lock held for the next commit is of no use if something else comes first.
        self.unlock();
        let mut plan = self.plan_of(hosts, None).map_err(CommitError::NotStored)?;
        if plan.steps.is_empty() {
            return Ok(());
        }
        self.note_pages(0, 0, plan.shares.len(), 0);
        let steps = std::mem::take(&mut plan.steps);
        let done = self.without_waiting(|writer| writer.transact(&[&steps]));
        if done.is_err() {
            self.let_go();
        }
        self.concluded(plan, done)
    }
}
