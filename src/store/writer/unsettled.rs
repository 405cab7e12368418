//! What is not settled yet: the newest entries of hosts, and what they made of them, kept in memory
//! until they are written to the tables that are kept by host (see `migrations/V5__settled.sql`).

use super::batch::{Batch, NewEntry};
use super::settle::Pace;
use crate::domain::course::Change;
use crate::domain::place::Place;
use crate::domain::state::HostState;
use foldhash::HashMap;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Unsettled entries above which hosts are settled along with the next batch. After a crash as many
/// are folded again; with 1,000 hosts each settling writes some 32 entries into one page.
pub(super) const MOST: usize = 32 << 10;

/// What is unsettled, by host (the number that its course is kept under).
#[derive(Debug, Default)]
pub struct Unsettled {
    hosts: HashMap<i64, Share>,
    /// The hosts by their first unsettled entry.
    order: BTreeMap<u64, i64>,
    entries: usize,
}

/// The part of one host.
#[derive(Debug, Clone)]
pub struct Share {
    /// The host's state after them.
    pub state: Arc<HostState>,
    /// Its entries, in the order of arrival, which is that of time as well.
    pub entries: Vec<HostEntry>,
    /// What they added to its course.
    pub changes: Vec<Change>,
}

/// An entry in the index of hosts: a row of `host_entry`.
#[derive(Debug, Clone, Copy)]
pub struct HostEntry {
    /// The number of the name that it came under.
    pub host_id: i64,
    /// Where it stands.
    pub place: Place,
}

impl HostEntry {
    fn of(new: &NewEntry) -> Self {
        let place = Place { time: new.entry.time, id: new.entry.id };
        Self { host_id: new.host_id, place }
    }
}

impl Share {
    fn first(&self) -> Option<u64> {
        self.entries.first().map(|entry| entry.place.id)
    }
}

impl Unsettled {
    /// Takes a host's part in.
    pub fn put(&mut self, share: Share) {
        let Some(first) = share.first() else { return };
        self.order.insert(first, share.state.host_id);
        self.entries += share.entries.len();
        self.hosts.insert(share.state.host_id, share);
    }

    /// Takes in what a committed batch has added, but for hosts that were settled with it.
    pub fn absorb(&mut self, batch: &Batch, settled: &HashSet<i64>) {
        let names = batch.roots();
        for state in batch.states.iter().filter(|state| !settled.contains(&state.host_id)) {
            if let Some(share) = self.hosts.get_mut(&state.host_id) {
                share.state = state.clone();
            } else {
                let (entries, changes) = (Vec::new(), Vec::new());
                let share = Share { state: state.clone(), entries, changes };
                self.hosts.insert(state.host_id, share);
            }
        }
        for new in &batch.entries {
            let root = names.get(&new.host_id).copied().unwrap_or(new.host_id);
            let Some(share) = self.hosts.get_mut(&root).filter(|_| !settled.contains(&root)) else {
                continue;
            };
            if share.entries.is_empty() {
                self.order.insert(new.entry.id, root);
            }
            share.entries.push(HostEntry::of(new));
            self.entries += 1;
        }
        for (root, change) in &batch.changes {
            if let Some(share) = self.hosts.get_mut(root).filter(|_| !settled.contains(root)) {
                share.changes.push(change.clone());
            }
        }
    }

    /// A host's part together with what a batch adds to it.
    pub fn with(&self, root: i64, batch: &Batch) -> Option<Share> {
        let names = batch.roots();
        let state = batch.states.iter().find(|state| state.host_id == root);
        let mut share = match (self.hosts.get(&root), state) {
            (Some(share), None) => return Some(share.clone()),
            (Some(share), Some(state)) => Share { state: state.clone(), ..share.clone() },
            (None, Some(state)) => {
                Share { state: state.clone(), entries: Vec::new(), changes: Vec::new() }
            }
            (None, None) => return None,
        };
        let theirs = batch
            .entries
            .iter()
            .filter(|new| names.get(&new.host_id).copied().unwrap_or(new.host_id) == root);
        share.entries.extend(theirs.map(HostEntry::of));
        let changes = batch.changes.iter().filter(|(host, _)| *host == root);
        share.changes.extend(changes.map(|(_, change)| change.clone()));
        Some(share)
    }

    /// A host's part.
    pub fn of(&self, root: i64) -> Option<&Share> {
        self.hosts.get(&root)
    }

    /// The hosts to be settled along with a batch, those left longest first: as many as the pace says,
    /// and what is too much at all.
    pub fn due(&self, pace: Pace) -> Vec<i64> {
        let mut surplus = self.entries.saturating_sub(MOST);
        let mut due = Vec::new();
        for (first, root) in &self.order {
            if surplus == 0 && (*first > pace.overdue || due.len() >= pace.hosts) {
                break;
            }
            surplus = surplus.saturating_sub(self.hosts[root].entries.len());
            due.push(*root);
        }
        due
    }

    /// How many hosts have unsettled entries.
    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// The hosts with unsettled entries up to an id, the oldest first.
    pub fn up_to(&self, id: u64) -> impl Iterator<Item = i64> {
        self.order.range(..=id).map(|(_, root)| *root)
    }

    /// The hosts of some names, be they former ones.
    pub fn hosts_of(&self, names: &[i64]) -> Vec<i64> {
        let names: HashSet<&i64> = names.iter().collect();
        let theirs = |share: &&Share| {
            names.contains(&share.state.host_id)
                || share.state.former.iter().any(|name| names.contains(name))
        };
        self.hosts.values().filter(theirs).map(|share| share.state.host_id).collect()
    }

    /// Forgets hosts that are settled.
    pub fn forget(&mut self, settled: impl IntoIterator<Item = i64>) {
        for root in settled {
            if let Some(share) = self.hosts.remove(&root) {
                self.entries -= share.entries.len();
                share.first().map(|first| self.order.remove(&first));
            }
        }
    }

    /// The first unsettled entry of all hosts but these.
    pub fn first_without(&self, settled: &HashSet<i64>) -> Option<u64> {
        let mut others = self.order.iter().filter(|(_, root)| !settled.contains(root));
        others.next().map(|(first, _)| *first)
    }

    /// The first unsettled entry.
    pub fn first(&self) -> Option<u64> {
        self.order.keys().next().copied()
    }
}
