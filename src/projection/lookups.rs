//! What the recorder asks while it folds: what stands around a late report, and what a report or a
//! key may repeat. The answer is in the tail or in what is projected. Nothing is written for it.

use super::tail::TailEntry;
use super::writer::Writer;
use crate::domain::content::Content;
use crate::domain::line::Entry;
use crate::domain::line::hex;
use crate::domain::place::{Place, Word};
use crate::domain::push::Grouping;
use crate::domain::report::{Report, Run, Source, Status};
use crate::domain::surroundings::{Neighbours, Unknown};
use crate::domain::time::Timestamp;
use crate::files::trouble::Trouble;
use crate::ledger::batch::PushedGrouping;
use crate::ledger::lookups;
use crate::ledger::pushes::{self, LastRuns};
use crate::ledger::steps::json_text;
use crate::projection::courses::Names;
use std::collections::HashMap;
use std::sync::Arc;

/// Of what is asked for (?4 to ?9): the newest retirement before a place (?2, ?3), whether a report
/// comes before (behind that retirement), the newest that says a status, the files, synced or
/// out_of_sync; and the first out_of_sync behind.
const NEIGHBOURS: &str = "
SELECT iif(?4, (SELECT format('%d,%d,%d', h.time, h.seq, 0) FROM drift_history h
     WHERE h.host_id = ?1 AND (h.time, h.seq) < (?2, ?3) AND h.kind > 1 AND h.kind = 2
     ORDER BY h.time DESC, h.seq DESC LIMIT 1), NULL),
  iif(?5, (SELECT format('%d,%d,%d', e.time, e.seq, 0) FROM host_entry e CROSS JOIN drift_history h ON h.seq = e.seq
     WHERE e.host_id = ?1 AND (e.time, e.seq) < (?2, ?3) AND h.kind < 2
     ORDER BY e.time DESC, e.seq DESC LIMIT 1), NULL),
  iif(?5, (SELECT format('%d,%d,%d', e.time, e.seq, 0) FROM host_confirmation e
     WHERE e.host_id = ?1 AND (e.time, e.seq) < (?2, ?3)
     ORDER BY e.time DESC, e.seq DESC LIMIT 1), NULL),
  iif(?6, (SELECT format('%d,%d,%d', e.time, e.seq, c.status) FROM host_entry e CROSS JOIN drift_history h ON h.seq = e.seq
     JOIN content c ON c.id = h.content_id
     WHERE e.host_id = ?1 AND (e.time, e.seq) < (?2, ?3) AND c.status IS NOT NULL
     ORDER BY e.time DESC, e.seq DESC LIMIT 1), NULL),
  iif(?7, (SELECT format('%d,%d,%d', e.time, e.seq, c.id) FROM host_entry e CROSS JOIN drift_history h ON h.seq = e.seq
     JOIN content c ON c.id = h.content_id
     WHERE e.host_id = ?1 AND (e.time, e.seq) < (?2, ?3)
       AND (c.changed_files IS NOT NULL OR h.source IN (0, 4) OR c.status = 0)
     ORDER BY e.time DESC, e.seq DESC LIMIT 1), NULL),
  iif(?8, (SELECT format('%d,%d,%d', e.time, e.seq, c.status) FROM host_entry e CROSS JOIN drift_history h ON h.seq = e.seq
     JOIN content c ON c.id = h.content_id
     WHERE e.host_id = ?1 AND (e.time, e.seq) < (?2, ?3) AND c.status IN (0, 1)
     ORDER BY e.time DESC, e.seq DESC LIMIT 1), NULL),
  iif(?9, (SELECT format('%d,%d,%d', e.time, e.seq, 0) FROM host_entry e CROSS JOIN drift_history h ON h.seq = e.seq
     JOIN content c ON c.id = h.content_id
     WHERE e.host_id = ?1 AND (e.time, e.seq) > (?2, ?3) AND c.status = 1
     ORDER BY e.time, e.seq LIMIT 1), NULL)";
