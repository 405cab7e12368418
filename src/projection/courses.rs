//! A host's course out of the database: resumed at any time from what is written down, and walked on
//! from there along the history. The writer folds late reports with it, readers look back with it.

use crate::domain::content::{Content, ContentDigest};
use crate::domain::course::{Course, OpenEpisode, OpenSegment};
use crate::domain::event::Event;
use crate::domain::file_set::FileSet;
use crate::domain::line::unhex;
use crate::domain::place::Place;
use crate::domain::report::{Kind, Run, Source, Status};
use crate::domain::state::HostState;
use crate::domain::time::{SECOND, Timestamp};
use crate::files::trouble::Trouble;
use crate::ledger::dictionary::Dictionary;
use crate::ledger::rows::{NarrowEntry, PACKED_COLUMNS, unpack};
use crate::projection::index::{Index, by_host, table_of};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};
use std::sync::Arc;

/// A host: the number its course is kept under, and those of all its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The newest name's.
    pub root: i64,
    /// The newest and all former ones'.
    pub all: Vec<i64>,
}

impl Names {
    /// A host's.
    pub fn of(state: &HostState) -> Self {
        let root = state.host_id;
        Self { root, all: std::iter::once(root).chain(state.former.iter().copied()).collect() }
    }
}

/// An entry on a walk.
#[derive(Debug, Clone)]
pub struct Walked {
    /// The row.
    pub row: NarrowEntry,
    /// What is remembered of what it says.
    pub content: Arc<Content>,
    /// The run it named.
    pub run: Option<Arc<Run>>,
}

impl Walked {
    /// What a projection needs of it.
    pub fn event(&self) -> Event<'_> {
        let deployment = self.row.source.is_some_and(Source::is_deployment);
        let digest = if deployment { self.content.digest() } else { ContentDigest::default() };
        Event {
            place: Place { time: self.row.time, id: self.row.id },
            kind: self.row.kind,
            source: self.row.source,
            reported_at: self.row.reported_at,
            content: &self.content,
            digest,
            run: self.run.as_ref(),
        }
    }
}

/// Rows with what they say.
pub async fn walked(
    connection: &mut SqliteConnection,
    dictionary: &Dictionary,
    rows: Vec<NarrowEntry>,
) -> Result<Vec<Walked>, sqlx::Error> {
    let contents = dictionary.kept(connection, rows.iter().map(|row| row.content_id)).await?;
    let runs = dictionary.runs(connection, rows.iter().filter_map(|row| row.run_id)).await?;
    let walked = |row: NarrowEntry| {
        let missing = || Trouble::damaged("an entry's content is missing".into());
        let content = contents.get(&row.content_id).cloned().ok_or_else(missing)?;
        let run = row.run_id.and_then(|id| runs.get(&id).cloned());
        Ok(Walked { row, content, run })
    };
    Ok(rows.into_iter().map(walked).collect::<Result<_, Trouble>>()?)
}

/// Rows of a walk's first page, and of each further one.
const PAGES: [usize; 2] = [64, 2000];

const PAGE: &str = "e.host_id = $1 AND e.time BETWEEN $2 AND $3 AND (e.time > $2 OR e.seq > $4) \
     AND e.seq <= $5 AND h.kind <> 3 ORDER BY e.time, e.seq LIMIT $6";

/// A walk along the entries of one host under all its names, in the order of (time, id).
#[derive(Debug)]
pub struct Walk {
    names: Vec<i64>,
    index: Index,
    after: Place,
    to: i64,
    as_of: i64,
    rows: usize,
    /// Entries of the newest time, until all of them are there.
    held: Vec<Walked>,
    done: bool,
}

impl Walk {
    /// From a time (inclusive) to another (exclusive), as far as ids up to `as_of` know.
    pub fn new(index: Index, names: &Names, from: Timestamp, to: Timestamp, as_of: u64) -> Self {
        Self {
            index,
            names: names.all.clone(),
            after: Place { time: from, id: 0 },
            to: to.0.saturating_sub(1),
            as_of: i64::try_from(as_of).unwrap_or(i64::MAX),
            rows: PAGES[0],
            held: Vec::new(),
            done: false,
        }
    }

