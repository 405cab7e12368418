//! The tail: the entries behind the watermark, by host, and what they made of their hosts. It is in
//! memory until the projector has written it to the tables that are kept by host.

use super::batch::Batch;
use crate::domain::apply::{Heard, Late};
use crate::domain::content::{Content, ContentDigest};
use crate::domain::course::Change;
use crate::domain::event::Event;
use crate::domain::line::Entry;
use crate::domain::place::Place;
use crate::domain::report::{Kind, Run, Source};
use crate::domain::state::HostState;
use crate::domain::time::Timestamp;
use crate::ledger::batch::NewEntry;
use foldhash::HashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Entries above which each batch has at least as many projected as it brings. After a crash as many are
/// applied again; with 1,000 hosts each step writes some 32 entries into one page.
pub const MOST_ENTRIES: usize = 32 << 10;
/// The same in bytes of what they say, about.
const MOST_BYTES: usize = 8 << 20;

/// What is not projected yet, by host (its number).
#[derive(Debug, Default)]
pub struct Tail {
    hosts: HashMap<i64, Share>,
    /// The hosts by their first entry.
    order: BTreeMap<u64, i64>,
    weight: Weight,
}

/// Entries, and about how many bytes of memory they take.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weight {
    entries: usize,
    bytes: usize,
}

impl std::ops::Add for Weight {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { entries: self.entries + other.entries, bytes: self.bytes + other.bytes }
    }
}

/// The part of one host.
#[derive(Debug, Clone)]
pub struct Share {
    /// The host's state after them.
    pub state: Arc<HostState>,
    /// Its entries, in the order of arrival.
    pub entries: Vec<TailEntry>,
    /// What they added to its course, as long as they came in order.
    pub changes: Vec<Change>,
    /// From where its course is to be folded anew, if they did not.
    pub late: Option<Late>,
}

/// An entry of the tail: what a look-up and the index of hosts need of it.
#[derive(Debug, Clone)]
pub struct TailEntry {
    /// The number of the name that it came under.
    pub host_id: i64,
    /// Where it stands in its host's order.
    pub place: Place,
    /// What it is.
    pub kind: Kind,
    /// Who says it.
    pub source: Option<Source>,
    /// The time the sender gave.
    pub reported_at: Option<Timestamp>,
    /// What it says.
    pub content: Arc<Content>,
    /// The content's digest.
    pub digest: ContentDigest,
    /// The run it belongs to.
    pub run: Option<Arc<Run>>,
    /// Whether one of the same or a later time was there before.
    pub out_of_order: bool,
    /// About how much memory it takes.
    pub bytes: usize,
}

impl TailEntry {
    /// `before`: the entry of the same host before it, with which it may share what they say.
    fn of(new: &NewEntry, before: Option<&Self>) -> Self {
        let shared = before.is_some_and(|before| Arc::ptr_eq(&before.content, &new.kept));
        let own = if shared { 0 } else { new.kept.weight() };
        Self {
            bytes: size_of::<Self>() + own,
            host_id: new.host_id,
            place: new.place(),
            kind: new.entry.kind,
            source: new.entry.source,
            reported_at: new.entry.reported_at,
            content: new.kept.clone(),
            digest: new.digest,
            run: new.entry.run.clone(),
            out_of_order: new.out_of_order,
        }
    }

    /// An entry that was read, under the number of its name.
    pub fn read(host_id: i64, entry: Entry) -> Self {
        Self {
            host_id,
            place: Place { time: entry.time, id: entry.id },
            kind: entry.kind,
            source: entry.source,
            reported_at: entry.reported_at,
            digest: entry.content.digest(),
            bytes: size_of::<Self>() + entry.content.weight(),
            content: entry.content,
            run: entry.run,
            out_of_order: false,
        }
    }

    /// What a projection needs of it.
    pub fn event(&self) -> Event<'_> {
        Event {
            place: self.place,
            kind: self.kind,
            source: self.source,
            reported_at: self.reported_at,
            content: &self.content,
            digest: self.digest,
            run: self.run.as_ref(),
        }
    }

    /// The same as it was heard.
    pub fn heard(&self) -> Heard<'_> {
        Heard { event: self.event(), out_of_order: self.out_of_order }
    }
}

