//! The writing connection. One process has one [`Writer`], and only the recorder holds it.
//!
//! A batch is one text of several statements, BEGIN to COMMIT, sent in one hop to SQLite's thread:
//! hops cost more than SQL. Any error closes the connection (after a full disk, sqlx's bookkeeping
//! of a failed transaction would refuse every later one); the next use opens a new one.

use super::connect::Location;
use super::dictionary::Dictionary;
use super::rows::{NarrowEntry, content_json, write_state_json};
use crate::domain::content::{Content, ContentDigest};
use crate::domain::line::{Entry, hex};
use crate::domain::names::HostKey;
use crate::domain::report::{Run, Sender, Source, Status};
use crate::domain::state::{HostState, Neighbours, Place, Word};
use crate::domain::time::Timestamp;
use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Connection, Executor, Row};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Refused reports kept.
pub const REJECTIONS_KEPT: i64 = 10_000;
/// Dictionary numbers remembered per kind; above, the memory starts afresh.
const REMEMBERED: usize = 50_000;

/// What the recorder starts from.
#[derive(Debug)]
pub struct Loaded {
    /// `gitops-status-server/` and 32 hex digits.
    pub origin: Arc<str>,
    /// The newest entry's id; 0 for an empty history.
    pub size: u64,
    /// When the newest entry came.
    pub last_received: Timestamp,
    /// Every host's state.
    pub hosts: Vec<HostState>,
    /// The highest number given to a host.
    pub last_host_id: i64,
}

/// Everything one transaction writes. Entries come with the number of their host, the digest of
/// their content and the first 8 bytes of their leaf hash; ids follow on the newest stored one.
#[derive(Debug, Default)]
pub struct Batch {
    /// Hosts seen for the first time, with their numbers.
    pub new_hosts: Vec<(i64, HostKey)>,
    /// New entries in the order of their ids.
    pub entries: Vec<(Entry, i64, ContentDigest, i64)>,
    /// The states of the hosts concerned, after the batch.
    pub states: Vec<Arc<HostState>>,
    /// Idempotency keys to remember.
    pub keys: Vec<KeyRecord>,
    /// Refused reports to list.
    pub rejections: Vec<Rejection>,
    /// Keys received before this are forgotten.
    pub forget_keys_before: Timestamp,
}

/// A request remembered by its Idempotency-Key.
#[derive(Debug, Clone)]
pub struct KeyRecord {
    /// The access token's name, empty without one.
    pub token: String,
    /// The key as sent.
    pub key: String,
    /// Digest of route and body, hex.
    pub body: String,
    /// The entries it was answered with, in order.
    pub ids: Vec<u64>,
    /// When it came.
    pub received_at: Timestamp,
}

/// A refused report, as `GET /rejections` lists it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are the contract's, section 4")]
pub struct Rejection {
    pub time: Timestamp,
    pub source: Source,
    pub server_group: Option<String>,
    pub host: Option<String>,
    pub reason: String,
}

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

