//! The segments of a look back: as they are, or added up.

use crate::domain::course::{Change, DAY, Segment, midnight};
use crate::domain::file_set::FileSet;
use crate::domain::report::Status;
use crate::domain::review::Stretch;
use crate::domain::time::Timestamp;
use crate::files::trouble::Trouble;
use crate::projection::courses::file_set;
use crate::views::lookback::{Lookback, Past};
use futures_util::TryStreamExt;
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use std::collections::{HashMap, HashSet};

// $1: JSON rows of a host's place in the list, its number, and where what is written down stops
// being right; $2, $3: the stretch. A host's segments follow each other without overlap.
const STORED: &str = "json_each($1) g CROSS JOIN segment s WHERE s.host_id = g.value->>1 \
     AND s.start < min(g.value->>2, $3) AND s.end > $2 AND s.start >= coalesce(\
     (SELECT max(p.start) FROM segment p WHERE p.host_id = g.value->>1 AND p.start <= $2), $2)";
const EACH: &str = "SELECT g.value->>0, s.file_set_id, s.start, s.end, s.status, s.silent, \
     s.reports FROM ";
/// Sums by status, silence and files. Reports of segments cut by the stretch are not in them.
const SUMS: &str = "SELECT g.value->>0, s.file_set_id, s.status, s.silent, \
     sum(min(s.end, $3) - max(s.start, $2)), sum(iif(s.start >= $2 \
     AND min(s.end, s.start - s.start % 86400000000 + 86400000000) <= $3, s.reports, 0)) FROM ";
/// Segments that begin before the stretch or have reports behind it.
const CUT: &str = " AND s.reports > 0 AND (s.start < $2 \
     OR min(s.end, s.start - s.start % 86400000000 + 86400000000) > $3)";
const BY_STATE: &str = " GROUP BY 1, 2, 3, 4";
const FILE_SETS: &str =
    "SELECT id, paths FROM file_set WHERE id IN (SELECT value FROM json_each($1))";
/// Reports of names ($1: their host's place, the name) in buckets of $2 microseconds.
const BUCKETS: &str = "SELECT g.value->>0, e.time - e.time % $2, count(*) FROM json_each($1) g \
     CROSS JOIN host_entry e CROSS JOIN drift_history h ON h.seq = e.seq \
     WHERE e.host_id = g.value->>1 AND e.time >= $3 AND e.time < $4 \
     AND e.seq <= $5 AND h.kind < 2 GROUP BY 1, 2";
/// Reports of names ($1: a number to tell them apart, the name, from, to) up to an id.
const COUNTS: &str = "SELECT g.value->>0, (SELECT count(*) \
     FROM host_entry e CROSS JOIN drift_history h ON h.seq = e.seq \
     WHERE e.host_id = g.value->>1 AND e.time >= g.value->>2 AND e.time < g.value->>3 \
     AND e.seq <= $2 AND h.kind < 2) FROM json_each($1) g";

/// A host's segments, clipped to the stretch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clipped {
    /// In order, each with exactly the reports that lie in it.
    pub segments: Vec<Segment>,
    /// Whether the last one goes on.
    pub open: bool,
}

/// Reports to be counted in the history: of a host, between two times.
struct Uncounted {
    host: usize,
    segment: usize,
    from: Timestamp,
    to: Timestamp,
}

