//! A batch: what is appended to the ledger, and what follows from it.

use crate::domain::apply::Late;
use crate::domain::course::Change;
use crate::domain::names::HostKey;
use crate::domain::state::HostState;
use crate::ledger::batch::Truth;
use std::sync::Arc;

/// A batch: what is true, and what follows from it.
#[derive(Debug, Default)]
pub struct Batch {
    /// What is appended to the ledger.
    pub truth: Truth,
    /// What it makes of the projections.
    pub derived: Derived,
}

/// What the entries of a batch make of their hosts.
#[derive(Debug, Default)]
pub struct Derived {
    /// The states of the hosts concerned, after the batch.
    pub states: Vec<Arc<HostState>>,
    /// What the courses of hosts (by number) added.
    pub changes: Vec<(i64, Change)>,
    /// Hosts (by number) whose course is to be folded anew.
    pub late: Vec<(i64, Late)>,
    /// A host that has a new name from now on; the batch holds nothing else but that entry.
    pub renaming: Option<Renaming>,
}

/// A host's former name and its new one, by the numbers of hosts with a course.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renaming {
    /// The number of the host that is no more.
    pub old: i64,
    /// Its name.
    pub old_key: HostKey,
    /// The state of the host that goes on.
    pub state: Arc<HostState>,
}
