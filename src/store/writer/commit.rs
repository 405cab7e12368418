//! Writing a batch whole, or nothing of it.
//!
//! The usual batch is one text of several statements, BEGIN to COMMIT, sent in one hop to SQLite's
//! thread (two, if hosts are settled with it): under load hops cost more than SQL. Its rows are bound
//! value by value into multi-row VALUES, which cost a third of JSON handed to `json_each`. Texts are
//! made per number of rows and kept prepared. Large batches, and batches with something new for the
//! dictionaries, take a few hops more inside the same transaction.

use super::Writer;
use super::batch::{Batch, CommitError, Growth, NewEntry, REJECTIONS_KEPT, Refolded, Rejection};
use super::rename::rename;
use super::settle::{SETTLED_AT_ONCE, Settling};
use super::texts::{
    Around, BEGIN, BLOCK_ROWS, COMMIT, GROW, LARGE_ROWS, add, add_growth, bind_block, bind_settle,
    block_text, json_text, kept_json, keys_json, rejections_json, settle_text, settlings, texts,
};
use crate::domain::line::{hex, unhex};
use crate::domain::names::HostKey;
use crate::domain::report::{Run, Sender, Source};
use crate::domain::time::Timestamp;
use crate::store::dictionary::Dictionary;
use crate::store::rows::{NarrowEntry, content_json, hash8};
use crate::store::{code_of, is_busy};
use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Executor, Row};
use std::collections::HashSet;

const INSERT_DICTIONARIES: &str = "
INSERT INTO host (id, server_group, host)
    SELECT value->>0, value->>1, value->>2 FROM json_each($1);
INSERT INTO content
    SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7,
           value->>8, value->>9, value->>10, value->>11, value->>12, value->>13, value->>14,
           value->>15, value->>16, value->>17, value->>18, value->>19, value->>20
    FROM json_each($2);
INSERT INTO sender (id, reported_by, remote_address)
    SELECT value->>0, value->>1, value->>2 FROM json_each($3);
INSERT INTO run (id, run_id, run_url)
    SELECT value->>0, value->>1, value->>2 FROM json_each($4);";
const INSERT_ASIDES: &str = "
DELETE FROM idempotency WHERE received_at < $3;
INSERT INTO idempotency (token, key, body, ids, received_at)
    SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each($1);
INSERT INTO rejection (time, source, server_group, host, reason)
    SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each($2);
DELETE FROM rejection WHERE id <= (SELECT max(id) FROM rejection) - $4;";
const INSERT_OUT_OF_ORDER: &str = "INSERT INTO out_of_order (host_id, seq) \
     SELECT value->>0, value->>1 FROM json_each($1)";
const KNOWN_NUMBERS: &str = "
SELECT 0, digest, NULL, id FROM content WHERE digest IN (SELECT value FROM json_each($1))
UNION ALL
SELECT 1, s.reported_by, s.remote_address, s.id FROM json_each($2) w JOIN sender s
    ON s.reported_by IS w.value->>0 AND s.remote_address IS w.value->>1
UNION ALL
SELECT 2, r.run_id, r.run_url, r.id FROM json_each($3) w JOIN run r
    ON r.run_id IS w.value->>0 AND r.run_url IS w.value->>1";

/// What is settled along with a batch.
struct SettledWith {
    shares: Vec<Settling>,
    /// The hosts of which nothing is left unsettled, not even what the batch adds.
    whole: HashSet<i64>,
    /// Every entry up to here is settled then.
    settled: u64,
}

impl SettledWith {
    /// Whether one text settles it: courses have not changed.
    fn is_plain(&self) -> bool {
        self.shares.len() <= SETTLED_AT_ONCE
            && self.shares.iter().all(|(share, _)| share.changes.is_empty())
    }
}

