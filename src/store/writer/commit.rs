//! Writing a batch whole, or nothing of it.
//!
//! What is written is the same steps for every batch. Nearly always that is all there is to do, and the
//! recorder's own thread does it ([`Direct`]). Where something has to be looked up in between, or the write
//! lock is held already, the steps go through sqlx.

use super::Writer;
use super::batch::{Batch, CommitError, NewEntry, Refolded, Rejection};
use super::direct::Direct;
use super::rename::rename;
use super::settle::Settling;
use super::steps::{
    BEGIN, COMMIT, INSERT_CONTENTS, INSERT_HOSTS, INSERT_RUNS, INSERT_SENDERS, Step, Value,
    enter_times, grow, insert_rows, json_text, note_out_of_order, put_aside, settle,
};
use crate::domain::line::{hex, unhex};
use crate::domain::report::{Run, Sender, Source};
use crate::domain::time::Timestamp;
use crate::store::dictionary::Dictionary;
use crate::store::rows::{NarrowEntry, content_json, hash8};
use crate::store::trouble::{Trouble, code_of, is_busy};
use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments, Executor, Row};
use std::collections::HashSet;

const KNOWN_NUMBERS: &str = "
SELECT 0, digest, NULL, id FROM content WHERE digest IN (SELECT value FROM json_each($1))
UNION ALL
SELECT 1, s.reported_by, s.remote_address, s.id FROM json_each($2) w JOIN sender s
    ON s.reported_by IS w.value->>0 AND s.remote_address IS w.value->>1
UNION ALL
SELECT 2, r.run_id, r.run_url, r.id FROM json_each($3) w JOIN run r
    ON r.run_id IS w.value->>0 AND r.run_url IS w.value->>1";

/// Entries that are taken into the index of times at once. A commit that finds fewer leaves them: who reads
/// by time looks at them as well, by id.
const RUN: u64 = 256;

/// What is settled along with a batch.
struct SettledWith {
    shares: Vec<Settling>,
    /// The hosts of which nothing is left unsettled, not even what the batch adds.
    whole: HashSet<i64>,
    /// Every entry up to here is settled then.
    settled: u64,
}