    /// The next entries: always everything that has one time. Empty at the end.
    pub async fn next(
        &mut self,
        connection: &mut SqliteConnection,
        dictionary: &Dictionary,
    ) -> Result<Vec<Walked>, sqlx::Error> {
        while !self.done {
            let mut rows = Vec::new();
            for (name, table) in self.index.each(&self.names) {
                rows.extend(self.page_of(connection, name, table).await?);
            }
            rows.sort_unstable_by_key(|row: &NarrowEntry| (row.time, row.id));
            // Of several tables, only what lies before the first one's end is complete.
            self.done = rows.len() < self.rows;
            rows.truncate(self.rows);
            self.rows = PAGES[1];
            if let Some(last) = rows.last() {
                self.after = Place { time: last.time, id: last.id };
            }
            self.held.extend(walked(connection, dictionary, rows).await?);
            if self.done {
                break;
            }
            let newest = self.after.time;
            let complete = self.held.partition_point(|walked| walked.row.time < newest);
            if complete > 0 {
                let held = self.held.split_off(complete);
                return Ok(std::mem::replace(&mut self.held, held));
            }
        }
        Ok(std::mem::take(&mut self.held))
    }

    async fn page_of(
        &self,
        connection: &mut SqliteConnection,
        name: i64,
        table: &str,
    ) -> Result<Vec<NarrowEntry>, sqlx::Error> {
        let from = by_host(table);
        let sql = format!(
            "SELECT group_concat(row, ';') FROM \
             (SELECT {PACKED_COLUMNS} AS row FROM {from} WHERE {PAGE})"
        );
        // The text is put together from constants.
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(name)
            .bind(self.after.time.0)
            .bind(self.to)
            .bind(self.after.id as i64)
            .bind(self.as_of)
            .bind(self.rows as i64);
        let packed: Option<String> = query.fetch_one(connection).await?.try_get(0)?;
        Ok(unpack(packed.as_deref())?)
    }
}

// What was before a time ($2) as far as ids up to $3 know, of one name ($1).
const NEWEST: &str = "SELECT e.time, e.seq, h.kind, c.max_age \
     FROM host_entry e CROSS JOIN drift_history h ON h.seq = e.seq \
     JOIN content c ON c.id = h.content_id \
     WHERE e.host_id = $1 AND e.time < $2 AND e.seq <= $3 AND h.kind <> 3 \
     ORDER BY e.time DESC, e.seq DESC LIMIT 1";
const NEWEST_OF_STATUS: &str = "SELECT e.time \
     FROM host_entry e CROSS JOIN drift_history h ON h.seq = e.seq \
     JOIN content c ON c.id = h.content_id \
     WHERE e.host_id = $1 AND e.time < $2 AND e.seq <= $3 AND c.status = $4 \
     ORDER BY e.time DESC LIMIT 1";
const COUNT: &str = "SELECT count(*), coalesce(sum(h.source = 0), 0) \
     FROM host_entry e CROSS JOIN drift_history h ON h.seq = e.seq \
     WHERE e.host_id = $1 AND e.time < $2 AND e.seq <= $3 AND e.time >= $4 \
     AND (e.time > $4 OR e.seq >= $5) AND h.kind < 2";
// Of the host ($1) up to a time ($2).
const SEGMENT: &str = "SELECT s.start, s.status, f.paths, \
     (SELECT c.digest FROM content c WHERE c.id = s.deployment_id) FROM segment s \
     LEFT JOIN file_set f ON f.id = s.file_set_id \
     WHERE s.host_id = $1 AND s.start <= $2 AND s.silent = 0 ORDER BY s.start DESC LIMIT 1";
const EPISODE: &str = "SELECT id, started_at, started_after, ended_at FROM episode \
     WHERE host_id = $1 AND started_at <= $2 AND id <= $3 \
     ORDER BY started_at DESC, id DESC LIMIT 1";
