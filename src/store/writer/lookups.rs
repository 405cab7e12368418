//! What the recorder asks while it folds: what stands around a late report, and what a report or a
//! key may repeat.

use super::super::history;
use super::Writer;
use crate::domain::content::Content;
use crate::domain::line::Entry;
use crate::domain::line::hex;
use crate::domain::place::{Place, Word};
use crate::domain::report::{Report, Run, Status};
use crate::domain::surroundings::{Neighbours, Unknown};
use crate::domain::time::Timestamp;
use crate::store::courses::Names;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row};
use std::sync::Arc;

/// A stored entry that may be the same report as one that has just come.
#[derive(Debug, Clone)]
pub struct Twin {
    /// The stored entry's id.
    pub id: u64,
    /// What it said.
    pub content: Arc<Content>,
    /// The run it named.
    pub run: Option<Arc<Run>>,
}

/// Of what is asked for ($4 to $9): the newest retirement before a place ($2, $3), whether a report
/// comes before (behind that retirement), the newest that says a status, the files, synced or
/// out_of_sync; and the first out_of_sync behind.
const NEIGHBOURS: &str = "
SELECT iif($4, (SELECT format('%d,%d,%d', h.time, h.seq, 0) FROM drift_history h
     WHERE h.host_id = $1 AND (h.time, h.seq) < ($2, $3) AND h.kind > 1 AND h.kind = 2
     ORDER BY h.time DESC, h.seq DESC LIMIT 1), NULL),
  iif($5, (SELECT format('%d,%d,%d', e.time, e.seq, 0) FROM host_entry e CROSS JOIN drift_history h ON h.seq = e.seq
     WHERE e.host_id = $1 AND (e.time, e.seq) < ($2, $3) AND h.kind < 2
     ORDER BY e.time DESC, e.seq DESC LIMIT 1), NULL),
  iif($6, (SELECT format('%d,%d,%d', e.time, e.seq, c.status) FROM host_entry e CROSS JOIN drift_history h ON h.seq = e.seq
     JOIN content c ON c.id = h.content_id
     WHERE e.host_id = $1 AND (e.time, e.seq) < ($2, $3) AND c.status IS NOT NULL
     ORDER BY e.time DESC, e.seq DESC LIMIT 1), NULL),
  iif($7, (SELECT format('%d,%d,%d', e.time, e.seq, c.id) FROM host_entry e CROSS JOIN drift_history h ON h.seq = e.seq
     JOIN content c ON c.id = h.content_id
     WHERE e.host_id = $1 AND (e.time, e.seq) < ($2, $3)
       AND (c.changed_files IS NOT NULL OR h.source IN (0, 4) OR c.status = 0)
     ORDER BY e.time DESC, e.seq DESC LIMIT 1), NULL),
  iif($8, (SELECT format('%d,%d,%d', e.time, e.seq, c.status) FROM host_entry e CROSS JOIN drift_history h ON h.seq = e.seq
     JOIN content c ON c.id = h.content_id
     WHERE e.host_id = $1 AND (e.time, e.seq) < ($2, $3) AND c.status IN (0, 1)
     ORDER BY e.time DESC, e.seq DESC LIMIT 1), NULL),
  iif($9, (SELECT format('%d,%d,%d', e.time, e.seq, 0) FROM host_entry e CROSS JOIN drift_history h ON h.seq = e.seq
     JOIN content c ON c.id = h.content_id
     WHERE e.host_id = $1 AND (e.time, e.seq) > ($2, $3) AND c.status = 1
     ORDER BY e.time, e.seq LIMIT 1), NULL)";
/// Entries of a host that may repeat a content: it has the digest $2, or both bear an age that we
/// stamped ($3: 1 if this one does not), and another one than this ($4).
const SAME: &str = "(c.digest = $2 \
     OR ($3 = 0 AND c.max_age_sent = 0 AND c.max_age IS NOT $4))";
/// Reports of a source ($5) with a time ($6), or imports ($6 is null).
const TWINS: [&str; 2] = [
    "host_entry e CROSS JOIN drift_history h ON h.seq = e.seq JOIN content c ON c.id = h.content_id \
     WHERE e.host_id = $1 AND e.time = $6 AND h.ahead = 0 AND h.source = $5",
    "drift_history h JOIN content c ON c.id = h.content_id \
     WHERE h.host_id = $1 AND h.reported_at = $6 AND h.ahead > 0 AND h.source = $5",
];
const IMPORTS: [&str; 1] = ["drift_history h JOIN content c ON c.id = h.content_id \
     WHERE h.host_id = $1 AND h.source = 4"];
const KEY: &str = "SELECT body, ids, received_at FROM idempotency WHERE token = $1 AND key = $2";
impl Writer {
    /// What the settled entries under some names say around a place, as far as it is asked for (some of
    /// it may have to walk far).
    pub async fn neighbours(
        &mut self,
        names: &Names,
        at: Place,
        asked: Unknown,
    ) -> Result<Neighbours, sqlx::Error> {
        let found = self.look_up_neighbours(names, at, asked).await;
        self.checked(found)
    }

