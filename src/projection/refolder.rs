//! Folding a host anew beside the reports that come: each step is a stretch of the host's time, prepared
//! here, on a connection that reads, and written by the writer if nothing came late meanwhile.

use crate::domain::content::ContentDigest;
use crate::domain::course::{Change, Course};
use crate::domain::file_set::FileSet;
use crate::domain::line::unhex;
use crate::domain::names::HostKey;
use crate::domain::time::Timestamp;
use crate::files::connect::Location;
use crate::files::trouble::Trouble;
use crate::ledger::dictionary::Dictionary;
use crate::projection::courses::{Names, Resume, Walk, Walked, file_set};
use crate::projection::index::Index;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use std::collections::HashMap;
use std::sync::Arc;

/// Entries and changes after which a step ends: it is written in some milliseconds.
const STEP_ENTRIES: usize = 2000;
const STEP_CHANGES: usize = 256;

/// Where segments begin that may stay as they are.
const BOUNDARIES: &str = "SELECT s.start, s.status, f.paths, \
     (SELECT c.digest FROM content c WHERE c.id = s.deployment_id) FROM segment s \
     LEFT JOIN file_set f ON f.id = s.file_set_id \
     WHERE s.host_id = $1 AND s.start > $2 AND s.start <= $3 AND s.silent = 0";

/// A host that is being folded anew: a row of `refold`.
#[derive(Debug, Clone)]
pub struct Refold {
    /// The host's name.
    pub key: HostKey,
    /// Its numbers.
    pub names: Names,
    /// What is written is right before this time.
    pub from: Timestamp,
    /// The newest time of an entry that came out of order.
    pub last: Timestamp,
    /// Whether `course` is the course before `from`; else it is one behind.
    pub resumed: bool,
    /// See `resumed`.
    pub course: Course,
    /// The course without what came out of order.
    pub base: Course,
    /// Rises with every entry that is projected meanwhile: a step that was prepared before is of no use.
    pub generation: u64,
}

/// A step of folding a host anew.
#[derive(Debug)]
pub struct Refolded {
    /// The host.
    pub names: Names,
    /// See [`Refold::generation`].
    pub generation: u64,
    /// What the stretch held before.
    pub cleared: Cleared,
    /// What it holds now.
    pub changes: Vec<Change>,
    /// How it goes on.
    pub next: Next,
}

/// What is taken away before a stretch is written.
#[derive(Debug, Clone, Copy)]
pub struct Cleared {
    /// Segments that begin from here on,
    pub segments_from: Timestamp,
    /// before here.
    pub segments_until: Timestamp,
    /// Episodes that begin behind this time,
    pub episodes_after: Timestamp,
    /// up to this one.
    pub episodes_until: Timestamp,
    /// The episode that is open where the stretch begins.
    pub open_episode: Option<u64>,
}

/// How folding anew goes on behind a step.
#[derive(Debug)]
pub enum Next {
    /// From a time, with this course before it.
    On {
        /// From when.
        from: Timestamp,
        /// The course before.
        course: Course,
        /// Whether what was written before has been met.
        met: bool,
    },
    /// All that is projected is folded.
    End {
        /// The course behind it.
        course: Course,
    },
}

/// Prepares steps, one after the other.
#[derive(Debug)]
pub struct Refolder {
    location: Location,
    dictionary: Arc<Dictionary>,
    connection: Option<SqliteConnection>,
}

impl Refolder {
    /// Opens nothing yet.
    pub fn new(location: &Location, dictionary: Arc<Dictionary>) -> Self {
        Self { location: location.clone(), dictionary, connection: None }
    }

    /// Prepares the next step of some hosts, as long as they are written together in some milliseconds; of
    /// one at least.
    pub async fn prepare(&mut self, refolds: Vec<Refold>) -> Result<Vec<Refolded>, Trouble> {
        let prepared = self.try_prepare(refolds).await;
        if prepared.is_err() {
            self.connection = None;
        }
        Ok(prepared?)
    }

    async fn try_prepare(&mut self, refolds: Vec<Refold>) -> Result<Vec<Refolded>, sqlx::Error> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.location.open_reader().await?),
        };
        let mut snapshot = connection.begin().await?;
        let (mut steps, mut changes) = (Vec::new(), 0);
        for refold in refolds {
            let step = fold(&mut snapshot, &self.dictionary, refold).await?;
            changes += step.changes.len();
            steps.push(step);
            if changes >= STEP_CHANGES {
                break;
            }
        }
        snapshot.commit().await?;
        Ok(steps)
    }

    /// Closes its connection.
    pub async fn close(self) {
        if let Some(connection) = self.connection {
            let _ = connection.close().await;
        }
    }
}