/// Entries that may be repeated by one of some reports (?1: JSON rows of a name's number, a source, a time,
/// a content's digest, whether its age was sent, its age): they have the digest, or both bear an age that we
/// stamped, and another one.
macro_rules! twins {
    ($from:literal) => {
        concat!(
            "SELECT h.host_id, h.source, h.reported_at, h.seq, h.content_id, h.run_id \
             FROM json_each(?1) g CROSS JOIN ",
            $from,
            " AND (c.digest = g.value->>3 OR (g.value->>4 = 0 AND c.max_age_sent = 0 \
             AND c.max_age IS NOT g.value->>5))"
        )
    };
}
const TWINS: [&str; 4] = [
    twins!(
        "host_entry e CROSS JOIN drift_history h ON h.seq = e.seq JOIN content c ON c.id = h.content_id \
         WHERE e.host_id = g.value->>0 AND e.time = g.value->>2 AND h.ahead = 0 AND h.source = g.value->>1"
    ),
    twins!(
        "host_confirmation e CROSS JOIN drift_history h ON h.seq = e.seq \
         JOIN content c ON c.id = h.content_id \
         WHERE e.host_id = g.value->>0 AND e.time = g.value->>2 AND h.ahead = 0 AND h.source = g.value->>1"
    ),
    twins!(
        "drift_history h JOIN content c ON c.id = h.content_id \
         WHERE h.host_id = g.value->>0 AND h.reported_at = g.value->>2 AND h.ahead > 0 \
         AND h.source = g.value->>1"
    ),
    twins!(
        "drift_history h JOIN content c ON c.id = h.content_id \
         WHERE h.host_id = g.value->>0 AND h.source = 4 AND h.ahead IS NULL \
         AND g.value->>1 = 4 AND g.value->>2 IS NULL"
    ),
];

/// Under which a report looks for what it repeats: its name's number, its source, its time.
pub type TwinKey = (i64, Source, Option<Timestamp>);

/// A recorded entry that a report may repeat.
#[derive(Debug, Clone)]
pub struct Twin {
    /// The entry's id.
    pub id: u64,
    /// What it said.
    pub content: Arc<Content>,
    /// The run it named.
    pub run: Option<Arc<Run>>,
}

/// Whether an entry says what a report says: then the report is a repetition.
pub fn repeats(report: &Report, content: &Content, run: Option<&Run>) -> bool {
    report.content.same_as_sent(content) && report.run.as_deref() == run
}

impl Writer {
    /// What is remembered of an Idempotency-Key: the body's digest, the ids, and when it came.
    pub fn key(
        &mut self,
        token: &str,
        key: &str,
    ) -> Result<Option<(String, Vec<u64>, Timestamp)>, Trouble> {
        lookups::key(self.connection()?, token, key)
    }

    /// What is remembered of a grouping of pushes; one without members if nothing is.
    pub fn grouping(&mut self, grouping: &Grouping) -> Result<PushedGrouping, Trouble> {
        pushes::grouping(self.connection()?, grouping)
    }

    /// When each job was last pushed.
    pub fn last_runs(&mut self) -> Result<LastRuns, Trouble> {
        pushes::last_runs(self.connection()?)
    }

    /// What the recorded entries of a host say around a place, as far as it is asked for.
    pub fn neighbours(
        &mut self,
        names: &Names,
        at: Place,
        asked: Unknown,
    ) -> Result<Neighbours, Trouble> {
        let mut found = Neighbours::default();
        for name in &names.all {
            found.merge(self.projected_neighbours(*name, at, asked)?);
        }
        for entry in self.tail.entries_of(names.root) {
            found.take_in(at, &entry.event());
        }
        Ok(found)
    }

    fn projected_neighbours(
        &mut self,
        name: i64,
        at: Place,
        asked: Unknown,
    ) -> Result<Neighbours, Trouble> {
        let Unknown { retired, reported, status, files, drifting, next_drift } = asked;
        let (time, id) = (at.time.0, at.id as i64);
        let asked = (name, time, id, retired, reported, status, files, drifting, next_drift);
        let connection = self.connection()?;
        let row: Vec<Option<String>> = connection
            .prepare_cached(NEIGHBOURS)?
            .query_row(asked, |row| (0..7).map(|column| row.get(column)).collect())?;
        let mut row = row.into_iter().map(|text| placed(text.as_deref()));
        let mut next = || row.next().flatten();
        let (retired, reported, confirmed) = (next(), next(), next());
        let (status, files, drifting, next_drift) = (next(), next(), next(), next());
        let files = match files {
            None => None,
            Some((place, id)) => {
                let dictionary = self.dictionary.clone();
                let known = dictionary.kept_now(self.connection()?, std::iter::once(id))?;
                known.get(&id).map(|content| Word { place, value: content.clone() })
            }
        };
        Ok(Neighbours {
            reported: reported.max(confirmed).map(|(place, _)| place),
            status: status
                .and_then(|(place, code)| Some(Word { place, value: Status::from_code(code)? })),
            files,
            drifting: drifting.map(|(place, code)| Word { place, value: code == 1 }),
            next_drift: next_drift.map(|(place, _)| place),
            retired: retired.map(|(place, _)| place),
        })
    }