impl Lookback<'_> {
    /// The segments of every host, clipped to the stretch.
    pub async fn segments(&mut self) -> Result<Vec<Clipped>, Trouble> {
        self.look_up_sets().await?;
        let rows = self.stored(&[EACH, STORED].concat()).await?;
        let sets = self.file_sets(&rows).await?;
        let mut hosts: Vec<Vec<Segment>> = vec![Vec::new(); self.hosts.len()];
        for row in &rows {
            hosts[row.try_get::<i64, _>(0)? as usize].push(Segment {
                start: Timestamp(row.try_get(2)?),
                end: Timestamp(row.try_get(3)?),
                status: status(row.try_get(4)?),
                silent: row.try_get::<i64, _>(5)? != 0,
                files: set_of(&sets, row)?,
                reports: row.try_get::<i64, _>(6)? as u64,
                // Nobody asks a timeline what was deployed.
                deployment: None,
                deployments: 0,
            });
        }
        let mut clipped = Vec::with_capacity(hosts.len());
        let mut uncounted = Vec::new();
        for (host, (mut segments, past)) in hosts.into_iter().zip(&self.hosts).enumerate() {
            segments.sort_unstable_by_key(|segment| segment.start);
            let written = segments.into_iter().map(|s| (spoken_until(s.start, s.end), s));
            let mut kept = Vec::new();
            for (spoken, segment) in written.chain(past.unwritten(self.now)) {
                kept.extend(self.clip(segment, spoken, (host, kept.len()), &mut uncounted));
            }
            let goes_on = past.course.open.is_some() && self.to == self.now;
            clipped.push(Clipped { open: goes_on && !kept.is_empty(), segments: kept });
        }
        for (at, reports) in self.count(&uncounted).await? {
            let Uncounted { host, segment, .. } = uncounted[at];
            clipped[host].segments[segment].reports += reports;
        }
        Ok(clipped)
    }

    /// What every host's time in the stretch was, added up by status, silence and files.
    pub async fn stretches(&mut self) -> Result<Vec<Vec<Stretch>>, Trouble> {
        self.look_up_sets().await?;
        let rows = self.stored(&[SUMS, STORED, BY_STATE].concat()).await?;
        let sets = self.file_sets(&rows).await?;
        let mut hosts: Vec<Vec<Stretch>> = vec![Vec::new(); self.hosts.len()];
        for row in &rows {
            hosts[row.try_get::<i64, _>(0)? as usize].push(Stretch {
                status: status(row.try_get(2)?),
                silent: row.try_get::<i64, _>(3)? != 0,
                files: set_of(&sets, row)?,
                micros: row.try_get(4)?,
                reports: row.try_get::<i64, _>(5)? as u64,
            });
        }
        let mut uncounted = Vec::new();
        self.cut_by_the_stretch(&mut hosts, &mut uncounted).await?;
        for (host, past) in self.hosts.iter().enumerate() {
            for (spoken, segment) in past.unwritten(self.now) {
                let place = (host, hosts[host].len());
                let Some(clipped) = self.clip(segment, spoken, place, &mut uncounted) else {
                    continue;
                };
                hosts[host].push(Stretch {
                    micros: clipped.end.0 - clipped.start.0,
                    status: clipped.status,
                    silent: clipped.silent,
                    files: clipped.files,
                    reports: clipped.reports,
                });
            }
        }
        for (at, reports) in self.count(&uncounted).await? {
            let Uncounted { host, segment, .. } = uncounted[at];
            if let Some(stretch) = hosts[host].get_mut(segment) {
                stretch.reports += reports;
            }
        }
        Ok(hosts)
    }

    async fn stored(&mut self, sql: &str) -> Result<Vec<SqliteRow>, sqlx::Error> {
        let hosts: Vec<Value> = self
            .hosts
            .iter()
            .enumerate()
            .map(|(at, past)| json!([at, past.root(), past.written_until().0]))
            .collect();
        // The text is put together from constants.
        let query = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned()));
        let query = query.bind(Value::Array(hosts).to_string()).bind(self.from.0).bind(self.to.0);
        query.fetch_all(&mut *self.connection).await
    }

    /// Notes the stored segments of which only a part of the reports lies in the stretch, each as a
    /// stretch of no time. None, if it begins and ends at midnight: all reports of a segment lie on
    /// one day.
    async fn cut_by_the_stretch(
        &mut self,
        hosts: &mut [Vec<Stretch>],
        uncounted: &mut Vec<Uncounted>,
    ) -> Result<(), sqlx::Error> {
        let cuts = |edge: Timestamp| edge > Timestamp(0) && midnight(edge) != edge;
        if !cuts(self.from) && (self.to == self.now || !cuts(self.to)) {
            return Ok(());
        }
        for row in self.stored(&[EACH, STORED, CUT].concat()).await? {
            let host = row.try_get::<i64, _>(0)? as usize;
            let (start, end): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
            uncounted.push(Uncounted {
                host,
                segment: hosts[host].len(),
                from: Timestamp(start).max(self.from),
                to: spoken_until(Timestamp(start), Timestamp(end)).min(self.to),
            });
            hosts[host].push(Stretch {
                status: status(row.try_get(4)?),
                silent: false,
                files: FileSet::NONE,
                micros: 0,
                reports: 0,
            });
        }
        Ok(())
    }

    /// Clips a segment; its reports, which end before `spoken_until`, are counted where not all of them
    /// lie in the stretch.
    fn clip(
        &self,
        segment: Segment,
        spoken_until: Timestamp,
        (host, at): (usize, usize),
        uncounted: &mut Vec<Uncounted>,
    ) -> Option<Segment> {
        let (from, to) = (segment.start.max(self.from), segment.end.min(self.to));
        if from >= to {
            return None;
        }
        let behind = spoken_until.min(self.to);
        let whole = from == segment.start && behind == spoken_until;
        if !whole && from < behind && segment.reports > 0 {
            uncounted.push(Uncounted { host, segment: at, from, to: behind });
        }
        let reports = if whole { segment.reports } else { 0 };
        Some(Segment { start: from, end: to, reports, ..segment })
    }

    /// Reports by host and bucket of `step` microseconds; a host with several names has several rows.
    pub async fn reports_by_bucket(
        &mut self,
        step: i64,
    ) -> Result<Vec<(usize, Timestamp, u64)>, Trouble> {
        let names: Vec<Value> = self
            .hosts
            .iter()
            .enumerate()
            .flat_map(|(at, past)| past.names.all.iter().map(move |name| json!([at, name])))
            .collect();
        let names = Value::Array(names).to_string();
        let mut buckets = Vec::new();
        for text in self.index.texts(BUCKETS) {
            let query = sqlx::query(text).bind(&names).bind(step);
            let query = query.bind(self.from.0).bind(self.to.0).bind(self.as_of as i64);
            for row in query.fetch_all(&mut *self.connection).await? {
                let host = row.try_get::<i64, _>(0)? as usize;
                let reports = row.try_get::<i64, _>(2)? as u64;
                buckets.push((host, Timestamp(row.try_get(1)?), reports));
            }
        }
        Ok(buckets)
    }

    /// Counts reports in the history.
    async fn count(&mut self, uncounted: &[Uncounted]) -> Result<Vec<(usize, u64)>, sqlx::Error> {
        if uncounted.is_empty() {
            return Ok(Vec::new());
        }
        let mut rows = Vec::new();
        for (at, piece) in uncounted.iter().enumerate() {
            for name in &self.hosts[piece.host].names.all {
                rows.push(json!([at, name, piece.from.0, piece.to.0]));
            }
        }
        let pieces = Value::Array(rows).to_string();
        let mut counts = Vec::new();
        for text in self.index.texts(COUNTS) {
            let query = sqlx::query(text).bind(&pieces).bind(self.as_of as i64);
            for row in query.fetch_all(&mut *self.connection).await? {
                counts.push((row.try_get::<i64, _>(0)? as usize, row.try_get::<i64, _>(1)? as u64));
            }
        }
        Ok(counts)
    }

    /// The file sets that rows name in their column 1.
    async fn file_sets(
        &mut self,
        rows: &[SqliteRow],
    ) -> Result<HashMap<i64, FileSet>, sqlx::Error> {
        let ids: HashSet<Option<i64>> =
            rows.iter().map(|row| row.try_get(1)).collect::<Result<_, _>>()?;
        let ids: Vec<i64> = ids.into_iter().flatten().collect();
        let query = sqlx::query(FILE_SETS).bind(json!(ids).to_string());
        let (mut sets, mut rows) = (HashMap::new(), query.fetch(&mut *self.connection));
        while let Some(row) = rows.try_next().await? {
            sets.insert(row.try_get(0)?, file_set(row.try_get::<Option<&str>, _>(1)?)?);
        }
        Ok(sets)
    }
}