const DRIFTED: &str = "SELECT coalesce(sum(min(end, $3) - max(start, $2)), 0) FROM segment \
     WHERE host_id = $1 AND start < $3 AND status = 1 AND silent = 0 AND end > $2 AND start >= \
     coalesce((SELECT max(p.start) FROM segment p WHERE p.host_id = $1 AND p.start <= $2), 0)";

/// One connection's way back to a host's course.
pub struct Resume<'c> {
    connection: &'c mut SqliteConnection,
    index: Index,
    names: &'c Names,
    /// Entries before this time count,
    before: Timestamp,
    /// up to this id.
    as_of: i64,
}

impl<'c> Resume<'c> {
    /// The course as it was after every entry with a time before `before`, as far as ids up to
    /// `as_of` know. `current` is a course behind that; what is written must be right for the stretch
    /// before (no entry behind `as_of` came out of order in it, none is missing).
    pub async fn course(
        connection: &'c mut SqliteConnection,
        index: Index,
        names: &'c Names,
        current: &Course,
        before: Timestamp,
        as_of: u64,
    ) -> Result<Course, sqlx::Error> {
        let as_of = i64::try_from(as_of).unwrap_or(i64::MAX);
        Resume { connection, index, names, before, as_of }.run(current).await
    }

    async fn run(mut self, current: &Course) -> Result<Course, sqlx::Error> {
        let Some((last, kind, good_until)) = self.newest().await? else {
            return Ok(Course::default());
        };
        let mut course = Course { last: last.time, ..Course::default() };
        course.episode = self.episode(last.time, current).await?;
        course.last_synced = match (&course.episode, current.last_synced) {
            (Some(episode), _) => episode.started_after,
            (None, Some(newest)) if newest > last.time => self.newest_of(Status::Synced).await?,
            (None, newest) => newest,
        };
        if kind == Kind::Retire {
            course.deployment = self.deployment(last.time).await?;
            return Ok(course);
        }
        course.good_until = good_until;
        let start = match current.open {
            Some(open) if open.start <= last.time => {
                (course.status, course.files) = (current.status, current.files.clone());
                course.deployment = current.deployment;
                open.start
            }
            _ => self.segment(last.time, &mut course).await?,
        };
        let (reports, deployments) = self.count(Place { time: start, id: 0 }).await?;
        course.open = Some(OpenSegment { start, reports, deployments });
        if let Some(episode) = &mut course.episode {
            let place = Place { time: episode.started_at, id: episode.id };
            episode.reports = self.count(place).await?.0;
            let query = sqlx::query(DRIFTED).bind(self.names.root);
            let query = query.bind(episode.started_at.0).bind(start.0);
            episode.drifted = query.fetch_one(&mut *self.connection).await?.try_get(0)?;
        }
        Ok(course)
    }

    async fn newest(&mut self) -> Result<Option<(Place, Kind, Timestamp)>, sqlx::Error> {
        let mut newest: Option<(Place, Kind, Timestamp)> = None;
        for (name, table) in self.index.each(&self.names.all) {
            let query = sqlx::query(table_of(NEWEST, table))
                .bind(name)
                .bind(self.before.0)
                .bind(self.as_of);
            let Some(row) = query.fetch_optional(&mut *self.connection).await? else { continue };
            let place =
                Place { time: Timestamp(row.try_get(0)?), id: row.try_get::<i64, _>(1)? as u64 };
            let kind = Kind::from_code(row.try_get(2)?).unwrap_or(Kind::Report);
            let max_age = row.try_get::<Option<i64>, _>(3)?.unwrap_or(i64::from(u32::MAX));
            let good_until = Timestamp(place.time.0.saturating_add(max_age * SECOND));
            if newest.as_ref().is_none_or(|(old, ..)| place > *old) {
                newest = Some((place, kind, good_until));
            }
        }
        Ok(newest)
    }