impl Writer {
    /// Writes a batch; on `Ok` it is committed and synced. After an error the states handed in are
    /// void: [`Writer::load`] again before the next commit.
    pub async fn commit(&mut self, batch: &Batch) -> Result<Refolded, CommitError> {
        let settling = self.settling(batch);
        let result = self.try_commit(batch, &settling).await;
        if result.is_ok() {
            self.locked = false;
            self.size += batch.entries.len() as u64;
            let renamed = i64::from(batch.renaming.is_some());
            self.settlings += settlings(settling.shares.len()) + renamed;
            self.unsettled.forget(settling.shares.iter().map(|(share, _)| share.state.host_id));
            self.unsettled.absorb(batch, &settling.whole);
            self.contents.keep_small();
            self.senders.keep_small();
            self.runs.keep_small();
            return result;
        }
        // Dropping it ends its transaction; see the head of `writer`.
        self.connection = None;
        match result {
            Err(CommitError::NotStored(cause)) => match self.has_moved().await {
                Ok(true) => Err(CommitError::Moved),
                _ => Err(CommitError::NotStored(cause)),
            },
            other => other,
        }
    }

    async fn try_commit(
        &mut self,
        batch: &Batch,
        settling: &SettledWith,
    ) -> Result<Refolded, CommitError> {
        self.learn_numbers(batch).await.map_err(not_stored)?;
        let (rows, fresh) = self.number(batch);
        let new = fresh.iter().flatten().map(String::len).sum();
        self.note_pages(rows.len(), new, settling.shares.len(), batch.keys.len());
        let dictionary = self.dictionary.amid_writing();
        let locked = self.locked;
        let size = self.size + rows.len() as u64;
        let connection = self.connection().await.map_err(not_stored)?;
        let asides = !batch.keys.is_empty() || !batch.rejections.is_empty();
        let growth = batch.growth.as_ref();
        let usual = fresh.is_none() && !asides && !locked && rows.len() <= BLOCK_ROWS;
        if usual && batch.is_plain() && settling.is_plain() {
            Self::commit_plain(connection, &rows, growth, settling).await?;
            return Ok(Refolded::new());
        }
        if !locked {
            execute(connection, BEGIN, SqliteArguments::default(), false).await?;
        }
        if let Some(fresh) = fresh {
            execute(connection, INSERT_DICTIONARIES, texts(&fresh), false).await?;
        }
        let large = rows.chunks_exact(LARGE_ROWS);
        let rest = large.remainder().chunks(BLOCK_ROWS);
        for block in large.chain(rest) {
            let text = block_text(block.len(), Around::Nothing);
            execute(connection, text, bind_block(block), false).await?;
        }
        if let Some(growth) = growth {
            let mut values = SqliteArguments::default();
            add_growth(&mut values, Some(growth));
            add(&mut values, kept_json(&growth.kept));
            execute(connection, GROW, values, false).await?;
        }
        if asides {
            let mut values = texts(&[keys_json(&batch.keys), rejections_json(&batch.rejections)]);
            add(&mut values, batch.forget_keys_before.0);
            add(&mut values, REJECTIONS_KEPT);
            execute(connection, INSERT_ASIDES, values, false).await?;
        }
        Self::write_settled(connection, &settling.shares, settling.settled).await?;
        if let Some(renaming) = batch.renaming {
            let key = &batch.entries[0].entry.key;
            let sizes = (size, settling.settled);
            let renamed = rename(connection, &dictionary, key, renaming, sizes).await;
            renamed.map_err(not_stored)?;
        }
        for grouping in &batch.groupings {
            Self::write_grouping(connection, grouping).await.map_err(not_stored)?;
        }
        let refolded = Self::restore_order(connection, &dictionary, batch).await;
        let refolded = refolded.map_err(not_stored)?;
        execute(connection, COMMIT, SqliteArguments::default(), true).await?;
        Ok(refolded)
    }