    async fn look_up_neighbours(
        &mut self,
        names: &Names,
        at: Place,
        asked: Unknown,
    ) -> Result<Neighbours, sqlx::Error> {
        let mut found = Neighbours::default();
        for name in &names.all {
            let dictionary = self.dictionary.clone();
            let connection = self.connection().await?;
            let query = sqlx::query(NEIGHBOURS)
                .bind(*name)
                .bind(at.time.0)
                .bind(at.id as i64)
                .bind(asked.retired)
                .bind(asked.reported)
                .bind(asked.status)
                .bind(asked.files)
                .bind(asked.drifting)
                .bind(asked.next_drift);
            let row = query.fetch_one(&mut *connection).await?;
            let status = placed(&row, 2)?
                .and_then(|(place, code)| Some(Word { place, value: Status::from_code(code)? }));
            let files = match placed(&row, 3)? {
                None => None,
                Some((place, id)) => {
                    let known = dictionary.contents(connection, [id].into_iter()).await?;
                    known.get(&id).map(|content| Word { place, value: content.clone() })
                }
            };
            let drifting = placed(&row, 4)?.map(|(place, code)| Word { place, value: code == 1 });
            found.merge(Neighbours {
                reported: placed(&row, 1)?.map(|(place, _)| place),
                status,
                files,
                drifting,
                next_drift: placed(&row, 5)?.map(|(place, _)| place),
                retired: placed(&row, 0)?.map(|(place, _)| place),
            });
        }
        Ok(found)
    }

    /// Settled reports of this host and source that carry the same time and may say the same (without a
    /// time: imports), oldest first.
    pub async fn twins(&mut self, host: i64, report: &Report) -> Result<Vec<Twin>, sqlx::Error> {
        let found = self.look_up_twins(host, report).await;
        self.checked(found)
    }

    async fn look_up_twins(
        &mut self,
        host: i64,
        report: &Report,
    ) -> Result<Vec<Twin>, sqlx::Error> {
        let kinds = if report.reported_at.is_some() { &TWINS[..] } else { &IMPORTS[..] };
        let parts = kinds
            .iter()
            .map(|kind| format!("SELECT h.seq, h.content_id, h.run_id FROM {kind} AND {SAME}"));
        let sql = parts.collect::<Vec<_>>().join(" UNION ALL ") + " ORDER BY 1";
        // The text is put together from constants.
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(host)
            .bind(hex(&report.digest))
            .bind(report.content.max_age_sent)
            .bind(report.content.max_age.map(i64::from))
            .bind(report.source.code())
            .bind(report.reported_at.map(|time| time.0));
        let rows = query.fetch_all(self.connection().await?).await?;
        self.read_twins(rows).await
    }

    async fn read_twins(&mut self, rows: Vec<SqliteRow>) -> Result<Vec<Twin>, sqlx::Error> {
        let dictionary = self.dictionary.clone();
        let connection = self.connection().await?;
        let ids: Vec<(i64, i64, Option<i64>)> = rows
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
            .collect::<Result<_, sqlx::Error>>()?;
        let contents = dictionary.contents(connection, ids.iter().map(|id| id.1)).await?;
        let runs = dictionary.runs(connection, ids.iter().filter_map(|id| id.2)).await?;
        let twin = |(id, content, run): (i64, i64, Option<i64>)| {
            let content = contents.get(&content)?.clone();
            let run = run.and_then(|run| runs.get(&run).cloned());
            Some(Twin { id: id as u64, content, run })
        };
        Ok(ids.into_iter().filter_map(twin).collect())
    }

    /// The entry of an id.
    pub async fn entry(&mut self, id: u64) -> Result<Option<Entry>, sqlx::Error> {
        let found = self.look_up_entry(id).await;
        self.checked(found)
    }

    async fn look_up_entry(&mut self, id: u64) -> Result<Option<Entry>, sqlx::Error> {
        let dictionary = self.dictionary.clone();
        let connection = self.connection().await?;
        let rows = history::entries_by_id(connection, &[id]).await?;
        Ok(dictionary.resolve(connection, &rows).await?.pop())
    }

    /// What is remembered of an Idempotency-Key: the body's digest, the ids, and when it came.
    pub async fn key(
        &mut self,
        token: &str,
        key: &str,
    ) -> Result<Option<(String, Vec<u64>, Timestamp)>, sqlx::Error> {
        let found = self.look_up_key(token, key).await;
        self.checked(found)
    }

    async fn look_up_key(
        &mut self,
        token: &str,
        key: &str,
    ) -> Result<Option<(String, Vec<u64>, Timestamp)>, sqlx::Error> {
        let query = sqlx::query(KEY).bind(token.to_owned()).bind(key.to_owned());
        let Some(row) = query.fetch_optional(self.connection().await?).await? else {
            return Ok(None);
        };
        let ids: String = row.try_get(1)?;
        let ids = serde_json::from_str(&ids).map_err(|e| sqlx::Error::Decode(Box::new(e)))?;
        Ok(Some((row.try_get(0)?, ids, Timestamp(row.try_get(2)?))))
    }
}

/// Reads `time,seq,value`.
fn placed(row: &SqliteRow, column: usize) -> Result<Option<(Place, i64)>, sqlx::Error> {
    let Some(text) = row.try_get::<Option<String>, _>(column)? else { return Ok(None) };
    let mut numbers = text.split(',').map(|number| number.parse::<i64>().unwrap_or_default());
    let mut next = || numbers.next().unwrap_or_default();
    let place = Place { time: Timestamp(next()), id: next() as u64 };
    Ok(Some((place, next())))
}
