//! The whole history folded, host by host: to write the projections anew, and to compare them.

use super::courses::{Names, Walk, Walked};
use super::index::Index;
use crate::domain::apply::{Host, apply};
use crate::domain::course::Change;
use crate::domain::names::HostKey;
use crate::domain::place::Place;
use crate::domain::state::HostState;
use crate::domain::time::Timestamp;
use crate::ledger::dictionary::Dictionary;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use std::collections::HashMap;

const HOSTS: &str = "SELECT id, server_group, host FROM host ORDER BY server_group, host";
/// Renamings in the order in which they were made: the new name, and the old one's group and host.
const ALIASES: &str = "SELECT h.host_id, o.id FROM drift_history h INDEXED BY history_acts \
     JOIN content c ON c.id = h.content_id \
     JOIN host o ON o.server_group = c.detail->>'server_group' AND o.host = c.detail->>'host' \
     WHERE h.kind = 3 AND h.kind > 1 AND h.seq <= $1 ORDER BY h.seq";
/// A host's whole history, folded.
#[derive(Debug)]
pub struct Folded {
    /// Its state, course included.
    pub state: HostState,
    /// Its segments and episodes.
    pub changes: Vec<Change>,
    /// The entries that came behind a later one: the number of their name, and their id.
    pub out_of_order: Vec<(i64, u64)>,
}

/// A host that has a course: its name now, and all its numbers.
#[derive(Debug, Clone)]
pub struct Root {
    /// The name.
    pub key: HostKey,
    /// The numbers.
    pub names: Names,
}

/// Every host of the history under its newest name, as far as ids up to `as_of` know.
pub async fn roots(
    connection: &mut SqliteConnection,
    as_of: u64,
) -> Result<Vec<Root>, sqlx::Error> {
    let mut root_of: HashMap<i64, i64> = HashMap::new();
    for row in sqlx::query(ALIASES)
        .bind(i64::try_from(as_of).unwrap_or(i64::MAX))
        .fetch_all(&mut *connection)
        .await?
    {
        let (new, old): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let root = root_of.get(&new).copied().unwrap_or(new);
        for known in root_of.values_mut().filter(|known| **known == old) {
            *known = root;
        }
        root_of.insert(old, root);
    }
    let mut former: HashMap<i64, Vec<i64>> = HashMap::new();
    let mut roots = Vec::new();
    for row in sqlx::query(HOSTS).fetch_all(connection).await? {
        let id: i64 = row.try_get(0)?;
        match root_of.get(&id) {
            Some(root) => former.entry(*root).or_default().push(id),
            None => roots.push((id, HostKey::new(row.try_get(1)?, row.try_get(2)?))),
        }
    }
    let root = |(id, key): (i64, HostKey)| {
        let mut names = former.remove(&id).unwrap_or_default();
        names.sort_unstable();
        names.insert(0, id);
        Root { key, names: Names { root: id, all: names } }
    };
    Ok(roots.into_iter().map(root).collect())
}

/// Folds one host's history from its beginning, as far as it is projected; `None` if it has no report.
/// `told` hears how many entries each page had.
pub async fn fold_host(
    connection: &mut SqliteConnection,
    dictionary: &Dictionary,
    root: &Root,
    mut told: impl FnMut(usize),
) -> Result<Option<Folded>, sqlx::Error> {
    let Root { key, names } = root;
    let (from, to) = (Timestamp(i64::MIN), Timestamp(i64::MAX));
    let mut walk = Walk::new(Index::PROJECTED, names, from, to, u64::MAX);
    let (mut state, mut changes, mut places) = (None::<HostState>, Vec::new(), Vec::new());
    let host = Host { key, id: names.root };
    loop {
        let page = walk.next(&mut *connection, dictionary).await?;
        if page.is_empty() {
            break;
        }
        told(page.len());
        let events: Vec<_> = page.iter().map(Walked::event).collect();
        apply(&mut state, host, &events, &mut changes);
        places.extend(page.iter().zip(&events).map(|(w, event)| (event.place, w.row.host_id)));
    }
    Ok(state.map(|mut state| {
        state.former = names.all[1..].into();
        Folded { state, changes, out_of_order: out_of_order(&places) }
    }))
}

/// Of entries in the order of (time, id): those that one with a lower id and no earlier time was
/// there before.
fn out_of_order(places: &[(Place, i64)]) -> Vec<(i64, u64)> {
    let mut found = Vec::new();
    // The lowest id at this time or later, seen from the end.
    let mut lowest = u64::MAX;
    for group in places.chunk_by(|a, b| a.0.time == b.0.time).rev() {
        lowest = lowest.min(group[0].0.id);
        found.extend(
            group
                .iter()
                .filter(|(place, _)| place.id > lowest)
                .map(|(place, name)| (*name, place.id)),
        );
    }
    found.sort_unstable();
    found
}
