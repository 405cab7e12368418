//! Applying entries that are recorded and not applied yet: those behind the watermark at a start, and
//! those that another process has appended.

use super::writer::Writer;
use crate::domain::apply::{Heard, Host, advance, hear};
use crate::domain::line::Entry;
use crate::domain::place::Place;
use crate::domain::report::Kind;
use crate::domain::state::HostState;
use crate::domain::surroundings::Unknown;
use crate::files::trouble::Trouble;
use crate::ledger::rows::{NarrowEntry, PACKED_COLUMNS, unpack};
use crate::projection::courses::Names;
use crate::projection::tail::{Share, TailEntry};
use std::collections::HashMap;
use std::sync::Arc;

/// Entries read at once.
const PAGE: usize = 2000;

/// The states of hosts by their numbers.
pub type Known<'k> = &'k dyn Fn(i64) -> Option<Arc<HostState>>;

/// Entries being applied.
pub struct Replay<'k> {
    /// The states that are written, each with the newest entry that is in it.
    written: HashMap<i64, (HostState, u64)>,
    /// Else: the states as of the newest entry that we know.
    known: Option<Known<'k>>,
    /// The hosts of names that are not theirs any more.
    roots: HashMap<i64, i64>,
    parts: HashMap<i64, Part>,
}

/// A host that something was applied to; without a state before its first report.
struct Part {
    state: Option<HostState>,
    entries: Vec<TailEntry>,
}

impl<'k> Replay<'k> {
    /// Onto what is written of every host.
    pub fn onto(written: HashMap<i64, (HostState, u64)>, roots: HashMap<i64, i64>) -> Self {
        Self { written, known: None, roots, parts: HashMap::new() }
    }

    /// Onto what is known of every host.
    pub fn going_on(known: Known<'k>, roots: HashMap<i64, i64>) -> Self {
        Self { written: HashMap::new(), known: Some(known), roots, parts: HashMap::new() }
    }

    /// Applies the entries behind an id and puts them into the tail. Answers the states that are written,
    /// as of the newest entry, or those of the hosts concerned. `None`: a host has a new name.
    pub fn run(
        mut self,
        writer: &mut Writer,
        mut after: u64,
    ) -> Result<Option<Vec<Arc<HostState>>>, Trouble> {
        loop {
            let rows = page(writer, after)?;
            let Some(last) = rows.last() else { break };
            after = last.id;
            let rows: Vec<_> = rows.into_iter().filter(|row| self.is_behind(row)).collect();
            let dictionary = writer.dictionary.clone();
            let entries = dictionary.resolve_kept_now(writer.connection()?, &rows)?;
            for (row, entry) in rows.iter().zip(entries) {
                if row.kind == Kind::Alias {
                    return Ok(None);
                }
                self.apply(writer, row.host_id, entry)?;
            }
        }
        Ok(Some(self.into_states(writer)))
    }

    fn root(&self, name: i64) -> i64 {
        self.roots.get(&name).copied().unwrap_or(name)
    }

    /// Whether an entry is behind what is written of its host.
    fn is_behind(&self, row: &NarrowEntry) -> bool {
        let written = self.written.get(&self.root(row.host_id));
        written.is_none_or(|(_, applied)| row.id > *applied)
    }

    fn apply(&mut self, writer: &mut Writer, name: i64, entry: Entry) -> Result<(), Trouble> {
        let root = self.root(name);
        let (written, known) = (&self.written, self.known);
        let part = self.parts.entry(root).or_insert_with(|| {
            let written = written.get(&root).map(|(state, _)| state.clone());
            let known = || known.and_then(|known| known(root)).map(|state| (*state).clone());
            Part { state: written.or_else(known), entries: Vec::new() }
        });
        let key = entry.key.clone();
        let mut entry = TailEntry::read(name, entry);
        let (entries, place) = (&part.entries, entry.place);
        let next_drift = |state: &HostState| next_drift(writer, state, entries, place);
        let host = Host { key: &key, id: root };
        let heard = hear(&mut part.state, host, entry.event(), next_drift)?;
        entry.out_of_order = heard.out_of_order;
        part.entries.push(entry);
        Ok(())
    }

    fn into_states(mut self, writer: &mut Writer) -> Vec<Arc<HostState>> {
        let mut hosts = Vec::new();
        for (root, Part { state, entries }) in self.parts {
            self.written.remove(&root);
            let Some(mut state) = state else { continue };
            let mut changes = Vec::new();
            let mut heard: Vec<Heard<'_>> = entries.iter().map(TailEntry::heard).collect();
            let late = advance(&mut state, &mut heard, &mut changes);
            let state = Arc::new(state);
            hosts.push(state.clone());
            let share = writer.tail.take(root);
            let mut share = share.unwrap_or_else(|| Share::empty(state.clone()));
            share.state = state;
            share.entries.extend(entries);
            share.changes.extend(changes);
            if let Some(late) = late {
                share.note_late(late);
            }
            writer.tail.put(share);
        }
        hosts.extend(self.written.into_values().map(|(state, _)| Arc::new(state)));
        hosts
    }
}

/// Where the first drift behind a place begins: in what is recorded, or in what was applied since.
fn next_drift(
    writer: &mut Writer,
    state: &HostState,
    entries: &[TailEntry],
    at: Place,
) -> Result<Option<Place>, Trouble> {
    let asked = Unknown { next_drift: true, ..Unknown::default() };
    let mut found = writer.neighbours(&Names::of(state), at, asked)?;
    for entry in entries {
        found.take_in(at, &entry.event());
    }
    Ok(found.next_drift)
}

/// The next entries. Rows behind the history's end are somebody else's.
fn page(writer: &mut Writer, after: u64) -> Result<Vec<NarrowEntry>, Trouble> {
    let sql = format!(
        "SELECT group_concat(row, ';') FROM (SELECT {PACKED_COLUMNS} AS row FROM drift_history h \
         WHERE h.seq > ?1 AND h.seq <= (SELECT size FROM head) ORDER BY h.seq LIMIT {PAGE})"
    );
    let packed = writer.ask(&sql, [after as i64], |row| row.get::<_, Option<String>>(0))?.pop();
    unpack(packed.flatten().as_deref())
}