    /// Commits the usual batch: in one hop, or in two if something is settled with it.
    async fn commit_plain(
        connection: &mut SqliteConnection,
        rows: &[NarrowEntry],
        growth: Option<&Growth>,
        settling: &SettledWith,
    ) -> Result<(), CommitError> {
        let mut values = bind_block(rows);
        add_growth(&mut values, growth);
        let hosts = settling.shares.len();
        if hosts == 0 {
            return execute(connection, block_text(rows.len(), Around::Whole), values, true).await;
        }
        execute(connection, block_text(rows.len(), Around::Begin), values, false).await?;
        let values = bind_settle(&settling.shares, settling.settled);
        execute(connection, settle_text(hosts, true), values, true).await
    }

    /// What is settled along with a batch: the hosts that it folds anew, with all that it adds to them;
    /// and others that are due, without what it adds.
    fn settling(&self, batch: &Batch) -> SettledWith {
        let renamed = batch.renaming.iter().flat_map(|renaming| [renaming.old, renaming.new]);
        let disordered = batch.disorders.iter().map(|disorder| disorder.names.root);
        let whole: HashSet<i64> = disordered.chain(renamed).collect();
        let size = self.size + batch.entries.len() as u64;
        let others = self.unsettled.due(self.pace).into_iter().filter(|root| !whole.contains(root));
        let others = others.filter_map(|root| Some((self.unsettled.of(root)?.clone(), self.size)));
        let folded_anew = whole.iter().filter_map(|root| self.unsettled.with(*root, batch));
        let mut shares: Vec<Settling> = folded_anew.map(|share| (share, size)).collect();
        shares.extend(others);
        shares.sort_unstable_by_key(|(share, _)| share.state.host_id);
        let first_new = batch.first_entry_but_of(&whole);
        let settled = self.settled_after(&shares, first_new, size);
        SettledWith { shares, whole, settled }
    }

    /// Notes the entries out of order and folds their hosts anew.
    async fn restore_order(
        connection: &mut SqliteConnection,
        dictionary: &Dictionary,
        batch: &Batch,
    ) -> Result<Refolded, sqlx::Error> {
        let mut refolded = Refolded::new();
        if batch.disorders.is_empty() {
            return Ok(refolded);
        }
        let query = sqlx::query(INSERT_OUT_OF_ORDER).bind(json_text(&batch.out_of_order));
        query.execute(&mut *connection).await?;
        for disorder in &batch.disorders {
            let course = Self::refold(connection, dictionary, disorder).await?;
            refolded.insert(disorder.names.root, course);
        }
        Ok(refolded)
    }

    /// Looks up, in one query, the numbers of what this batch refers to and memory does not hold.
    async fn learn_numbers(&mut self, batch: &Batch) -> Result<(), sqlx::Error> {
        let (mut contents, mut senders, mut runs) =
            (HashSet::new(), HashSet::new(), HashSet::new());
        for NewEntry { entry, digest, .. } in &batch.entries {
            if !self.contents.known.contains_key(digest) {
                contents.insert(hex(digest));
            }
            if !self.senders.known.contains_key(&*entry.sender) {
                senders.insert((&entry.sender.reported_by, &entry.sender.remote_address));
            }
            if let Some(run) = &entry.run
                && !self.runs.known.contains_key(&**run)
            {
                runs.insert((&run.run_id, &run.run_url));
            }
        }
        if contents.is_empty() && senders.is_empty() && runs.is_empty() {
            return Ok(());
        }
        let values = texts(&[json_text(&contents), json_text(&senders), json_text(&runs)]);
        let query = sqlx::query_with(KNOWN_NUMBERS, values);
        for row in query.fetch_all(self.connection().await?).await? {
            let (a, b): (Option<String>, Option<String>) = (row.try_get(1)?, row.try_get(2)?);
            let id: i64 = row.try_get(3)?;
            match row.try_get::<i64, _>(0)? {
                0 => {
                    if let Some(digest) = a.and_then(unhex) {
                        self.contents.known.insert(digest, id);
                    }
                }
                1 => {
                    let sender = Sender { reported_by: a, remote_address: b };
                    self.senders.known.insert(sender, id);
                }
                _ => {
                    self.runs.known.insert(Run { run_id: a, run_url: b }, id);
                }
            }
        }
        Ok(())
    }

