//! What one transaction writes, and what becomes of it.

use super::courses::Disorder;
use crate::domain::content::ContentDigest;
use crate::domain::course::{Change, Course};
use crate::domain::line::Entry;
use crate::domain::names::HostKey;
use crate::domain::push::Grouping;
use crate::domain::report::Source;
use crate::domain::state::HostState;
use crate::domain::time::Timestamp;
use crate::domain::tree::{Frontier, Hash, Node};
use crate::store::trouble::Trouble;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Refused reports kept.
pub const REJECTIONS_KEPT: i64 = 10_000;

/// Everything one transaction writes.
#[derive(Debug, Default)]
pub struct Batch {
    /// Hosts seen for the first time, with their numbers.
    pub new_hosts: Vec<(i64, HostKey)>,
    /// New entries in the order of their ids, which follow on the newest stored one.
    pub entries: Vec<NewEntry>,
    /// The states of the hosts concerned, after the batch.
    pub states: Vec<Arc<HostState>>,
    /// Idempotency keys to remember.
    pub keys: Vec<KeyRecord>,
    /// Refused reports to list.
    pub rejections: Vec<Rejection>,
    /// Keys received before this are forgotten.
    pub forget_keys_before: Timestamp,
    /// What the courses of hosts (by number) added.
    pub changes: Vec<(i64, Change)>,
    /// Hosts whose course is to be folded anew.
    pub disorders: Vec<Disorder>,
    /// Entries out of order: the number of their host's name, and their id.
    pub out_of_order: Vec<(i64, u64)>,
    /// Groupings of pushes, as the batch leaves them.
    pub groupings: Vec<PushedGrouping>,
    /// A host that has a new name from now on; the batch holds nothing else but that entry.
    pub renaming: Option<Renaming>,
    /// What the entries' leaves make of the tree; `None` without entries.
    pub growth: Option<Growth>,
}

/// A tree that has grown.
#[derive(Debug)]
pub struct Growth {
    /// The tree afterwards.
    pub tree: Frontier,
    /// The subtrees completed, of those that are kept.
    pub kept: Vec<(Node, Hash)>,
}

/// What is remembered of a grouping of pushes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedGrouping {
    /// Which.
    pub grouping: Grouping,
    /// The time of its newest push that held a stack's state; `None` before the first, and deleted.
    pub pushed_at: Option<Timestamp>,
    /// The hosts that it held: the numbers of the names they were pushed with.
    pub members: BTreeMap<i64, HostKey>,
}

/// A host's former name and its new one, by the numbers of hosts with a course.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Renaming {
    pub old: i64,
    pub new: i64,
}

/// The courses of the hosts that were folded anew, by their numbers.
pub type Refolded = HashMap<i64, Course>;

/// An entry on its way in.
#[derive(Debug)]
pub struct NewEntry {
    /// The entry.
    pub entry: Entry,
    /// The number of its host.
    pub host_id: i64,
    /// The digest of its content.
    pub digest: ContentDigest,
    /// Its leaf hash.
    pub hash: Hash,
}

/// A request remembered by its Idempotency-Key.
#[derive(Debug, Clone)]
pub struct KeyRecord {
    /// The access token's name, empty without one.
    pub token: String,
    /// The key as sent.
    pub key: String,
    /// Digest of route and body, hex.
    pub body: String,
    /// The entries it was answered with, in order.
    pub ids: Vec<u64>,
    /// When it came.
    pub received_at: Timestamp,
}

/// A refused report, as `GET /rejections` lists it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are the contract's, section 4")]
pub struct Rejection {
    pub time: Timestamp,
    pub source: Source,
    pub server_group: Option<String>,
    pub host: Option<String>,
    pub reason: Arc<str>,
}

/// What became of a batch that did not go through.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Surely not stored.
    #[error("not stored: {0}")]
    NotStored(Trouble),
    /// The commit itself failed: it may come back after a crash.
    #[error("the commit failed, whether it is stored is unknown: {0}")]
    Unknown(Trouble),
    /// Another process has written since we looked: load again and retry.
    #[error("another process wrote to the database")]
    Moved,
}

impl Batch {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
            && self.keys.is_empty()
            && self.rejections.is_empty()
            && self.groupings.is_empty()
    }

    /// Whether nothing has to be looked up while it is written.
    pub(super) fn is_plain(&self) -> bool {
        let orderly = self.disorders.is_empty() && self.out_of_order.is_empty();
        orderly && self.renaming.is_none() && self.groupings.is_empty()
    }

    /// Works out what its entries make of the tree that stands.
    pub fn grow(&mut self, tree: &Frontier) {
        if self.entries.is_empty() {
            return;
        }
        let (mut tree, mut kept) = (tree.clone(), Vec::new());
        for entry in &self.entries {
            tree.push(entry.hash, &mut kept);
        }
        self.growth = Some(Growth { tree, kept });
    }

    /// The hosts with a course, by the numbers of their names; for names that have no other, see the
    /// name itself.
    pub fn roots(&self) -> HashMap<i64, i64> {
        let names = |state: &Arc<HostState>| {
            let root = state.host_id;
            state.former.iter().map(|name| (*name, root)).collect::<Vec<_>>()
        };
        self.states.iter().flat_map(names).collect()
    }

    /// The first entry that is of none of these hosts (a renaming is of both).
    pub fn first_entry_but_of(&self, hosts: &HashSet<i64>) -> Option<u64> {
        if self.renaming.is_some() {
            return None;
        }
        let roots = self.roots();
        let root = |new: &&NewEntry| roots.get(&new.host_id).copied().unwrap_or(new.host_id);
        let first = self.entries.iter().find(|new| !hosts.contains(&root(new)));
        first.map(|new| new.entry.id)
    }

    /// Puts the courses that were folded anew into the states.
    pub fn put_in(&mut self, mut refolded: Refolded) {
        for state in &mut self.states {
            if let Some(course) = refolded.remove(&state.host_id) {
                Arc::make_mut(state).course = course;
            }
        }
    }
}
