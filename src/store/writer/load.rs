//! Reading the head and every host's state: what the recorder starts from.

use super::pushes::{LastRuns, last_runs};
use super::replay::fold_rest;
use super::unsettled::Unsettled;
use super::{Numbers, Writer};
use crate::domain::content::Content;
use crate::domain::course::{Course, OpenSegment};
use crate::domain::names::HostKey;
use crate::domain::place::{Place, Word};
use crate::domain::report::{Run, Status};
use crate::domain::state::HostState;
use crate::domain::time::Timestamp;
use crate::domain::tree::Frontier;
use crate::store::dictionary::Dictionary;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What the recorder starts from.
#[derive(Debug)]
pub struct Loaded {
    /// `gitops-status-server/` and 32 hex digits.
    pub origin: Arc<str>,
    /// The newest entry's id; 0 for an empty history.
    pub size: u64,
    /// The Merkle tree over all entries.
    pub tree: Frontier,
    /// When the newest entry came.
    pub last_received: Timestamp,
    /// Every host's state.
    pub hosts: Vec<Arc<HostState>>,
    /// Former names of hosts: the name, its number, and the host's number.
    pub former: Vec<(HostKey, i64, i64)>,
    /// When each job was last pushed.
    pub last_runs: LastRuns,
    /// The highest number given to a host.
    pub last_host_id: i64,
}

const HEAD: &str = "SELECT origin, size,
    (SELECT received_at FROM drift_history WHERE seq = size),
    (SELECT max(id) FROM host), (SELECT max(id) FROM content),
    (SELECT max(id) FROM sender), (SELECT max(id) FROM run), tree_size, frontier, settlings, timed
    FROM head";
const FORMER_NAMES: &str = "SELECT a.host_id, a.root_id, o.server_group, o.host \
     FROM host_alias a JOIN host o ON o.id = a.host_id ORDER BY a.host_id";
const STATES: &str = "
SELECT t.host_id, o.server_group, o.host, t.reports, t.first_time, t.newest_legacy_seq,
       t.legacy_reports, t.last_pipeline_run, t.last_cron_check, t.max_reported_at,
       t.newest_seq, n.time, n.content_id, n.run_id,
       t.deployment_seq, d.time, d.content_id, t.check_seq, k.time, k.content_id,
       t.files_seq, f.time, f.content_id, t.status_seq, s.time, t.status, s.content_id,
       t.check_status_seq, w.time, (SELECT c.status FROM content c WHERE c.id = w.content_id),
       t.synced_seq, y.time, t.drifted_seq, r.time, t.drift_start_seq, x.time,
       t.retired_seq, q.time, t.segment_start, t.segment_reports, t.segment_deployments,
       t.episode_reports, t.episode_drifted,
       t.last_pipeline, t.last_cron, t.last_legacy, t.last_pushgateway, t.last_import, t.settled_seq
FROM current_state t
JOIN host o ON o.id = t.host_id
JOIN drift_history n ON n.seq = t.newest_seq
LEFT JOIN drift_history d ON d.seq = t.deployment_seq
LEFT JOIN drift_history k ON k.seq = t.check_seq
LEFT JOIN drift_history f ON f.seq = t.files_seq
LEFT JOIN drift_history s ON s.seq = t.status_seq
LEFT JOIN drift_history w ON w.seq = t.check_status_seq
LEFT JOIN drift_history y ON y.seq = t.synced_seq
LEFT JOIN drift_history r ON r.seq = t.drifted_seq
LEFT JOIN drift_history x ON x.seq = t.drift_start_seq
LEFT JOIN drift_history q ON q.seq = t.retired_seq";
impl Writer {
    /// Reads the head and every host's state anew.
    pub async fn load(&mut self) -> Result<Loaded, sqlx::Error> {
        let loaded = self.read_all().await;
        self.checked(loaded)
    }

