//! Writing segments and episodes: what an advance added, and the stretch that a report out of order
//! changes.

use super::Writer;
use crate::domain::content::ContentDigest;
use crate::domain::course::{Change, Course};
use crate::domain::files::{FileSet, FileSetDigest};
use crate::domain::line::{hex, unhex};
use crate::domain::report::Source;
use crate::domain::time::Timestamp;
use crate::store::courses::{Names, Resume, Walk, Walked, file_set};
use crate::store::dictionary::Dictionary;
use crate::store::rows::open_columns;
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use std::collections::{HashMap, HashSet};

/// Entries of one host that came out of order in one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disorder {
    /// The host.
    pub names: Names,
    /// The course before the first of them came.
    pub course: Course,
    /// Their earliest time.
    pub first: Timestamp,
    /// Their latest time.
    pub last: Timestamp,
}

const KNOWN_FILE_SETS: &str =
    "SELECT digest, id FROM file_set WHERE digest IN (SELECT value FROM json_each($1))";
const NEXT_FILE_SET: &str = "SELECT coalesce(max(id), 0) FROM file_set";
const INSERT_FILE_SETS: &str = "INSERT INTO file_set (id, digest, paths) \
     SELECT value->>0, value->>1, value->>2 FROM json_each($1)";
const INSERT_CHANGES: &str = "
INSERT INTO segment (host_id, start, end, status, silent, file_set_id, reports, deployments, deployment_id)
    SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7,
           (SELECT c.id FROM content c WHERE c.digest = value->>8)
    FROM json_each($1);
INSERT INTO episode (id, host_id, started_at, started_after, last_drift, reports, drifted)
    SELECT value->>0, value->>1, value->>2, value->>3, value->>2, 0, 0 FROM json_each($2);
INSERT OR IGNORE INTO episode_files (episode_id, file_set_id, seq)
    SELECT value->>0, value->>1, value->>2 FROM json_each($3);
UPDATE episode SET ended_at = c.value->>1, closed_seq = c.value->>2, closed_by = c.value->>3,
       last_drift = c.value->>4, reports = c.value->>5, drifted = c.value->>6,
       deployment_id = (SELECT d.id FROM content d WHERE d.digest = c.value->>7)
    FROM json_each($4) c WHERE episode.id = c.value->>0;";
const DELETE_STRETCH: &str = "
DELETE FROM segment WHERE host_id = $1 AND start >= $2 AND start < $3;
DELETE FROM episode_files WHERE episode_id IN
    (SELECT id FROM episode WHERE host_id = $1 AND started_at > $4 AND started_at <= $5);
DELETE FROM episode WHERE host_id = $1 AND started_at > $4 AND started_at <= $5;
DELETE FROM episode_files WHERE episode_id = $6
    AND (SELECT h.time FROM drift_history h WHERE h.seq = episode_files.seq) > $4;
UPDATE episode SET ended_at = NULL, closed_seq = NULL, closed_by = NULL, deployment_id = NULL,
    last_drift = started_at, reports = 0, drifted = 0 WHERE id = $6;";
const UPDATE_OPEN: &str = "UPDATE current_state SET segment_start = $2, segment_reports = $3, \
     segment_deployments = $4, episode_reports = $5, episode_drifted = $6 WHERE host_id = $1";
/// Where segments begin that may stay as they are.
const BOUNDARIES: &str = "SELECT s.start, s.status, f.paths, \
     (SELECT c.digest FROM content c WHERE c.id = s.deployment_id) FROM segment s \
     LEFT JOIN file_set f ON f.id = s.file_set_id \
     WHERE s.host_id = $1 AND s.start > $2 AND s.start <= $3 AND s.silent = 0";