impl Share {
    /// Nothing yet.
    pub fn empty(state: Arc<HostState>) -> Self {
        Self { state, entries: Vec::new(), changes: Vec::new(), late: None }
    }

    /// Takes in a new entry.
    pub fn take_in(&mut self, new: &NewEntry) {
        let entry = TailEntry::of(new, self.entries.last());
        self.entries.push(entry);
    }

    fn first(&self) -> Option<u64> {
        self.entries.first().map(|entry| entry.place.id)
    }

    /// How much it is.
    pub fn weight(&self) -> Weight {
        let bytes = self.entries.iter().map(|entry| entry.bytes).sum();
        Weight { entries: self.entries.len(), bytes }
    }

    /// Takes in that entries came late.
    pub fn note_late(&mut self, late: Late) {
        self.late = Some(match self.late.take() {
            None => late,
            Some(before) => Late {
                base: before.base.or(late.base),
                from: before.from.min(late.from),
                last: before.last.max(late.last),
            },
        });
    }

    /// What is to be listed of it beside its entries.
    pub fn listing(&self) -> Option<Listing<'_>> {
        let late = self.late.as_ref()?;
        Some(Listing { state: &self.state, late })
    }
}

/// A host's part of the tail that came late.
#[derive(Debug, Clone, Copy)]
pub struct Listing<'a> {
    /// The host's state.
    pub state: &'a HostState,
    /// What came late.
    pub late: &'a Late,
}

impl Tail {
    /// Takes a host's part in.
    pub fn put(&mut self, share: Share) {
        let Some(first) = share.first() else { return };
        self.order.insert(first, share.state.host_id);
        self.weight = self.weight + share.weight();
        self.hosts.insert(share.state.host_id, share);
    }

    /// Takes a host's part out.
    pub fn take(&mut self, root: i64) -> Option<Share> {
        let share = self.hosts.remove(&root)?;
        let Weight { entries, bytes } = share.weight();
        self.weight.entries -= entries;
        self.weight.bytes -= bytes;
        share.first().map(|first| self.order.remove(&first));
        Some(share)
    }

    /// Takes in what a committed batch has added.
    pub fn absorb(&mut self, batch: &mut Batch) {
        for state in &batch.derived.states {
            let share = self.hosts.entry(state.host_id);
            share.or_insert_with(|| Share::empty(state.clone())).state = state.clone();
        }
        for new in &batch.truth.entries {
            let Some(share) = self.hosts.get_mut(&new.root) else { continue };
            if share.entries.is_empty() {
                self.order.insert(new.entry.id, new.root);
            }
            share.take_in(new);
            self.weight.entries += 1;
            self.weight.bytes += share.entries.last().map_or(0, |entry| entry.bytes);
        }
        for (root, change) in batch.derived.changes.drain(..) {
            if let Some(share) = self.hosts.get_mut(&root) {
                share.changes.push(change);
            }
        }
        for (root, late) in batch.derived.late.drain(..) {
            if let Some(share) = self.hosts.get_mut(&root) {
                share.note_late(late);
            }
        }
    }

    /// A host's entries, in the order of arrival.
    pub fn entries_of(&self, root: i64) -> &[TailEntry] {
        self.hosts.get(&root).map_or(&[], |share| &share.entries)
    }

    /// Whether there is too much once so much is gone.
    pub fn is_too_much(&self, gone: Weight) -> bool {
        self.weight.entries > MOST_ENTRIES + gone.entries
            || self.weight.bytes > MOST_BYTES + gone.bytes
    }

    /// The hosts by their first entries, the oldest first.
    pub fn oldest(&self) -> impl Iterator<Item = (u64, &Share)> {
        self.order.iter().map(|(first, root)| (*first, &self.hosts[root]))
    }

    /// How many hosts have entries here.
    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// The first entry.
    pub fn first(&self) -> Option<u64> {
        self.order.keys().next().copied()
    }
}
