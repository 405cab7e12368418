//! What the recorder asks while it folds: what stands around a late report, and what a report or a
//! key may repeat. The answer is in the tail or in what is projected. Nothing is written for it.

use super::writer::Writer;
use crate::domain::content::Content;
use crate::domain::event::Event;
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
use crate::projection::courses::Names;

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
/// Entries of a name (?1) that may repeat a content: it has the digest ?2, or both bear an age that we
/// stamped (?3: 1 if this one does not), and another one than this (?4). Of a source (?5), with a time (?6).
macro_rules! twins {
    ($from:literal) => {
        concat!(
            "SELECT h.seq, h.content_id, h.run_id FROM ",
            $from,
            " AND (c.digest = ?2 OR (?3 = 0 AND c.max_age_sent = 0 AND c.max_age IS NOT ?4))"
        )
    };
}
const TWINS: [&str; 3] = [
    twins!(
        "host_entry e CROSS JOIN drift_history h ON h.seq = e.seq JOIN content c ON c.id = h.content_id \
         WHERE e.host_id = ?1 AND e.time = ?6 AND h.ahead = 0 AND h.source = ?5"
    ),
    twins!(
        "host_confirmation e CROSS JOIN drift_history h ON h.seq = e.seq \
         JOIN content c ON c.id = h.content_id \
         WHERE e.host_id = ?1 AND e.time = ?6 AND h.ahead = 0 AND h.source = ?5"
    ),
    twins!(
        "drift_history h JOIN content c ON c.id = h.content_id \
         WHERE h.host_id = ?1 AND h.reported_at = ?6 AND h.ahead > 0 AND h.source = ?5"
    ),
];
const IMPORTS: [&str; 1] = [twins!(
    "drift_history h JOIN content c ON c.id = h.content_id \
     WHERE h.host_id = ?1 AND h.source = 4 AND ?5 = 4 AND ?6 IS NULL"
)];

/// Whether an entry says what a report says: then the report is a repetition.
pub fn repeats(report: &Report, content: &Content, run: Option<&Run>) -> bool {
    report.content.same_as_sent(content) && report.run.as_deref() == run
}

impl Writer {
    /// The entry of an id.
    pub fn entry(&mut self, id: u64) -> Result<Option<Entry>, Trouble> {
        let dictionary = self.dictionary.clone();
        lookups::entry(self.connection()?, &dictionary, id)
    }

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
                let known = dictionary.contents_now(self.connection()?, std::iter::once(id))?;
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

    /// The recorded entry that a report repeats: of the same name (by its number) and source, with the same
    /// time, and with the same words. Without a time only imports repeat anything.
    pub fn twin(&mut self, root: i64, name: i64, report: &Report) -> Result<Option<u64>, Trouble> {
        let may_be = |event: &Event<'_>, host_id: i64| {
            let timed = match report.reported_at {
                Some(time) => event.reported_at == Some(time),
                None => report.source == Source::Import,
            };
            let same = || repeats(report, event.content, event.run.map(|run| &**run));
            host_id == name && event.source == Some(report.source) && timed && same()
        };
        let entries = self.tail.entries_of(root);
        let in_tail = entries.iter().find(|entry| may_be(&entry.event(), entry.host_id));
        let in_tail = in_tail.map(|entry| entry.place.id);
        let kinds = if report.reported_at.is_some() { &TWINS[..] } else { &IMPORTS[..] };
        let content = &report.content;
        let asked = (
            name,
            hex(&report.digest),
            content.max_age_sent,
            content.max_age.map(i64::from),
            report.source.code(),
            report.reported_at.map(|time| time.0),
        );
        let mut stored = Vec::new();
        for kind in kinds {
            stored.extend(self.ask(kind, asked.clone(), |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<i64>>(2)?))
            })?);
        }
        stored.sort_unstable();
        let dictionary = self.dictionary.clone();
        let connection = self.connection()?;
        let contents = dictionary.contents_now(connection, stored.iter().map(|twin| twin.1))?;
        let runs = dictionary.runs_now(connection, stored.iter().filter_map(|twin| twin.2))?;
        let stored = stored.into_iter().find(|(_, content, run)| {
            let run = run.and_then(|run| runs.get(&run)).map(|run| &**run);
            contents.get(content).is_some_and(|content| repeats(report, content, run))
        });
        Ok(stored.map(|(id, ..)| id as u64).into_iter().chain(in_tail).min())
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