impl Writer {
    /// Writes what the courses of some hosts added; within a transaction.
    pub(in crate::store) async fn write_changes(
        connection: &mut SqliteConnection,
        changes: &[(i64, Change)],
    ) -> Result<(), sqlx::Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let sets = number_file_sets(connection, changes).await?;
        let number = |files: &FileSet| files.digest().map(|digest| sets[digest]);
        let (mut segments, mut opened, mut seen, mut closed) = (vec![], vec![], vec![], vec![]);
        for (host, change) in changes {
            match change {
                Change::Segment(s) => segments.push(json!([
                    host,
                    s.start.0,
                    s.end.0,
                    s.status.code(),
                    i64::from(s.silent),
                    number(&s.files),
                    s.reports,
                    s.deployments,
                    s.deployment.map(|digest| hex(&digest))
                ])),
                Change::Opened(e) => {
                    let after = e.started_after.map(|time| time.0);
                    opened.push(json!([e.id, host, e.started_at.0, after]));
                }
                Change::Seen { episode, files, id } => {
                    seen.push(json!([episode, number(files), id]));
                }
                Change::Closed(e, by) => closed.push(json!([
                    e.id,
                    by.place.time.0,
                    by.place.id,
                    by.source.map(Source::code),
                    e.last_drift.0,
                    e.reports,
                    e.drifted,
                    by.deployment.map(|digest| hex(&digest))
                ])),
            }
        }
        let mut query = sqlx::query(INSERT_CHANGES);
        for rows in [segments, opened, seen, closed] {
            query = query.bind(Value::Array(rows).to_string());
        }
        query.execute(connection).await.map(|_| ())
    }

    /// Folds a host anew from its first entry out of order to where nothing differs any more, and
    /// writes the difference. Answers its course. Within a transaction, after the entries.
    pub(super) async fn refold(
        connection: &mut SqliteConnection,
        dictionary: &Dictionary,
        disorder: &Disorder,
    ) -> Result<Course, sqlx::Error> {
        let Disorder { names, course: current, first, last } = disorder;
        let mut course = Resume::course(&mut *connection, names, current, *first, u64::MAX).await?;
        let (resumed_at, resumed_episode) = (course.last, course.episode.as_ref().map(|e| e.id));
        // The running segment is folded on; what begins behind the resumed time, anew.
        let from = course.open.map_or(Timestamp(resumed_at.0.saturating_add(1)), |open| open.start);
        let mut walk = Walk::new(names, *first, Timestamp(i64::MAX), u64::MAX);
        let (mut changes, mut until) = (Vec::new(), None);
        'walk: loop {
            let page = walk.next(&mut *connection, dictionary).await?;
            let Some(end) = page.last().map(|walked| walked.row.time) else { break };
            let boundaries = boundaries(connection, names.root, current, *last, end).await?;
            for group in page.chunk_by(|a, b| a.row.time == b.row.time) {
                let steps: Vec<_> = group.iter().map(Walked::step).collect();
                course.advance(&steps, &mut changes);
                if let Some(start) = meets(&course, &boundaries, disorder) {
                    until = Some((start, course.last));
                    course = current.clone();
                    break 'walk;
                }
            }
        }
        let (segments_until, episodes_until) =
            until.unwrap_or((Timestamp(i64::MAX), Timestamp(i64::MAX)));
        let query = sqlx::query(DELETE_STRETCH)
            .bind(names.root)
            .bind(from.0)
            .bind(segments_until.0)
            .bind(resumed_at.0)
            .bind(episodes_until.0)
            .bind(resumed_episode.map(|id| id as i64));
        query.execute(&mut *connection).await?;
        let changes: Vec<_> = changes.into_iter().map(|change| (names.root, change)).collect();
        Self::write_changes(connection, &changes).await?;
        let mut query = sqlx::query(UPDATE_OPEN).bind(names.root);
        for column in open_columns(&course) {
            query = query.bind(column);
        }
        query.execute(connection).await?;
        Ok(course)
    }
}

/// Beginnings of stored segments behind a time, and what was in force.
type Boundaries = HashMap<Timestamp, (i64, FileSet, Option<ContentDigest>)>;

async fn boundaries(
    connection: &mut SqliteConnection,
    root: i64,
    current: &Course,
    behind: Timestamp,
    end: Timestamp,
) -> Result<Boundaries, sqlx::Error> {
    let query = sqlx::query(BOUNDARIES).bind(root).bind(behind.0).bind(end.0);
    let mut found = Boundaries::new();
    for row in query.fetch_all(connection).await? {
        let files = file_set(row.try_get::<Option<&str>, _>(2)?)?;
        let deployment = row.try_get::<Option<&str>, _>(3)?.and_then(unhex);
        found.insert(Timestamp(row.try_get(0)?), (row.try_get(1)?, files, deployment));
    }
    if let Some(open) = current.open.filter(|open| open.start > behind) {
        let state = (current.status.code(), current.files.clone(), current.deployment);
        found.insert(open.start, state);
    }
    Ok(found)
}

/// Where the new course has come together with the old one: a segment behind the disorder begins at
/// the same time with the same state, no drift is open, and the last `synced` is the same (so that no
/// drift is open in the old one either).
fn meets(course: &Course, boundaries: &Boundaries, disorder: &Disorder) -> Option<Timestamp> {
    let start = course.open?.start;
    let (status, files, deployment) = boundaries.get(&start)?;
    let same = *status == course.status.code()
        && *files == course.files
        && *deployment == course.deployment;
    let synced =
        course.last_synced.is_none_or(|time| time > disorder.last || time < disorder.first);
    (same && synced && course.episode.is_none()).then_some(start)
}

/// The numbers of the file sets in some changes; new ones are written.
async fn number_file_sets(
    connection: &mut SqliteConnection,
    changes: &[(i64, Change)],
) -> Result<HashMap<FileSetDigest, i64>, sqlx::Error> {
    let sets = changes.iter().filter_map(|(_, change)| match change {
        Change::Segment(segment) => Some(&segment.files),
        Change::Seen { files, .. } => Some(files),
        Change::Opened(_) | Change::Closed(..) => None,
    });
    let sets: HashSet<&FileSet> = sets.filter(|files| files.digest().is_some()).collect();
    let mut numbers = HashMap::new();
    if sets.is_empty() {
        return Ok(numbers);
    }
    let by_hex: HashMap<String, &FileSet> =
        sets.iter().filter_map(|files| Some((hex(files.digest()?), *files))).collect();
    let digests: Vec<&String> = by_hex.keys().collect();
    let query = sqlx::query(KNOWN_FILE_SETS).bind(json!(digests).to_string());
    for row in query.fetch_all(&mut *connection).await? {
        let files = by_hex.get(row.try_get::<&str, _>(0)?);
        if let Some(digest) = files.and_then(|files| files.digest()) {
            numbers.insert(*digest, row.try_get(1)?);
        }
    }
    let mut last: i64 = sqlx::query(NEXT_FILE_SET).fetch_one(&mut *connection).await?.try_get(0)?;
    let mut fresh = Vec::new();
    for (text, files) in &by_hex {
        let Some(digest) = files.digest() else { continue };
        numbers.entry(*digest).or_insert_with(|| {
            last += 1;
            fresh.push(json!([last, text, json!(files.paths()).to_string()]));
            last
        });
    }
    if !fresh.is_empty() {
        let query = sqlx::query(INSERT_FILE_SETS).bind(Value::Array(fresh).to_string());
        query.execute(connection).await?;
    }
    Ok(numbers)
}
