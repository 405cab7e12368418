//! The whole history folded anew, host by host: to write the projections (an older database, or a
//! damaged one), and to compare them.

mod compare;

pub use compare::{Difference, Verdict, verify};

use super::connect::Location;
use super::courses::{Names, Walk};
use super::dictionary::Dictionary;
use super::trouble::Trouble;
use super::writer::{Writer, keep_states, note_out_of_order, run};
use crate::domain::course::{Change, Step};
use crate::domain::names::HostKey;
use crate::domain::place::Place;
use crate::domain::report::Report;
use crate::domain::state::HostState;
use crate::domain::time::Timestamp;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use std::collections::HashMap;

/// The version of what the projections hold. A database with an older one is folded anew at start.
pub const PROJECTION: i64 = 2;

/// Is told after every page of entries: how many are folded, of how many.
pub type Progress<'p> = &'p (dyn Fn(u64, u64) + Send + Sync);

const HEAD: &str = "SELECT size, projected FROM head";
const HOSTS: &str = "SELECT id, server_group, host FROM host ORDER BY server_group, host";
/// Renamings in the order in which they were made: the new name, and the old one's group and host.
const ALIASES: &str = "SELECT h.host_id, o.id FROM drift_history h INDEXED BY history_acts \
     JOIN content c ON c.id = h.content_id \
     JOIN host o ON o.server_group = c.detail->>'server_group' AND o.host = c.detail->>'host' \
     WHERE h.kind = 3 AND h.kind > 1 AND h.seq <= $1 ORDER BY h.seq";
const CLEAR: &str = "
DELETE FROM current_state; DELETE FROM segment; DELETE FROM episode_files; DELETE FROM episode;
DELETE FROM file_set; DELETE FROM host_alias; DELETE FROM out_of_order; DELETE FROM host_entry;
INSERT INTO host_entry SELECT host_id, time, seq FROM drift_history ORDER BY host_id, time, seq;
DELETE FROM time_entry;
INSERT INTO time_entry SELECT time, seq FROM drift_history;";
const INSERT_ALIAS: &str = "INSERT INTO host_alias (host_id, root_id) VALUES ($1, $2)";
const DONE: &str = "UPDATE head SET projected = $1, settled = size, timed = size";

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

/// Folds one host's history from its beginning; `None` if it has no report. `told` hears how many
/// entries each page had.
pub async fn fold_host(
    connection: &mut SqliteConnection,
    dictionary: &Dictionary,
    root: &Root,
    mut told: impl FnMut(usize),
) -> Result<Option<Folded>, sqlx::Error> {
    let Root { key, names } = root;
    let mut walk = Walk::new(names, Timestamp(i64::MIN), Timestamp(i64::MAX), u64::MAX);
    let (mut state, mut changes, mut places) = (None::<HostState>, Vec::new(), Vec::new());
    loop {
        let page = walk.next(&mut *connection, dictionary).await?;
        if page.is_empty() {
            break;
        }
        told(page.len());
        for group in page.chunk_by(|a, b| a.row.time == b.row.time) {
            for walked in group {
                let place = Place { time: walked.row.time, id: walked.row.id };
                places.push((place, walked.row.host_id));
                let report = walked.row.source.map(|source| Report {
                    key: key.clone(),
                    kind: walked.row.kind,
                    source,
                    reported_at: walked.row.reported_at,
                    content: walked.content.clone(),
                    digest: [0; 16],
                    run: walked.run.clone(),
                });
                let kind = walked.row.kind;
                HostState::resume(&mut state, names.root, kind, place, report.as_ref());
            }
            if let Some(state) = &mut state {
                let steps: Vec<Step<'_>> = group.iter().map(super::courses::Walked::step).collect();
                state.course.advance(&steps, &mut changes);
            }
        }
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

/// Writes the projections anew if they are older than this program's. Answers whether it did.
pub async fn fold_anew(
    location: &Location,
    dictionary: &Dictionary,
    progress: Progress<'_>,
) -> Result<bool, Trouble> {
    let mut connection = location.open_writer().await?;
    let row = sqlx::query(HEAD).fetch_optional(&mut connection).await?;
    let behind = match row {
        Some(row) => row.try_get::<i64, _>(1)? < PROJECTION,
        None => false,
    };
    if behind {
        write_anew(&mut connection, dictionary, progress).await?;
    }
    connection.close().await?;
    Ok(behind)
}

/// Writes the projections anew, whole or not at all. Answers how many hosts there are.
pub async fn rebuild(
    location: &Location,
    dictionary: &Dictionary,
    progress: Progress<'_>,
) -> Result<usize, Trouble> {
    let mut connection = location.open_writer().await?;
    let hosts = write_anew(&mut connection, dictionary, progress).await?;
    connection.close().await?;
    Ok(hosts)
}

async fn write_anew(
    connection: &mut SqliteConnection,
    dictionary: &Dictionary,
    progress: Progress<'_>,
) -> Result<usize, sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let total = sqlx::query(HEAD).fetch_one(&mut *transaction).await?.try_get::<i64, _>(0)? as u64;
    let mut done = 0;
    sqlx::raw_sql(CLEAR).execute(&mut *transaction).await?;
    let roots = roots(&mut transaction, u64::MAX).await?;
    for root in &roots {
        for former in &root.names.all[1..] {
            let query = sqlx::query(INSERT_ALIAS).bind(*former).bind(root.names.root);
            query.execute(&mut *transaction).await?;
        }
        let folded = fold_host(&mut transaction, dictionary, root, |entries| {
            done += entries as u64;
            progress(done, total);
        });
        if let Some(folded) = folded.await? {
            write_host(&mut transaction, &folded, total).await?;
        }
    }
    sqlx::query(DONE).bind(PROJECTION).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(roots.len())
}

/// Writes one host's projections, of which there are none, settled up to an entry; within a
/// transaction.
pub(super) async fn write_host(
    connection: &mut SqliteConnection,
    folded: &Folded,
    settled: u64,
) -> Result<(), sqlx::Error> {
    let Folded { state, changes, out_of_order } = folded;
    run(connection, [keep_states([(state, settled)].into_iter())]).await?;
    let changes: Vec<_> = changes.iter().map(|change| (state.host_id, change.clone())).collect();
    Writer::write_changes(connection, &changes).await?;
    run(connection, note_out_of_order(out_of_order)).await
}