    async fn newest_of(&mut self, status: Status) -> Result<Option<Timestamp>, sqlx::Error> {
        let mut newest = None;
        for (name, table) in self.index.each(&self.names.all) {
            let query =
                sqlx::query(table_of(NEWEST_OF_STATUS, table)).bind(name).bind(self.before.0);
            let query = query.bind(self.as_of).bind(status.code());
            if let Some(row) = query.fetch_optional(&mut *self.connection).await? {
                newest = newest.max(Some(Timestamp(row.try_get(0)?)));
            }
        }
        Ok(newest)
    }

    /// Reports from a place on, and the pipeline's among them.
    async fn count(&mut self, from: Place) -> Result<(u64, u64), sqlx::Error> {
        let (mut count, mut deployments) = (0, 0);
        for (name, table) in self.index.each(&self.names.all) {
            let query =
                sqlx::query(table_of(COUNT, table)).bind(name).bind(self.before.0).bind(self.as_of);
            let query = query.bind(from.time.0).bind(from.id as i64);
            let row = query.fetch_one(&mut *self.connection).await?;
            count += row.try_get::<i64, _>(0)? as u64;
            deployments += row.try_get::<i64, _>(1)? as u64;
        }
        Ok((count, deployments))
    }

    /// What was deployed at a time without a segment.
    async fn deployment(&mut self, at: Timestamp) -> Result<Option<ContentDigest>, sqlx::Error> {
        let query = sqlx::query(SEGMENT).bind(self.names.root).bind(at.0);
        let row = query.fetch_optional(&mut *self.connection).await?;
        let digest = row.map(|row| row.try_get::<Option<String>, _>(3)).transpose()?.flatten();
        Ok(digest.and_then(unhex))
    }

    /// Puts in force what the segment of a time says; answers its beginning.
    async fn segment(
        &mut self,
        at: Timestamp,
        course: &mut Course,
    ) -> Result<Timestamp, sqlx::Error> {
        let query = sqlx::query(SEGMENT).bind(self.names.root).bind(at.0);
        let row = query.fetch_optional(&mut *self.connection).await?;
        let damaged = || sqlx::Error::Decode("segments are missing; run `rebuild`".into());
        let row = row.ok_or_else(damaged)?;
        course.status = Status::from_code(row.try_get(1)?).ok_or_else(damaged)?;
        course.files = file_set(row.try_get::<Option<&str>, _>(2)?)?.kept();
        course.deployment = row.try_get::<Option<&str>, _>(3)?.and_then(unhex);
        Ok(Timestamp(row.try_get(0)?))
    }

    /// The episode that is open after the entries of a time; its sums are still to be filled in.
    async fn episode(
        &mut self,
        at: Timestamp,
        current: &Course,
    ) -> Result<Option<OpenEpisode>, sqlx::Error> {
        let query = sqlx::query(EPISODE).bind(self.names.root).bind(at.0).bind(self.as_of);
        let Some(row) = query.fetch_optional(&mut *self.connection).await? else { return Ok(None) };
        if row.try_get::<Option<i64>, _>(3)?.is_some_and(|ended| ended <= at.0) {
            return Ok(None);
        }
        let id = row.try_get::<i64, _>(0)? as u64;
        let known = current.episode.as_ref().filter(|now| now.id == id && now.last_drift <= at);
        let last_drift = match known {
            Some(now) => now.last_drift,
            None => self.newest_of(Status::OutOfSync).await?.unwrap_or(at),
        };
        Ok(Some(OpenEpisode {
            id,
            started_at: Timestamp(row.try_get(1)?),
            started_after: row.try_get::<Option<i64>, _>(2)?.map(Timestamp),
            reports: 0,
            drifted: 0,
            last_drift,
        }))
    }
}

/// Reads `file_set.paths`; null is the empty set.
pub fn file_set(paths: Option<&str>) -> Result<FileSet, Trouble> {
    let Some(paths) = paths else { return Ok(FileSet::NONE) };
    let damaged = |_| Trouble::damaged("a set of files is damaged".into());
    let paths = serde_json::from_str(paths).map_err(damaged)?;
    Ok(FileSet::new(paths))
}