    /// Gives numbers to what is new; answers the rows, and the dictionaries' new rows as JSON texts
    /// (`None` if there are none).
    fn number(&mut self, batch: &Batch) -> (Vec<NarrowEntry>, Option<[String; 4]>) {
        let (mut contents, mut senders, mut runs) = (Vec::new(), Vec::new(), Vec::new());
        let mut rows = Vec::with_capacity(batch.entries.len());
        for NewEntry { entry, host_id, digest, hash } in &batch.entries {
            let content_id = self.contents.number(digest, |id| {
                contents.push(content_json(id, digest, &entry.content));
            });
            let sender = &*entry.sender;
            let sender_id = self.senders.number(sender, |id| {
                senders.push((id, &sender.reported_by, &sender.remote_address));
            });
            let run_id = entry
                .run
                .as_deref()
                .map(|run| self.runs.number(run, |id| runs.push((id, &run.run_id, &run.run_url))));
            rows.push(NarrowEntry {
                id: entry.id,
                host_id: *host_id,
                received_at: entry.received_at,
                time: entry.time,
                reported_at: entry.reported_at,
                content_id,
                sender_id,
                run_id,
                kind: entry.kind,
                source: entry.source,
                late: entry.late,
                transition: entry.transition,
                hash8: hash8(hash),
            });
        }
        let host = |(id, key): &(i64, HostKey)| (*id, key.server_group.clone(), key.host.clone());
        let hosts: Vec<_> = batch.new_hosts.iter().map(host).collect();
        let none = hosts.is_empty() && contents.is_empty() && senders.is_empty() && runs.is_empty();
        let fresh = || {
            let hosts: Vec<_> =
                hosts.iter().map(|(id, group, host)| (id, &**group, &**host)).collect();
            [json_text(&hosts), json_text(&contents), json_text(&senders), json_text(&runs)]
        };
        (rows, (!none).then(fresh))
    }
}

/// Runs a text of one or more statements. `commits`: its last statement is COMMIT, and only a
/// failure there leaves the outcome unknown.
pub(super) async fn execute(
    connection: &mut SqliteConnection,
    text: &'static str,
    values: SqliteArguments,
    commits: bool,
) -> Result<(), CommitError> {
    let count = text.matches(';').count();
    let mut done = 0;
    let mut results = connection.fetch_many(sqlx::query_with(text, values));
    loop {
        match results.try_next().await {
            Ok(Some(sqlx::Either::Left(_))) => done += 1,
            Ok(Some(sqlx::Either::Right(_))) => {}
            Ok(None) if done == count => return Ok(()),
            Ok(None) if commits && done + 1 == count => {
                return Err(CommitError::Unknown(sqlx::Error::WorkerCrashed.into()));
            }
            Ok(None) => return Err(not_stored(sqlx::Error::WorkerCrashed)),
            Err(cause) if commits && done + 1 == count && !is_refusal(&cause) => {
                return Err(CommitError::Unknown(cause.into()));
            }
            Err(cause) => return Err(not_stored(cause)),
        }
    }
}

pub(super) fn not_stored(cause: sqlx::Error) -> CommitError {
    CommitError::NotStored(cause.into())
}

/// Whether SQLite refused the commit as such (busy, full), so that surely nothing was stored.
fn is_refusal(error: &sqlx::Error) -> bool {
    const FULL: i64 = 13;
    is_busy(error) || code_of(error).is_some_and(|code| code & 0xff == FULL)
}

/// Reads `time, source, server_group, host, reason`.
pub fn rejection_from_row(row: &SqliteRow) -> Result<Rejection, sqlx::Error> {
    Ok(Rejection {
        time: Timestamp(row.try_get(0)?),
        source: Source::from_code(row.try_get(1)?).unwrap_or(Source::Pipeline),
        server_group: row.try_get(2)?,
        host: row.try_get(3)?,
        reason: row.try_get::<String, _>(4)?.into(),
    })
}