/// Folds a host from where it is right to where nothing differs any more, or where the step ends.
async fn fold(
    connection: &mut SqliteConnection,
    dictionary: &Dictionary,
    refold: Refold,
) -> Result<Refolded, sqlx::Error> {
    let Refold { names, from, last, base, generation, .. } = &refold;
    let index = Index::PROJECTED;
    let mut course = if refold.resumed {
        refold.course.clone()
    } else {
        Resume::course(connection, index, names, &refold.course, *from, u64::MAX).await?
    };
    // The running segment is folded on; what begins behind, anew.
    let behind = Timestamp(course.last.0.saturating_add(1));
    let mut cleared = Cleared {
        segments_from: course.open.map_or(behind, |open| open.start),
        segments_until: Timestamp(i64::MAX),
        episodes_after: course.last,
        episodes_until: Timestamp(i64::MAX),
        open_episode: course.episode.as_ref().map(|episode| episode.id),
    };
    let mut walk = Walk::new(index, names, *from, Timestamp(i64::MAX), u64::MAX);
    let (mut changes, mut entries, mut next) = (Vec::new(), 0, None);
    'walk: loop {
        let page = walk.next(&mut *connection, dictionary).await?;
        let Some(end) = page.last().map(|walked| walked.row.time) else { break };
        let boundaries = boundaries(connection, names.root, base, *last, end).await?;
        for instant in page.chunk_by(|a, b| a.row.time == b.row.time) {
            let events: Vec<_> = instant.iter().map(Walked::event).collect();
            course.advance(&events, &mut changes);
            entries += events.len();
            let behind = |course: &Course| Timestamp(course.last.0.saturating_add(1));
            if let Some(start) = meets(&course, &boundaries, &refold) {
                (cleared.segments_until, cleared.episodes_until) = (start, course.last);
                let (from, course) = (behind(base), base.clone());
                next = Some(Next::On { from, course, met: true });
                break 'walk;
            }
            if entries >= STEP_ENTRIES || changes.len() >= STEP_CHANGES {
                let until = course.open.map_or(behind(&course), |open| open.start);
                (cleared.segments_until, cleared.episodes_until) = (until, course.last);
                next = Some(Next::On { from: behind(&course), course: course.clone(), met: false });
                break 'walk;
            }
        }
    }
    let next = next.unwrap_or(Next::End { course });
    Ok(Refolded { names: names.clone(), generation: *generation, cleared, changes, next })
}

/// Beginnings of stored segments behind a time, and what was in force.
type Boundaries = HashMap<Timestamp, (i64, FileSet, Option<ContentDigest>)>;

async fn boundaries(
    connection: &mut SqliteConnection,
    root: i64,
    base: &Course,
    behind: Timestamp,
    end: Timestamp,
) -> Result<Boundaries, sqlx::Error> {
    let mut found = Boundaries::new();
    if behind >= end {
        return Ok(found);
    }
    let query = sqlx::query(BOUNDARIES).bind(root).bind(behind.0).bind(end.0);
    for row in query.fetch_all(&mut *connection).await? {
        let files = file_set(row.try_get::<Option<&str>, _>(2)?)?.kept();
        let deployment = row.try_get::<Option<&str>, _>(3)?.and_then(unhex);
        found.insert(Timestamp(row.try_get(0)?), (row.try_get(1)?, files, deployment));
    }
    if let Some(open) = base.open.filter(|open| open.start > behind) {
        found.insert(open.start, (base.status.code(), base.files.clone(), base.deployment));
    }
    Ok(found)
}

/// Where the new course has come together with the old one: a segment behind what came out of order begins
/// at the same time with the same state, no drift is open, and the last `synced` came in order (so that no
/// drift is open in the old one either).
fn meets(course: &Course, boundaries: &Boundaries, refold: &Refold) -> Option<Timestamp> {
    let start = course.open?.start;
    let (status, files, deployment) = boundaries.get(&start)?;
    let same = *status == course.status.code()
        && *files == course.files
        && *deployment == course.deployment;
    let synced = course.last_synced.is_none_or(|time| time > refold.last);
    (same && synced && course.episode.is_none()).then_some(start)
}
