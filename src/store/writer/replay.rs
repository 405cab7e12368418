//! Folding what is not settled: entries that were committed after their host's state was written.

use super::load::States;
use super::unsettled::{HostEntry, Share, Unsettled};
use crate::domain::course::{Change, Step};
use crate::domain::line::Entry;
use crate::domain::place::Place;
use crate::domain::report::Report;
use crate::domain::state::HostState;
use crate::store::dictionary::Dictionary;
use crate::store::rows::{NarrowEntry, PACKED_COLUMNS, unpack};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};
use std::collections::HashMap;
use std::sync::Arc;

/// Entries read at once.
const PAGE: usize = 2000;

/// Folds what is behind the states that are written (by the host's number, each with the entry up to
/// which it is settled). `roots`: the hosts of names that are not theirs any more.
pub(super) async fn fold_rest(
    connection: &mut SqliteConnection,
    dictionary: &Dictionary,
    written: HashMap<i64, (HostState, u64)>,
    roots: &HashMap<i64, i64>,
) -> Result<States, sqlx::Error> {
    let mut rest = Rest { written, folded: HashMap::new() };
    let mut after = 0;
    loop {
        let rows = page(connection, after).await?;
        let Some(last) = rows.last() else { break };
        after = last.id;
        let root = |row: &NarrowEntry| roots.get(&row.host_id).copied().unwrap_or(row.host_id);
        let rows: Vec<_> =
            rows.into_iter().filter(|row| rest.is_behind(root(row), row.id)).collect();
        let entries = dictionary.resolve(connection, &rows).await?;
        for (row, entry) in rows.iter().zip(entries) {
            rest.fold(root(row), row.host_id, entry);
        }
    }
    Ok(rest.into_states())
}

/// The next entries of which some are not settled. Rows behind the history's end are somebody else's.
async fn page(
    connection: &mut SqliteConnection,
    after: u64,
) -> Result<Vec<NarrowEntry>, sqlx::Error> {
    let sql = format!(
        "SELECT group_concat(row, ';') FROM (SELECT {PACKED_COLUMNS} AS row FROM drift_history h \
         WHERE h.seq > max($1, (SELECT settled FROM head)) AND h.seq <= (SELECT size FROM head) \
         ORDER BY h.seq LIMIT {PAGE})"
    );
    // The text is put together from constants.
    let query = sqlx::query(AssertSqlSafe(sql)).bind(after as i64);
    unpack(query.fetch_one(connection).await?.try_get::<Option<String>, _>(0)?.as_deref())
}

struct Rest {
    written: HashMap<i64, (HostState, u64)>,
    folded: HashMap<i64, Part>,
}

/// A host that something was folded into; without a state before its first report.
struct Part {
    state: Option<HostState>,
    entries: Vec<HostEntry>,
    changes: Vec<Change>,
}

impl Rest {
    /// Whether an entry is behind what is written of its host.
    fn is_behind(&self, root: i64, id: u64) -> bool {
        self.written.get(&root).is_none_or(|(_, settled)| id > *settled)
    }

    /// Folds an entry, which comes behind all others of its host: one that does not is settled at once.
    /// `host_id`: the number of the name that it came under.
    fn fold(&mut self, root: i64, host_id: i64, entry: Entry) {
        let place = Place { time: entry.time, id: entry.id };
        let part = self.folded.entry(root).or_insert_with(|| {
            let state = self.written.get(&root).map(|(state, _)| state.clone());
            Part { state, entries: Vec::new(), changes: Vec::new() }
        });
        part.entries.push(HostEntry { host_id, place });
        let digest = entry.content.digest();
        let report = entry.source.map(|source| Report {
            key: entry.key,
            kind: entry.kind,
            source,
            reported_at: entry.reported_at,
            content: entry.content.clone(),
            digest,
            run: entry.run,
        });
        HostState::resume(&mut part.state, root, entry.kind, place, report.as_ref());
        let Some(state) = &mut part.state else { return };
        let content = &*entry.content;
        let step = Step { place, kind: entry.kind, source: entry.source, content, digest };
        state.course.advance(&[step], &mut part.changes);
    }

    fn into_states(mut self) -> States {
        let (mut hosts, mut unsettled) = (Vec::new(), Unsettled::default());
        for (root, Part { state, entries, changes }) in self.folded {
            self.written.remove(&root);
            let Some(state) = state.map(Arc::new) else { continue };
            hosts.push(state.clone());
            unsettled.put(Share { state, entries, changes });
        }
        hosts.extend(self.written.into_values().map(|(state, _)| Arc::new(state)));
        States { hosts, unsettled }
    }
}
