//! What a report or a key may repeat: entries that are recorded, or were folded just now.

use super::messages::Receipt;
use super::stage::{KEY_LIFETIME, Stage};
use crate::domain::report::{Report, Source};
use crate::domain::state::{HostState, Judgement};
use crate::domain::time::Timestamp;
use crate::files::Trouble;
use crate::ledger::NewEntry;
use crate::projection::repeats;
use std::sync::Arc;

impl Stage<'_> {
    /// Looks up at once what reports may repeat: none in the usual case.
    pub(super) fn look_up_twins<'r>(
        &mut self,
        reports: impl Iterator<Item = &'r Report>,
    ) -> Result<(), Trouble> {
        let doubtful = |report: &'r Report| {
            let (name, state) = self.find(&report.key)?;
            Self::may_repeat(report, &state).then_some((name, report))
        };
        let doubtful: Vec<_> = reports.filter_map(doubtful).collect();
        self.twins.clear();
        self.recorded.clear();
        if !doubtful.is_empty() {
            self.twins = self.task.writer.twins(&doubtful)?;
            let ids: Vec<u64> = self.twins.values().flatten().map(|twin| twin.id).collect();
            self.recorded = self.task.writer.entries(&ids)?;
        }
        Ok(())
    }

    /// The recorded (or just folded) entry that this report repeats.
    pub(super) fn find_twin(
        &mut self,
        name: i64,
        state: &HostState,
        report: &Report,
    ) -> Result<Option<u64>, Trouble> {
        if !self.looked_up {
            self.look_up_twins(std::iter::once(report))?;
        }
        let stored = self.twins.get(&(name, report.source, report.reported_at));
        let stored = stored.into_iter().flatten();
        let stored = stored.filter(|twin| repeats(report, &twin.content, twin.run.as_deref()));
        let stored = stored.map(|twin| twin.id).min();
        let in_tail = || self.task.writer.twin_in_tail(state.host_id, name, report);
        let folded = || {
            let repeated = |NewEntry { entry, host_id, .. }: &&NewEntry| {
                let timed = report.reported_at.is_none() || entry.reported_at == report.reported_at;
                *host_id == name
                    && entry.source == Some(report.source)
                    && timed
                    && repeats(report, &entry.content, entry.run.as_deref())
            };
            self.staged(state).find(repeated).map(|known| known.entry.id)
        };
        Ok(stored.or_else(in_tail).or_else(folded))
    }

    /// The receipt of an entry that is there already.
    pub(super) fn receipt_of(
        &mut self,
        id: u64,
        state: Arc<HostState>,
    ) -> Result<Receipt, Trouble> {
        let folded = self.entries.iter().find(|known| known.entry.id == id);
        let entry = match (folded, self.recorded.remove(&id)) {
            (Some(known), _) => Some(known.entry.clone()),
            (None, Some(entry)) => Some(entry),
            (None, None) => self.task.writer.entries(&[id])?.remove(&id),
        };
        let missing = || Trouble::damaged(format!("entry {id} is missing"));
        let entry = entry.ok_or_else(missing)?;
        Ok(Receipt {
            id,
            hash: entry.leaf_hash(&self.task.origin),
            duplicate: true,
            judgement: Judgement { late: entry.late, transition: entry.transition },
            ahead: false,
            state,
        })
    }

    /// The body's digest and the ids of a remembered key.
    pub(super) fn known_key(
        &mut self,
        token: &str,
        key: &str,
    ) -> Result<Option<(String, Vec<u64>)>, Trouble> {
        let folded = self.keys.iter().find(|known| known.token == token && known.key == key);
        if let Some(known) = folded {
            return Ok(Some((known.body.clone(), known.ids.clone())));
        }
        let stored = self.task.writer.key(token, key)?;
        let oldest = Timestamp(self.received_at.0 - KEY_LIFETIME);
        Ok(stored.filter(|(.., at)| *at >= oldest).map(|(body, ids, _)| (body, ids)))
    }

    pub(super) fn replay(&mut self, ids: &[u64]) -> Result<Vec<Receipt>, Trouble> {
        self.recorded = self.task.writer.entries(ids)?;
        let mut receipts = Vec::with_capacity(ids.len());
        for id in ids {
            let folded = self.entries.iter().find(|known| known.entry.id == *id);
            let key = match folded {
                Some(known) => Some(known.entry.key.clone()),
                None => self.recorded.get(id).map(|entry| entry.key.clone()),
            };
            let state = key.and_then(|key| self.state(&key));
            let missing = || Trouble::damaged(format!("entry {id} is missing"));
            receipts.push(self.receipt_of(*id, state.ok_or_else(missing)?)?);
        }
        Ok(receipts)
    }

    /// Whether there may be an entry that a report repeats. A time later than any sent before cannot be a
    /// repetition: no look-up in the usual case.
    pub(super) fn may_repeat(report: &Report, state: &HostState) -> bool {
        match report.reported_at {
            Some(time) => Some(time) <= state.max_reported_at,
            None => report.source == Source::Import,
        }
    }
}