/// What became of a batch that did not go through.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Surely not stored.
    #[error("not stored: {0}")]
    NotStored(#[source] sqlx::Error),
    /// The commit itself failed: it may come back after a crash.
    #[error("the commit failed, whether it is stored is unknown: {0}")]
    Unknown(#[source] sqlx::Error),
    /// Another process has written since we looked: load again and retry.
    #[error("another process wrote to the database")]
    Moved,
}

const BEGIN: &str = "BEGIN IMMEDIATE;";
const INSERT_DICTIONARIES: &str = "
INSERT INTO host (id, server_group, host)
    SELECT value->>0, value->>1, value->>2 FROM json_each($3);
INSERT INTO content
    SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7,
           value->>8, value->>9, value->>10, value->>11, value->>12, value->>13, value->>14,
           value->>15, value->>16, value->>17, value->>18, value->>19, value->>20
    FROM json_each($4);
INSERT INTO sender (id, reported_by, remote_address)
    SELECT value->>0, value->>1, value->>2 FROM json_each($5);
INSERT INTO run (id, run_id, run_url)
    SELECT value->>0, value->>1, value->>2 FROM json_each($6);";
const INSERT_HISTORY: &str = "
INSERT INTO drift_history (seq, host_id, received_at, lag, ahead, content_id, sender_id, run_id,
                           kind, source, late, transition, hash8)
    SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7,
           value->>8, value->>9, value->>10, value->>11, value->>12
    FROM json_each($1);";
const UPSERT_STATE: &str = "
INSERT INTO current_state
    SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7,
           value->>8, value->>9, value->>10, value->>11, value->>12, value->>13, value->>14,
           value->>15, value->>16, value->>17
    FROM json_each($2) WHERE true
    ON CONFLICT (host_id) DO UPDATE SET
        reports = excluded.reports, first_time = excluded.first_time, status = excluded.status,
        newest_seq = excluded.newest_seq, deployment_seq = excluded.deployment_seq,
        check_seq = excluded.check_seq, status_seq = excluded.status_seq,
        check_status_seq = excluded.check_status_seq, files_seq = excluded.files_seq,
        synced_seq = excluded.synced_seq, drifted_seq = excluded.drifted_seq,
        drift_start_seq = excluded.drift_start_seq,
        newest_legacy_seq = excluded.newest_legacy_seq, legacy_reports = excluded.legacy_reports,
        last_pipeline_run = excluded.last_pipeline_run,
        last_cron_check = excluded.last_cron_check, max_reported_at = excluded.max_reported_at;";
const INSERT_ASIDES: &str = "
DELETE FROM idempotency WHERE received_at < $9;
INSERT INTO idempotency (token, key, body, ids, received_at)
    SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each($7);
INSERT INTO rejection (time, source, server_group, host, reason)
    SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each($8);
DELETE FROM rejection WHERE id <= (SELECT max(id) FROM rejection) - $10;";
const COMMIT: &str = "COMMIT;";

const HEAD: &str = "SELECT origin, size,
    (SELECT received_at FROM drift_history WHERE seq = size),
    (SELECT max(id) FROM host), (SELECT max(id) FROM content),
    (SELECT max(id) FROM sender), (SELECT max(id) FROM run) FROM head";
const INSERT_HEAD: &str = "INSERT INTO head (id, origin) VALUES (1, $1)";
const SIZE: &str = "SELECT size FROM head";
const STATES: &str = "
SELECT t.host_id, o.server_group, o.host, t.reports, t.first_time, t.newest_legacy_seq,
       t.legacy_reports, t.last_pipeline_run, t.last_cron_check, t.max_reported_at,
       t.newest_seq, n.time, n.content_id, n.run_id,
       t.deployment_seq, d.time, d.content_id, t.check_seq, k.time, k.content_id,
       t.files_seq, f.time, f.content_id, t.status_seq, s.time, t.status, s.content_id,
       t.check_status_seq, w.time, (SELECT c.status FROM content c WHERE c.id = w.content_id),
       t.synced_seq, y.time, t.drifted_seq, r.time, t.drift_start_seq, x.time
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
LEFT JOIN drift_history x ON x.seq = t.drift_start_seq";
/// A place before (`$2`, `$3`) that says a status, the files, synced or out_of_sync; and the first
/// out_of_sync behind.
const NEIGHBOURS: &str = "
SELECT (SELECT 1 FROM drift_history h WHERE h.host_id = $1 AND (h.time, h.seq) < ($2, $3)),
  (SELECT format('%d,%d,%d', h.time, h.seq, c.status) FROM drift_history h
     JOIN content c ON c.id = h.content_id
     WHERE h.host_id = $1 AND (h.time, h.seq) < ($2, $3) AND c.status IS NOT NULL
     ORDER BY h.time DESC, h.seq DESC LIMIT 1),
  (SELECT format('%d,%d,%d', h.time, h.seq, c.id) FROM drift_history h
     JOIN content c ON c.id = h.content_id
     WHERE h.host_id = $1 AND (h.time, h.seq) < ($2, $3)
       AND (c.changed_files IS NOT NULL OR h.source IN (0, 4) OR c.status = 0)
     ORDER BY h.time DESC, h.seq DESC LIMIT 1),
  (SELECT format('%d,%d,%d', h.time, h.seq, c.status) FROM drift_history h
     JOIN content c ON c.id = h.content_id
     WHERE h.host_id = $1 AND (h.time, h.seq) < ($2, $3) AND c.status IN (0, 1)
     ORDER BY h.time DESC, h.seq DESC LIMIT 1),
  (SELECT format('%d,%d,%d', h.time, h.seq, 0) FROM drift_history h
     JOIN content c ON c.id = h.content_id
     WHERE h.host_id = $1 AND (h.time, h.seq) > ($2, $3) AND c.status = 1
     ORDER BY h.time, h.seq LIMIT 1)";
const TWINS: &str = "
SELECT seq, content_id, run_id FROM drift_history
    WHERE host_id = $1 AND time = $3 AND ahead = 0 AND source = $2
UNION ALL
SELECT seq, content_id, run_id FROM drift_history
    WHERE host_id = $1 AND reported_at = $3 AND ahead > 0 AND source = $2
ORDER BY seq";
const IMPORTS: &str = "SELECT seq, content_id, run_id FROM drift_history WHERE host_id = $1 AND source = 4 ORDER BY seq";
const KEY: &str = "SELECT body, ids, received_at FROM idempotency WHERE token = $1 AND key = $2";
const KNOWN_NUMBERS: &str = "
SELECT 0, digest, NULL, id FROM content WHERE digest IN (SELECT value FROM json_each($1))
UNION ALL
SELECT 1, s.reported_by, s.remote_address, s.id FROM json_each($2) w JOIN sender s
    ON s.reported_by IS w.value->>0 AND s.remote_address IS w.value->>1
UNION ALL
SELECT 2, r.run_id, r.run_url, r.id FROM json_each($3) w JOIN run r
    ON r.run_id IS w.value->>0 AND r.run_url IS w.value->>1";

/// The writing connection and the numbers it has given.
#[derive(Debug)]
pub struct Writer {
    location: Location,
    connection: Option<SqliteConnection>,
    dictionary: Arc<Dictionary>,
    size: u64,
    contents: Numbers<ContentDigest>,
    senders: Numbers<Sender>,
    runs: Numbers<Run>,
}

/// Numbers given to values of one dictionary.
#[derive(Debug)]
struct Numbers<T> {
    known: HashMap<T, i64>,
    last: i64,
}

impl<T: std::hash::Hash + Eq + Clone> Numbers<T> {
    fn new(last: i64) -> Self {
        Self { known: HashMap::new(), last }
    }

    /// The number of a value, new if it has none; `fresh` is told of new ones.
    fn number(&mut self, value: &T, fresh: impl FnOnce(i64)) -> i64 {
        if let Some(number) = self.known.get(value) {
            return *number;
        }
        self.last += 1;
        self.known.insert(value.clone(), self.last);
        fresh(self.last);
        self.last
    }

    fn keep_small(&mut self) {
        if self.known.len() > REMEMBERED {
            self.known = HashMap::new();
        }
    }
}

impl Writer {
    /// Opens the database, which must exist with the newest schema, and loads every host's state.
    /// `new_origin` names the history if it has no name yet.
    pub async fn open(
        location: &Location,
        dictionary: Arc<Dictionary>,
        new_origin: &str,
    ) -> Result<(Self, Loaded), sqlx::Error> {
        let mut writer = Self::closed(location, dictionary);
        let connection = writer.connection().await?;
        if sqlx::query(SIZE).fetch_optional(&mut *connection).await?.is_none() {
            sqlx::query(INSERT_HEAD).bind(new_origin).execute(connection).await?;
        }
        let loaded = writer.load().await?;
        Ok((writer, loaded))
    }

    /// Reads what [`Writer::open`] loads, without writing and without keeping a connection.
    pub async fn look(
        location: &Location,
        dictionary: &Arc<Dictionary>,
    ) -> Result<Loaded, sqlx::Error> {
        let mut writer = Self::closed(location, dictionary.clone());
        writer.connection = Some(location.open_reader().await?);
        writer.load().await
    }

    fn closed(location: &Location, dictionary: Arc<Dictionary>) -> Self {
        Self {
            location: location.clone(),
            connection: None,
            dictionary,
            size: 0,
            contents: Numbers::new(0),
            senders: Numbers::new(0),
            runs: Numbers::new(0),
        }
    }

    async fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        if self.connection.is_none() {
            self.connection = Some(self.location.open_writer().await?);
        }
        Ok(self.connection.as_mut().expect("it was just opened"))
    }

    /// Reads the head and every host's state anew.
    pub async fn load(&mut self) -> Result<Loaded, sqlx::Error> {
        let dictionary = self.dictionary.clone();
        let connection = self.connection().await?;
        // One snapshot for all that is read here.
        let mut snapshot = connection.begin().await?;
        let head = sqlx::query(HEAD).fetch_one(&mut *snapshot).await?;
        let rows = sqlx::query(STATES).fetch_all(&mut *snapshot).await?;
        let mut contents = HashSet::new();
        let mut runs = HashSet::new();
        for row in &rows {
            for column in [12, 16, 19, 22, 26] {
                contents.extend(row.try_get::<Option<i64>, _>(column)?);
            }
            runs.extend(row.try_get::<Option<i64>, _>(13)?);
        }
        let contents = dictionary.contents(&mut snapshot, contents.into_iter()).await?;
        let runs = dictionary.runs(&mut snapshot, runs.into_iter()).await?;
        snapshot.commit().await?;
        let hosts = rows.iter().map(|row| state_from_row(row, &contents, &runs));
        let hosts = hosts.collect::<Result<Vec<_>, _>>()?;
        let number = |column| head.try_get::<Option<i64>, _>(column).map(|n| n.unwrap_or(0));
        self.size = head.try_get::<i64, _>(1)? as u64;
        self.contents = Numbers::new(number(4)?);
        self.senders = Numbers::new(number(5)?);
        self.runs = Numbers::new(number(6)?);
        Ok(Loaded {
            origin: head.try_get::<String, _>(0)?.into(),
            size: self.size,
            last_received: Timestamp(number(2)?),
            hosts,
            last_host_id: number(3)?,
        })
    }

    /// Whether another process has written since [`Writer::load`] and our own commits.
    pub async fn has_moved(&mut self) -> Result<bool, sqlx::Error> {
        let size = self.size;
        let row = sqlx::query(SIZE).fetch_one(self.connection().await?).await?;
        Ok(row.try_get::<i64, _>(0)? as u64 != size)
    }

    /// What the stored entries of a host say around a place.
    pub async fn neighbours(&mut self, host: i64, at: Place) -> Result<Neighbours, sqlx::Error> {
        let dictionary = self.dictionary.clone();
        let connection = self.connection().await?;
        let query = sqlx::query(NEIGHBOURS).bind(host).bind(at.time.0).bind(at.id as i64);
        let row = query.fetch_one(&mut *connection).await?;
        let status = placed(&row, 1)?
            .and_then(|(place, code)| Some(Word { place, value: Status::from_code(code)? }));
        let files = match placed(&row, 2)? {
            None => None,
            Some((place, id)) => {
                let known = dictionary.contents(connection, [id].into_iter()).await?;
                known.get(&id).map(|content| Word { place, value: content.clone() })
            }
        };
        let drifting = placed(&row, 3)?.map(|(place, code)| Word { place, value: code == 1 });
        Ok(Neighbours {
            exists: row.try_get::<Option<i64>, _>(0)?.is_some(),
            status,
            files,
            drifting,
            next_drift: placed(&row, 4)?.map(|(place, _)| place),
        })
    }

    /// Stored reports of this host and source that carry this time, oldest first.
    pub async fn twins(
        &mut self,
        host: i64,
        source: Source,
        reported_at: Timestamp,
    ) -> Result<Vec<Twin>, sqlx::Error> {
        let query = sqlx::query(TWINS).bind(host).bind(source.code()).bind(reported_at.0);
        let rows = query.fetch_all(self.connection().await?).await?;
        self.read_twins(rows).await
    }

    /// Stored imports of this host, oldest first.
    pub async fn imports(&mut self, host: i64) -> Result<Vec<Twin>, sqlx::Error> {
        let rows = sqlx::query(IMPORTS).bind(host).fetch_all(self.connection().await?).await?;
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
        let dictionary = self.dictionary.clone();
        let connection = self.connection().await?;
        let rows = super::history::entries_by_id(connection, &[id]).await?;
        Ok(dictionary.resolve(connection, &rows).await?.pop())
    }

    /// What is remembered of an Idempotency-Key: the body's digest, the ids, and when it came.
    pub async fn key(
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

    /// Writes a batch whole, or nothing of it; on `Ok` it is committed and synced.
    /// After an error the states handed in are void: [`Writer::load`] again.
    pub async fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        let result = self.try_commit(batch).await;
        if result.is_err() {
            // Dropping it ends its transaction; see the head of this file.
            self.connection = None;
        } else {
            self.size += batch.entries.len() as u64;
            self.contents.keep_small();
            self.senders.keep_small();
            self.runs.keep_small();
        }
        match result {
            Err(CommitError::NotStored(cause)) => match self.has_moved().await {
                Ok(true) => Err(CommitError::Moved),
                _ => Err(CommitError::NotStored(cause)),
            },
            other => other,
        }
    }

    async fn try_commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        self.learn_numbers(batch).await.map_err(CommitError::NotStored)?;
        let statements = Statements::of(batch, self);
        let sql = statements.sql;
        let query = sqlx::query(sql)
            .bind(statements.history)
            .bind(statements.states)
            .bind(statements.hosts)
            .bind(statements.contents)
            .bind(statements.senders)
            .bind(statements.runs)
            .bind(statements.keys)
            .bind(statements.rejections)
            .bind(batch.forget_keys_before.0)
            .bind(REJECTIONS_KEPT);
        let connection = self.connection().await.map_err(CommitError::NotStored)?;
        let count = sql.matches(';').count();
        let mut done = 0;
        let mut results = connection.fetch_many(query);
        loop {
            match results.try_next().await {
                Ok(Some(sqlx::Either::Left(_))) => done += 1,
                Ok(Some(sqlx::Either::Right(_))) => {}
                Ok(None) if done == count => return Ok(()),
                Ok(None) => return Err(CommitError::NotStored(sqlx::Error::WorkerCrashed)),
                Err(cause) if done + 1 == count && !is_refusal(&cause) => {
                    return Err(CommitError::Unknown(cause));
                }
                Err(cause) => return Err(CommitError::NotStored(cause)),
            }
        }
    }

    /// Looks up, in one query, the numbers of what this batch refers to and memory does not hold.
    async fn learn_numbers(&mut self, batch: &Batch) -> Result<(), sqlx::Error> {
        let (mut contents, mut senders, mut runs) =
            (HashSet::new(), HashSet::new(), HashSet::new());
        for (entry, _, digest, _) in &batch.entries {
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
        let json = |value: Result<String, _>| value.expect("strings are JSON");
        let query = sqlx::query(KNOWN_NUMBERS)
            .bind(json(serde_json::to_string(&contents)))
            .bind(json(serde_json::to_string(&senders)))
            .bind(json(serde_json::to_string(&runs)));
        for row in query.fetch_all(self.connection().await?).await? {
            let (a, b): (Option<String>, Option<String>) = (row.try_get(1)?, row.try_get(2)?);
            let id: i64 = row.try_get(3)?;
            match row.try_get::<i64, _>(0)? {
                0 => {
                    if let Some(digest) = a.as_deref().and_then(digest_from_hex) {
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

    /// Tries to write: takes the write lock and lets it go; `really` commits a change.
    pub async fn probe(&mut self, really: bool, now: Timestamp) -> Result<(), sqlx::Error> {
        let sql = if really {
            "BEGIN IMMEDIATE; UPDATE head SET probed_at = $1; COMMIT;"
        } else {
            "BEGIN IMMEDIATE; UPDATE head SET probed_at = $1; ROLLBACK;"
        };
        let result = sqlx::query(sql).bind(now.0).execute(self.connection().await?).await;
        if result.is_err() {
            self.connection = None;
        }
        result.map(|_| ())
    }

    /// Closes the connection in order: the WAL is folded back into the file.
    pub async fn close(mut self) -> Result<(), sqlx::Error> {
        match self.connection.take() {
            Some(connection) => connection.close().await,
            None => Ok(()),
        }
    }
}

/// The texts one commit binds, each a JSON array of arrays.
struct Statements {
    sql: &'static str,
    history: String,
    states: String,
    hosts: String,
    contents: String,
    senders: String,
    runs: String,
    keys: String,
    rejections: String,
}

impl Statements {
    fn of(batch: &Batch, writer: &mut Writer) -> Self {
        let (mut contents, mut senders, mut runs) = (Vec::new(), Vec::new(), Vec::new());
        let mut history = Vec::with_capacity(120 * batch.entries.len() + 2);
        history.push(b'[');
        for (entry, host_id, digest, hash8) in &batch.entries {
            let content_id = writer.contents.number(digest, |id| {
                contents.push(content_json(id, digest, &entry.content));
            });
            let sender = &*entry.sender;
            let sender_id = writer.senders.number(sender, |id| {
                senders.push((id, &sender.reported_by, &sender.remote_address));
            });
            let run_id = entry.run.as_deref().map(|run| {
                writer.runs.number(run, |id| runs.push((id, &run.run_id, &run.run_url)))
            });
            let row = NarrowEntry {
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
                hash8: *hash8,
            };
            row.write_json(&mut history);
            history.push(b',');
        }
        let mut states = Vec::with_capacity(160 * batch.states.len() + 2);
        states.push(b'[');
        for state in &batch.states {
            write_state_json(state, &mut states);
            states.push(b',');
        }
        let hosts: Vec<_> =
            batch.new_hosts.iter().map(|(id, key)| (id, &*key.server_group, &*key.host)).collect();
        let asides = !batch.keys.is_empty() || !batch.rejections.is_empty();
        let plain =
            hosts.is_empty() && contents.is_empty() && senders.is_empty() && runs.is_empty();
        Self {
            sql: commit_sql(plain, asides),
            history: close_array(history),
            states: close_array(states),
            hosts: json_text(&hosts),
            contents: json_text(&contents),
            senders: json_text(&senders),
            runs: json_text(&runs),
            keys: json_text(&keys_json(&batch.keys)),
            rejections: json_text(&rejections_json(&batch.rejections)),
        }
    }
}

fn commit_sql(plain: bool, asides: bool) -> &'static str {
    use std::sync::OnceLock;
    static TEXTS: [OnceLock<String>; 4] = [const { OnceLock::new() }; 4];
    TEXTS[usize::from(plain) * 2 + usize::from(asides)].get_or_init(|| {
        let dictionaries = if plain { "" } else { INSERT_DICTIONARIES };
        let asides = if asides { INSERT_ASIDES } else { "" };
        [BEGIN, dictionaries, INSERT_HISTORY, UPSERT_STATE, asides, COMMIT].concat()
    })
}

fn close_array(mut json: Vec<u8>) -> String {
    if json.len() > 1 {
        json.pop();
    }
    json.push(b']');
    String::from_utf8(json).expect("JSON is UTF-8")
}

fn json_text<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("only strings and integers")
}

fn keys_json(keys: &[KeyRecord]) -> Vec<(&str, &str, &str, String, i64)> {
    let row = |key: &'_ KeyRecord| json_text(&key.ids);
    keys.iter().map(|k| (&*k.token, &*k.key, &*k.body, row(k), k.received_at.0)).collect()
}

/// Reads `time, source, server_group, host, reason`.
pub(super) fn rejection_from_row(row: &SqliteRow) -> Result<Rejection, sqlx::Error> {
    Ok(Rejection {
        time: Timestamp(row.try_get(0)?),
        source: Source::from_code(row.try_get(1)?).unwrap_or(Source::Pipeline),
        server_group: row.try_get(2)?,
        host: row.try_get(3)?,
        reason: row.try_get(4)?,
    })
}

type RejectionRow<'a> = (i64, i64, &'a Option<String>, &'a Option<String>, &'a str);

fn rejections_json(rejections: &[Rejection]) -> Vec<RejectionRow<'_>> {
    let row = |r: &'_ Rejection| (r.time.0, r.source.code());
    rejections.iter().map(|r| (row(r).0, row(r).1, &r.server_group, &r.host, &*r.reason)).collect()
}

/// Whether SQLite refused the commit as such (busy, full), so that surely nothing was stored.
fn is_refusal(error: &sqlx::Error) -> bool {
    const BUSY: i64 = 5;
    const FULL: i64 = 13;
    let code = error.as_database_error().and_then(|e| e.code()?.parse::<i64>().ok());
    code.is_some_and(|code| matches!(code & 0xff, BUSY | FULL))
}

fn digest_from_hex(text: &str) -> Option<ContentDigest> {
    let mut digest = ContentDigest::default();
    if text.len() != digest.len() * 2 {
        return None;
    }
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(digest)
}

/// Reads `time,seq,value`.
fn placed(row: &SqliteRow, column: usize) -> Result<Option<(Place, i64)>, sqlx::Error> {
    let Some(text) = row.try_get::<Option<String>, _>(column)? else { return Ok(None) };
    let mut numbers = text.split(',').map(|number| number.parse::<i64>().unwrap_or_default());
    let mut next = || numbers.next().unwrap_or_default();
    let place = Place { time: Timestamp(next()), id: next() as u64 };
    Ok(Some((place, next())))
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
    Ok(HostState {
        word,
        host_id: row.try_get(0)?,
        key: HostKey::new(&row.try_get::<String, _>(1)?, &row.try_get::<String, _>(2)?),
        reports: row.try_get::<i64, _>(3)? as u64,
        first_time: Timestamp(row.try_get(4)?),
        newest_legacy_id: number(5)?.map(|id| id as u64),
        legacy_reports: row.try_get::<i64, _>(6)? as u64,
        last_pipeline_run: time(7)?,
        last_cron_check: time(8)?,
        max_reported_at: time(9)?,
        newest: Word { place: newest.place, value: (newest.value, run) },
        deployment: content(14)?,
        check: content(17)?,
        files,
        status: status.map(|(status, _)| status),
        check_status: check_status(27)?,
        synced: place(30)?,
        drifted: place(32)?,
        drift_start: place(34)?,
    })
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