impl SettledWith {
    /// Whether steps say all of it: courses have not changed.
    fn is_plain(&self) -> bool {
        self.shares.iter().all(|(share, _)| share.changes.is_empty())
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
            self.timed = self.timed_with(self.size);
            let renamed = i64::from(batch.renaming.is_some());
            self.settlings += i64::from(!settling.shares.is_empty()) + renamed;
            self.unsettled.forget(settling.shares.iter().map(|(share, _)| share.state.host_id));
            self.unsettled.absorb(batch, &settling.whole);
            self.contents.keep_small();
            self.senders.keep_small();
            self.runs.keep_small();
            return result;
        }
        // Dropping them ends the transaction; see the head of `writer`.
        self.let_go();
        match result {
            Err(CommitError::NotStored(cause)) => match self.has_moved().await {
                Ok(true) => Err(CommitError::Moved),
                _ if cause.is_constraint() => Err(CommitError::NotStored(self.edited(&cause))),
                _ => Err(CommitError::NotStored(cause)),
            },
            other => other,
        }
    }

    /// What it means that a batch does not fit the tables, when no process of ours has written meanwhile.
    fn edited(&self, cause: &Trouble) -> Trouble {
        let size = self.size;
        Trouble::damaged(format!(
            "the tables are not as entry {size} left them, something else has written: see `verify` ({cause})"
        ))
    }

    async fn try_commit(
        &mut self,
        batch: &Batch,
        settling: &SettledWith,
    ) -> Result<Refolded, CommitError> {
        self.learn_numbers(batch).await.map_err(not_stored)?;
        let (rows, mut steps) = self.number(batch);
        let new = steps.iter().map(Step::text_bytes).sum();
        self.note_pages(rows.len(), new, settling.shares.len(), batch.keys.len());
        steps.extend(insert_rows(&rows));
        steps.extend(batch.growth.iter().flat_map(|growth| grow(self.size, growth)));
        let size = self.size + rows.len() as u64;
        let timed = self.timed_with(size);
        if timed > self.timed {
            steps.extend(enter_times(self.timed, timed));
        }
        steps.extend(put_aside(batch));
        steps.extend(settle(&settling.shares, settling.settled));
        if batch.is_plain() && settling.is_plain() && !self.locked {
            self.direct().map_err(not_stored)?.commit(&steps)?;
            return Ok(Refolded::new());
        }
        let dictionary = self.dictionary.amid_writing();
        let locked = self.locked;
        let connection = self.connection().await.map_err(not_stored)?;
        if !locked {
            sqlx::query(BEGIN).execute(&mut *connection).await.map_err(not_stored)?;
        }
        run(connection, steps).await.map_err(not_stored)?;
        let done = Self::write_looking(connection, &dictionary, batch, settling, size).await;
        let refolded = done.map_err(not_stored)?;
        commit(connection).await?;
        Ok(refolded)
    }

    /// Up to where the index of times goes in a history of `size` entries.
    fn timed_with(&self, size: u64) -> u64 {
        if size >= self.timed + RUN { size } else { self.timed }
    }

    /// Writes what needs something looked up: changes of courses, a renaming, groupings of pushes, hosts
    /// folded anew. Within a transaction, behind the steps.
    async fn write_looking(
        connection: &mut SqliteConnection,
        dictionary: &Dictionary,
        batch: &Batch,
        settling: &SettledWith,
        size: u64,
    ) -> Result<Refolded, sqlx::Error> {
        Self::write_settled_changes(connection, &settling.shares).await?;
        if let Some(renaming) = batch.renaming {
            let key = &batch.entries[0].entry.key;
            let sizes = (size, settling.settled);
            rename(connection, dictionary, key, renaming, sizes).await?;
        }
        for grouping in &batch.groupings {
            Self::write_grouping(connection, grouping).await?;
        }
        Self::restore_order(connection, dictionary, batch).await
    }

    /// The connection for steps that are all there is to do.
    fn direct(&mut self) -> Result<&Direct, sqlx::Error> {
        if self.direct.is_none() {
            self.direct = Some(Direct::open(&self.location)?);
        }
        Ok(self.direct.as_ref().expect("it was just opened"))
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
        run(connection, note_out_of_order(&batch.out_of_order)).await?;
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
        let mut query = sqlx::query(KNOWN_NUMBERS);
        for asked in [json_text(&contents), json_text(&senders), json_text(&runs)] {
            query = query.bind(asked);
        }
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

    /// Gives numbers to what is new; answers the rows, and the steps that write what is new.
    fn number(&mut self, batch: &Batch) -> (Vec<NarrowEntry>, Vec<Step>) {
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
        let hosts = batch.new_hosts.iter().map(|(id, key)| (id, &*key.server_group, &*key.host));
        let hosts: Vec<_> = hosts.collect();
        let fresh = [
            Step::insert(INSERT_HOSTS, &hosts),
            Step::insert(INSERT_CONTENTS, &contents),
            Step::insert(INSERT_SENDERS, &senders),
            Step::insert(INSERT_RUNS, &runs),
        ];
        (rows, fresh.into_iter().flatten().collect())
    }
}

/// Runs steps within a transaction.
pub(in crate::store) async fn run(
    connection: &mut SqliteConnection,
    steps: impl IntoIterator<Item = Step>,
) -> Result<(), sqlx::Error> {
    for Step { text, values } in steps {
        let mut arguments = SqliteArguments::default();
        for value in values {
            let added = match value {
                Value::Integer(integer) => arguments.add(integer),
                Value::Text(text) => arguments.add(text),
            };
            added.expect("integers and texts always encode");
        }
        run_one(connection, text, arguments).await?;
    }
    Ok(())
}

/// Ends a transaction.
pub(super) async fn commit(connection: &mut SqliteConnection) -> Result<(), CommitError> {
    run_one(connection, COMMIT, SqliteArguments::default()).await.map_err(commit_failed)
}

/// Runs a statement; if its end is not heard of, that is an error.
async fn run_one(
    connection: &mut SqliteConnection,
    text: &'static str,
    arguments: SqliteArguments,
) -> Result<(), sqlx::Error> {
    let mut results = connection.fetch_many(sqlx::query_with(text, arguments));
    let mut done = false;
    while let Some(result) = results.try_next().await? {
        done |= result.is_left();
    }
    if done { Ok(()) } else { Err(sqlx::Error::WorkerCrashed) }
}

pub(super) fn not_stored(cause: sqlx::Error) -> CommitError {
    CommitError::NotStored(cause.into())
}

/// An error of COMMIT leaves open whether the batch is stored, unless SQLite refused it as such (busy,
/// full).
pub(super) fn commit_failed(cause: sqlx::Error) -> CommitError {
    const FULL: i64 = 13;
    let full = code_of(&cause).is_some_and(|code| code & 0xff == FULL);
    if full || is_busy(&cause) { not_stored(cause) } else { CommitError::Unknown(cause.into()) }
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
