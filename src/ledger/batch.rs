//! What one transaction appends, and what becomes of it.

use crate::domain::apply::Heard;
use crate::domain::content::{Content, ContentDigest};
use crate::domain::event::Event;
use crate::domain::line::Entry;
use crate::domain::names::HostKey;
use crate::domain::place::Place;
use crate::domain::push::Grouping;
use crate::domain::report::Source;
use crate::domain::time::Timestamp;
use crate::domain::tree::{Frontier, Hash, Node};
use crate::files::trouble::Trouble;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Refused reports kept.
pub const REJECTIONS_KEPT: i64 = 10_000;

/// What one transaction appends to the ledger. Nothing of it can be had from anything else.
#[derive(Debug, Default)]
pub struct Truth {
    /// Hosts seen for the first time, with their numbers.
    pub new_hosts: Vec<(i64, HostKey)>,
    /// New entries in the order of their ids, which follow on the newest stored one.
    pub entries: Vec<NewEntry>,
    /// What came in one array: its first entry, and how many.
    pub arrays: Vec<(u64, usize)>,
    /// Idempotency keys to remember.
    pub keys: Vec<KeyRecord>,
    /// Refused reports to list.
    pub rejections: Vec<Rejection>,
    /// Keys received before this are forgotten.
    pub forget_keys_before: Timestamp,
    /// Groupings of pushes, as the batch leaves them.
    pub groupings: Vec<PushedGrouping>,
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

/// An entry on its way in.
#[derive(Debug)]
pub struct NewEntry {
    /// The entry.
    pub entry: Entry,
    /// The number of the name that it came under.
    pub host_id: i64,
    /// The number of its host.
    pub root: i64,
    /// What is remembered of its content.
    pub kept: Arc<Content>,
    /// The digest of its content.
    pub digest: ContentDigest,
    /// Its leaf hash.
    pub hash: Hash,
    /// Whether an entry of its host with the same or a later time was there before.
    pub out_of_order: bool,
}

impl NewEntry {
    /// Where it stands in its host's order.
    pub fn place(&self) -> Place {
        Place { time: self.entry.time, id: self.entry.id }
    }

    /// The same as it was heard.
    pub fn heard(&self) -> Heard<'_> {
        Heard { event: self.event(), out_of_order: self.out_of_order }
    }

    /// What a projection needs of it.
    pub fn event(&self) -> Event<'_> {
        let Entry { kind, source, reported_at, run, .. } = &self.entry;
        Event {
            place: self.place(),
            kind: *kind,
            source: *source,
            reported_at: *reported_at,
            content: &self.kept,
            digest: self.digest,
            run: run.as_ref(),
        }
    }
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

impl Truth {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        let Self { entries, keys, rejections, groupings, .. } = self;
        entries.is_empty() && keys.is_empty() && rejections.is_empty() && groupings.is_empty()
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
}