    /// Where the first drift of a host behind a place begins.
    pub fn first_drift_after(
        &mut self,
        names: &Names,
        at: Place,
    ) -> Result<Option<Place>, Trouble> {
        let asked = Unknown { next_drift: true, ..Unknown::default() };
        Ok(self.neighbours(names, at, asked)?.next_drift)
    }

    /// The recorded entries that some reports, each under its name's number, may repeat: of the same name
    /// and source, with the same time. Without a time only imports repeat anything.
    pub fn twins(
        &mut self,
        reports: &[(i64, &Report)],
    ) -> Result<HashMap<TwinKey, Vec<Twin>>, Trouble> {
        let asked = reports.iter().map(|(name, report)| {
            let content = &report.content;
            (
                name,
                report.source.code(),
                report.reported_at.map(|time| time.0),
                hex(&report.digest),
                i64::from(content.max_age_sent),
                content.max_age,
            )
        });
        let asked = json_text(&asked.collect::<Vec<_>>());
        let imports = reports.iter().any(|(_, report)| report.reported_at.is_none());
        let mut stored = Vec::new();
        for text in &TWINS[..if imports { 4 } else { 3 }] {
            stored.extend(self.ask(text, [&asked], |row| {
                let time: Option<i64> = row.get(2)?;
                let key = (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, time);
                let said: (i64, Option<i64>) = (row.get(4)?, row.get(5)?);
                Ok((row.get::<_, i64>(3)?, key, said))
            })?);
        }
        stored.sort_unstable();
        stored.dedup();
        let dictionary = self.dictionary.clone();
        let connection = self.connection()?;
        let said = || stored.iter().map(|(.., said)| *said);
        let contents = dictionary.kept_now(connection, said().map(|said| said.0))?;
        let runs = dictionary.runs_now(connection, said().filter_map(|said| said.1))?;
        let mut twins = HashMap::<TwinKey, Vec<Twin>>::new();
        for (id, (name, source, time), (content, run)) in stored {
            let (Some(source), Some(content)) =
                (Source::from_code(source), contents.get(&content).cloned())
            else {
                continue;
            };
            let run = run.and_then(|run| runs.get(&run).cloned());
            let key = (name, source, time.map(Timestamp));
            twins.entry(key).or_default().push(Twin { id: id as u64, content, run });
        }
        Ok(twins)
    }

    /// The entry behind the watermark that a report repeats.
    pub fn twin_in_tail(&self, root: i64, name: i64, report: &Report) -> Option<u64> {
        let repeated = |entry: &&TailEntry| {
            let timed = report.reported_at.is_none() || entry.reported_at == report.reported_at;
            let same = || repeats(report, &entry.content, entry.run.as_deref());
            timed && entry.host_id == name && entry.source == Some(report.source) && same()
        };
        self.tail.entries_of(root).iter().find(repeated).map(|entry| entry.place.id)
    }

    /// The entries of some ids, by the ids.
    pub fn entries(&mut self, ids: &[u64]) -> Result<HashMap<u64, Entry>, Trouble> {
        let dictionary = self.dictionary.clone();
        lookups::entries(self.connection()?, &dictionary, ids)
    }
}

/// Reads `time,seq,value`.
fn placed(text: Option<&str>) -> Option<(Place, i64)> {
    let text = text.filter(|text| !text.is_empty())?;
    let mut numbers = text.split(',').map(|number| number.parse::<i64>().unwrap_or_default());
    let mut next = || numbers.next().unwrap_or_default();
    let place = Place { time: Timestamp(next()), id: next() as u64 };
    Some((place, next()))
}