    async fn read_all(&mut self) -> Result<Loaded, sqlx::Error> {
        let dictionary = self.dictionary.clone();
        let connection = self.connection().await?;
        // One snapshot for all that is read here; within a transaction, if the lock is held.
        sqlx::query("SAVEPOINT loading").execute(&mut *connection).await?;
        let head = sqlx::query(HEAD).fetch_one(&mut *connection).await?;
        let former = sqlx::query(FORMER_NAMES).fetch_all(&mut *connection).await?;
        let states = load_states(connection, &dictionary).await?;
        let last_runs = last_runs(connection).await?;
        sqlx::query("RELEASE loading").execute(&mut *connection).await?;
        // The states lie all over the history: what was read for them is of no use any more.
        sqlx::query("PRAGMA shrink_memory").execute(connection).await?;
        let former = former.iter().map(|row| {
            let key = HostKey::new(&row.try_get::<String, _>(2)?, &row.try_get::<String, _>(3)?);
            Ok((key, row.try_get(0)?, row.try_get(1)?))
        });
        let former = former.collect::<Result<Vec<_>, sqlx::Error>>()?;
        let number = |column| head.try_get::<Option<i64>, _>(column).map(|n| n.unwrap_or(0));
        self.size = head.try_get::<i64, _>(1)? as u64;
        self.settlings = head.try_get(9)?;
        self.timed = head.try_get::<i64, _>(10)? as u64;
        self.unsettled = states.unsettled;
        self.contents = Numbers::new(number(4)?);
        self.senders = Numbers::new(number(5)?);
        self.runs = Numbers::new(number(6)?);
        Ok(Loaded {
            origin: head.try_get::<String, _>(0)?.into(),
            size: self.size,
            tree: tree_of(&head)?,
            last_received: Timestamp(number(2)?),
            hosts: states.hosts,
            former,
            last_runs,
            last_host_id: number(3)?,
        })
    }
}

/// The tree of a head, which must cover all entries: it is built before anybody loads.
fn tree_of(head: &SqliteRow) -> Result<Frontier, sqlx::Error> {
    let (size, tree_size): (i64, i64) = (head.try_get(1)?, head.try_get(7)?);
    let tree = Frontier::from_text(tree_size as u64, head.try_get(8)?);
    let damaged = || {
        sqlx::Error::Decode(
            "the tree does not cover the history: head.tree_size, head.frontier".into(),
        )
    };
    tree.filter(|tree| tree.size() == size as u64).ok_or_else(damaged)
}

/// Every host's state, and what of it is not settled.
pub(super) struct States {
    /// As of the newest entry.
    pub hosts: Vec<Arc<HostState>>,
    /// What was folded to get there.
    pub unsettled: Unsettled,
}

/// Every host's state, in one snapshot of the caller's: what is written, and the entries behind it
/// folded in.
async fn load_states(
    connection: &mut SqliteConnection,
    dictionary: &Dictionary,
) -> Result<States, sqlx::Error> {
    let Written { states, roots } = written_states(connection, dictionary).await?;
    fold_rest(connection, dictionary, states, &roots).await
}

/// The states that are written.
pub(in crate::store) struct Written {
    /// By the host's number, each with the entry up to which it is settled.
    pub states: HashMap<i64, (HostState, u64)>,
    /// The hosts of names that are not theirs any more.
    roots: HashMap<i64, i64>,
}

/// Every host's state as it is written, which is what its segments and episodes belong to; in one
/// snapshot of the caller's.
pub(in crate::store) async fn written_states(
    connection: &mut SqliteConnection,
    dictionary: &Dictionary,
) -> Result<Written, sqlx::Error> {
    let rows = sqlx::query(STATES).fetch_all(&mut *connection).await?;
    let mut contents = HashSet::new();
    let mut runs = HashSet::new();
    for row in &rows {
        for column in [12, 16, 19, 22, 26] {
            contents.extend(row.try_get::<Option<i64>, _>(column)?);
        }
        runs.extend(row.try_get::<Option<i64>, _>(13)?);
    }
    let contents = dictionary.contents(connection, contents.into_iter()).await?;
    let runs = dictionary.runs(connection, runs.into_iter()).await?;
    let (mut former, mut roots) = (HashMap::<i64, Vec<i64>>::new(), HashMap::new());
    for row in sqlx::query(FORMER_NAMES).fetch_all(&mut *connection).await? {
        let (name, root): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        former.entry(root).or_default().push(name);
        roots.insert(name, root);
    }
    let mut written = HashMap::with_capacity(rows.len());
    for row in &rows {
        let mut state = state_from_row(row, &contents, &runs)?;
        state.former = former.remove(&state.host_id).unwrap_or_default().into();
        written.insert(state.host_id, (state, row.try_get::<i64, _>(48)? as u64));
    }
    Ok(Written { states: written, roots })
}

