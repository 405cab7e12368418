//! Acts of people: retiring a host, and giving it a new name. Each is a batch of its own.

use super::messages::{Act, ActError, ActReceipt, Deed, RecordError};
use super::task::{MOVED_RETRIES, Task};
use crate::board::Inner;
use crate::domain::content::Content;
use crate::domain::course::Step;
use crate::domain::line::Entry;
use crate::domain::names::HostKey;
use crate::domain::place::Place;
use crate::domain::report::{Kind, Transition};
use crate::domain::state::HostState;
use crate::domain::time::Timestamp;
use crate::domain::tree::Hash;
use crate::store::{Batch, NewEntry, Renaming};
use std::sync::Arc;

/// The host of a name, and whether that is its name now.
fn host_of<'b>(board: &'b Inner, key: &HostKey) -> Result<&'b Arc<HostState>, ActError> {
    let (_, state) = board.find(key).ok_or_else(|| ActError::Unknown(key.clone()))?;
    if state.key == *key {
        Ok(state)
    } else {
        Err(ActError::Renamed(key.clone(), state.key.clone()))
    }
}

impl Task {
    /// Records an act.
    pub(super) async fn act(&mut self, act: &Act) -> Result<ActReceipt, ActError> {
        for moved in 0..MOVED_RETRIES {
            if let Err(error) = self.catch_up(moved > 0).await {
                return Err(self.note(&error, RecordError::NotStored).into());
            }
            let plan = self.plan(act)?;
            let (entry, renames) = (&plan.entries[0].entry, plan.renaming.is_some());
            let (id, hash) = (entry.id, self.hash_of(entry));
            match self.commit(plan).await {
                Ok(()) => {}
                Err(Some(error)) => return Err(error.into()),
                Err(None) => continue,
            }
            // It is recorded; if loading fails, the next batch does it.
            if renames && let Err(error) = self.load().await {
                self.note(&error, RecordError::NotStored);
            }
            let state = self.board.find(&act.key).map(|(_, state)| state);
            return Ok(ActReceipt { id, hash, state });
        }
        Err(RecordError::NotStored.into())
    }

    fn hash_of(&self, entry: &Entry) -> [u8; 32] {
        entry.leaf_hash(&self.origin)
    }

    /// Judges an act; answers what it writes.
    fn plan(&self, act: &Act) -> Result<Batch, ActError> {
        match &act.deed {
            Deed::Retire { reason } => self.plan_retire(act, reason.clone()),
            Deed::Alias { of } => self.plan_alias(act, of),
        }
    }

    fn plan_retire(&self, act: &Act, reason: Option<String>) -> Result<Batch, ActError> {
        let mut state = host_of(&self.board.read(), &act.key)?.clone();
        if state.is_retired() {
            return Err(ActError::Retired(act.key.clone()));
        }
        // Behind everything that has happened, also on the same tick of the clock.
        let now = self.now().max(Timestamp(state.course.last.0 + 1));
        let content = Content { reason, ..Content::default() };
        let entry = self.entry(act, Kind::Retire, content, now);
        let place = Place { time: now, id: entry.entry.id };
        let (content, digest) = (&*entry.entry.content, entry.digest);
        let step = Step { place, kind: Kind::Retire, source: None, content, digest };
        let mut changes = Vec::new();
        let host = Arc::make_mut(&mut state);
        host.retire(place);
        host.course.advance(&[step], &mut changes);
        let changes = changes.into_iter().map(|change| (state.host_id, change)).collect();
        let entries = vec![NewEntry { host_id: state.host_id, ..entry }];
        Ok(Batch { entries, changes, states: vec![state], ..Batch::default() })
    }

    fn plan_alias(&self, act: &Act, of: &HostKey) -> Result<Batch, ActError> {
        let board = self.board.read();
        let old = host_of(&board, of)?;
        let found = board.find(&act.key);
        if act.key == *of || found.is_some_and(|(_, state)| state.key == *of) {
            return Err(ActError::Cycle(of.clone()));
        }
        let fresh = self.last_host_id + 1;
        let (name, root) = found.map_or((fresh, fresh), |(name, state)| (name, state.host_id));
        let new_hosts = if found.is_none() { vec![(fresh, act.key.clone())] } else { Vec::new() };
        let detail = serde_json::json!({"host": &*of.host, "server_group": &*of.server_group});
        let content = Content { detail: Some(detail.to_string()), ..Content::default() };
        let entry = self.entry(act, Kind::Alias, content, self.now());
        let entries = vec![NewEntry { host_id: name, ..entry }];
        let renaming = Some(Renaming { old: old.host_id, new: root });
        Ok(Batch { new_hosts, entries, renaming, ..Batch::default() })
    }

    fn entry(&self, act: &Act, kind: Kind, content: Content, now: Timestamp) -> NewEntry {
        let digest = content.digest();
        let entry = Entry {
            id: self.size + 1,
            kind,
            source: None,
            key: act.key.clone(),
            time: now,
            reported_at: None,
            received_at: now,
            content: Arc::new(content),
            run: None,
            sender: act.sender.clone(),
            late: false,
            transition: Transition::None,
        };
        let hash = Hash(self.hash_of(&entry));
        NewEntry { entry, host_id: 0, digest, hash }
    }
}
