//! Acts of people: retiring a host, and giving it a new name. Each is a batch of its own.

use super::messages::{Act, ActError, ActReceipt, Deed, RecordError};
use super::task::{MOVED_RETRIES, Task};
use crate::board::Inner;
use crate::domain::apply::{Host, advance, hear};
use crate::domain::content::Content;
use crate::domain::line::Entry;
use crate::domain::names::HostKey;
use crate::domain::place::Place;
use crate::domain::report::{Kind, Transition};
use crate::domain::state::HostState;
use crate::domain::time::Timestamp;
use crate::domain::tree::Hash;
use crate::files::Trouble;
use crate::ledger::{NewEntry, Truth};
use crate::projection::{Batch, Derived, Names, Renaming};
use std::convert::Infallible;
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
    pub(super) fn act(&mut self, act: &Act) -> Result<ActReceipt, ActError> {
        for moved in 0..MOVED_RETRIES {
            if let Err(error) = self.catch_up(moved) {
                return Err(self.note(&error, RecordError::NotStored).into());
            }
            self.watch.check(self.last_received).map_err(RecordError::Clock)?;
            let plan = self.plan(act)?;
            let entry = &plan.truth.entries[0].entry;
            let (id, hash) = (entry.id, self.hash_of(entry));
            match self.commit(plan) {
                Ok(()) => {}
                Err(Some(error)) => return Err(error.into()),
                Err(None) => continue,
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
    fn plan(&mut self, act: &Act) -> Result<Batch, ActError> {
        match &act.deed {
            Deed::Retire { reason } => self.plan_retire(act, reason.clone()),
            Deed::Alias { of } => self.plan_alias(act, of),
        }
    }

    fn plan_retire(&self, act: &Act, reason: Option<String>) -> Result<Batch, ActError> {
        let state = host_of(&self.board.read(), &act.key)?.clone();
        if state.is_retired() {
            return Err(ActError::Retired(act.key.clone()));
        }
        // Behind everything that has happened, also on the same tick of the clock.
        let now = self.now().max(Timestamp(state.newest_time().0 + 1));
        let content = Content { reason, ..Content::default() };
        let root = state.host_id;
        let entry = NewEntry { host_id: root, root, ..self.entry(act, Kind::Retire, content, now) };
        let (mut retired, mut changes) = (Some(Arc::unwrap_or_clone(state)), Vec::new());
        let host = Host { key: &act.key, id: root };
        let Ok(heard) = hear(&mut retired, host, entry.event(), |_| Ok::<_, Infallible>(None));
        let mut derived = Derived::default();
        if let Some(mut state) = retired {
            let late = advance(&mut state, &mut [heard], &mut changes);
            derived.late.extend(late.map(|late| (root, late)));
            derived.states.push(Arc::new(state));
        }
        derived.changes = changes.into_iter().map(|change| (root, change)).collect();
        Ok(Batch { truth: Truth { entries: vec![entry], ..Truth::default() }, derived })
    }

    fn plan_alias(&mut self, act: &Act, of: &HostKey) -> Result<Batch, ActError> {
        let fresh = self.last_host_id + 1;
        let (old, found) = {
            let board = self.board.read();
            let old = host_of(&board, of)?.clone();
            (old, board.find(&act.key).map(|(name, state)| (name, state.clone())))
        };
        if act.key == *of || found.as_ref().is_some_and(|(_, state)| state.key == *of) {
            return Err(ActError::Cycle(of.clone()));
        }
        let merged = match &found {
            Some((_, new)) => {
                let names = [Names::of(new), Names::of(&old)];
                let first_drift = |after: Place| self.first_drift_of(&names, after);
                new.merged(&old, first_drift)
            }
            None => Ok(old.under(act.key.clone(), fresh)),
        };
        let state = Arc::new(merged.map_err(|error| self.note(&error, RecordError::NotStored))?);
        let name = found.as_ref().map_or(fresh, |(name, _)| *name);
        let new_hosts = if found.is_none() { vec![(fresh, act.key.clone())] } else { Vec::new() };
        let detail = serde_json::json!({"host": &*of.host, "server_group": &*of.server_group});
        let content = Content { detail: Some(detail.to_string()), ..Content::default() };
        let entry = self.entry(act, Kind::Alias, content, self.now());
        let entries = vec![NewEntry { host_id: name, root: state.host_id, ..entry }];
        let (old, old_key) = (old.host_id, old.key.clone());
        let renaming = Some(Renaming { old, old_key, state });
        let truth = Truth { new_hosts, entries, ..Truth::default() };
        Ok(Batch { truth, derived: Derived { renaming, ..Derived::default() } })
    }

    /// Where the first drift of either host behind a place begins.
    fn first_drift_of(
        &mut self,
        hosts: &[Names; 2],
        after: Place,
    ) -> Result<Option<Place>, Trouble> {
        let mut first = None::<Place>;
        for names in hosts {
            let found = self.writer.first_drift_after(names, after)?;
            first = first.into_iter().chain(found).min();
        }
        Ok(first)
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
        let kept = entry.content.clone();
        NewEntry { entry, kept, host_id: 0, root: 0, digest, hash, out_of_order: false }
    }
}