/// Reads a row of [`STATES`].
fn state_from_row(
    row: &SqliteRow,
    contents: &HashMap<i64, Arc<Content>>,
    runs: &HashMap<i64, Arc<Run>>,
) -> Result<HostState, sqlx::Error> {
    let number = |column: usize| row.try_get::<Option<i64>, _>(column);
    let time = |column: usize| number(column).map(|n| n.map(Timestamp));
    let place = |column: usize| -> Result<Option<Place>, sqlx::Error> {
        let (id, time) = (number(column)?, time(column + 1)?);
        Ok(id.zip(time).map(|(id, time)| Place { time, id: id as u64 }))
    };
    let content = |column: usize| -> Result<Option<Word<Arc<Content>>>, sqlx::Error> {
        let content = number(column + 2)?.and_then(|id| contents.get(&id).cloned());
        Ok(place(column)?.zip(content).map(|(place, value)| Word { place, value }))
    };
    let check_status = |column: usize| -> Result<Option<Word<Status>>, sqlx::Error> {
        let status = number(column + 2)?.and_then(Status::from_code);
        Ok(place(column)?.zip(status).map(|(place, value)| Word { place, value }))
    };
    let missing = || sqlx::Error::Decode("current_state names an entry that is missing".into());
    let newest = content(10)?.ok_or_else(missing)?;
    let run = number(13)?.and_then(|id| runs.get(&id).cloned());
    let (files, status) = (content(20)?, status_and_content(row, contents)?);
    // The newer of the two: the report that last said status or files.
    let word = match (&files, &status) {
        (Some(files), Some((_, said))) if said.place > files.place => Some(said.clone()),
        (None, Some((_, said))) => Some(said.clone()),
        (files, _) => (*files).clone(),
    };
    let mut state = HostState {
        word,
        host_id: row.try_get(0)?,
        former: Arc::default(),
        key: HostKey::new(&row.try_get::<String, _>(1)?, &row.try_get::<String, _>(2)?),
        reports: row.try_get::<i64, _>(3)? as u64,
        first_time: Timestamp(row.try_get(4)?),
        newest_legacy_id: number(5)?.map(|id| id as u64),
        legacy_reports: row.try_get::<i64, _>(6)? as u64,
        last_pipeline_run: time(7)?,
        last_cron_check: time(8)?,
        max_reported_at: time(9)?,
        last_by_source: [time(43)?, time(44)?, time(45)?, time(46)?, time(47)?],
        newest: Word { place: newest.place, value: (newest.value, run) },
        deployment: content(14)?,
        check: content(17)?,
        files,
        status: status.map(|(status, _)| status),
        check_status: check_status(27)?,
        synced: place(30)?,
        drifted: place(32)?,
        drift_start: place(34)?,
        retired: place(36)?,
        course: Course::default(),
    };
    let (reports, deployments) =
        (row.try_get::<i64, _>(39)? as u64, row.try_get::<i64, _>(40)? as u64);
    let open = time(38)?.map(|start| OpenSegment { start, reports, deployments });
    let (reports, drifted) = (row.try_get::<i64, _>(41)? as u64, row.try_get(42)?);
    state.course = state.derive_course(open, reports, drifted);
    Ok(state)
}

/// What a row of [`STATES`] says of the newest status: the word itself, and the content it was in.
type SaidStatus = (Word<Status>, Word<Arc<Content>>);

fn status_and_content(
    row: &SqliteRow,
    contents: &HashMap<i64, Arc<Content>>,
) -> Result<Option<SaidStatus>, sqlx::Error> {
    let number = |column: usize| row.try_get::<Option<i64>, _>(column);
    let (Some(id), Some(time), Some(code), Some(content)) =
        (number(23)?, number(24)?, number(25)?, number(26)?)
    else {
        return Ok(None);
    };
    let place = Place { time: Timestamp(time), id: id as u64 };
    let word = Status::from_code(code).map(|value| Word { place, value });
    let content = contents.get(&content).map(|content| Word { place, value: content.clone() });
    Ok(word.zip(content))
}