impl Past {
    /// The segments that are not written down, folded since or running; and the end of their reports.
    fn unwritten(&self, now: Timestamp) -> impl Iterator<Item = (Timestamp, Segment)> {
        let folded = self.since.iter().filter_map(|change| match change {
            Change::Segment(s) => Some((spoken_until(s.start, s.end), s.clone())),
            _ => None,
        });
        let behind_last = Timestamp(self.course.last.0.saturating_add(1));
        folded.chain(self.course.tail(now).into_iter().map(move |s| (behind_last, s)))
    }
}

/// Where the reports of an ended segment end at the latest: all lie on its first day.
fn spoken_until(start: Timestamp, end: Timestamp) -> Timestamp {
    end.min(Timestamp(midnight(start).0.saturating_add(DAY)))
}

fn set_of(sets: &HashMap<i64, FileSet>, row: &SqliteRow) -> Result<FileSet, sqlx::Error> {
    let missing = || sqlx::Error::Decode("a segment's files are missing".into());
    match row.try_get::<Option<i64>, _>(1)? {
        None => Ok(FileSet::NONE),
        Some(id) => sets.get(&id).cloned().ok_or_else(missing),
    }
}

fn status(code: i64) -> Status {
    Status::from_code(code).unwrap_or(Status::Unknown)
}
