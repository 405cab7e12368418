//! What the narrow rows refer to: hosts, contents, senders, runs, by number. Rows are immutable, so
//! what has been read once stays right; the caches are bounded in bytes. Of a content with a long list of
//! files they have what is remembered of it: who needs the list reads it each time.

use crate::domain::content::Content;
use crate::domain::files::Files;
use crate::domain::line::{Entry, unhex};
use crate::domain::names::HostKey;
use crate::domain::report::{Run, Sender};
use crate::files::columns::Columns;
use crate::files::trouble::Trouble;
use crate::ledger::rows::{NarrowEntry, content_from_row};
use futures_util::TryStreamExt;
use quick_cache::sync::Cache;
use quick_cache::{UnitWeighter, Weighter};
use rusqlite::Connection;
use sqlx::sqlite::SqliteConnection;
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of contents kept in memory (estimated).
const CONTENT_CACHE_BYTES: u64 = 8 << 20;
/// Hosts, senders and runs kept in memory, each.
const SMALL_CACHE_ITEMS: usize = 4096;

/// The dictionaries of one database, through bounded caches; cheap to clone.
#[derive(Debug, Clone)]
pub struct Dictionary {
    caches: Arc<Caches>,
}

#[derive(Debug)]
struct Caches {
    contents: Cache<i64, Arc<Content>, ByBytes>,
    hosts: Cache<i64, HostKey>,
    senders: Cache<i64, Arc<Sender>>,
    runs: Cache<i64, Arc<Run>>,
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<i64, Arc<Content>> for ByBytes {
    fn weight(&self, _: &i64, content: &Arc<Content>) -> u64 {
        content.weight() as u64
    }
}

const CONTENTS_BY_ID: &str = "SELECT id, status, changed_files, declared_count, max_age, \
     max_age_sent, project_name, repo_name, server_type, environment, validation_status, \
     validation_message, commit_sha, branch, updated_by, last_pipeline_run, last_cron_check, \
     labels, reason, detail, digest FROM content WHERE id IN (SELECT value FROM json_each($1))";
const HOSTS_BY_ID: &str =
    "SELECT id, server_group, host FROM host WHERE id IN (SELECT value FROM json_each($1))";
const SENDERS_BY_ID: &str = "SELECT id, reported_by, remote_address FROM sender \
     WHERE id IN (SELECT value FROM json_each($1))";
const RUNS_BY_ID: &str =
    "SELECT id, run_id, run_url FROM run WHERE id IN (SELECT value FROM json_each($1))";

impl Default for Dictionary {
    fn default() -> Self {
        let caches = Caches {
            contents: Cache::with_weighter(10_000, CONTENT_CACHE_BYTES, ByBytes),
            hosts: Cache::new(SMALL_CACHE_ITEMS),
            senders: Cache::new(SMALL_CACHE_ITEMS),
            runs: Cache::new(SMALL_CACHE_ITEMS),
        };
        Self { caches: Arc::new(caches) }
    }
}

/// How the rows of one dictionary are read. Column 0 is the number.
struct Table<'d, T, W> {
    cache: &'d Cache<i64, T, W>,
    sql: &'static str,
    read: fn(&dyn Columns) -> Result<T, Trouble>,
    /// What the cache takes of it, if that is not all.
    keep: Option<Keep<T>>,
    /// Whether what the cache has is enough.
    is_enough: fn(&T) -> bool,
}

type Keep<T> = fn(&T, &dyn Columns) -> Result<T, Trouble>;

fn always<T>(_: &T) -> bool {
    true
}

/// Reads a row of `CONTENTS_BY_ID`.
fn content(row: &dyn Columns) -> Result<Arc<Content>, Trouble> {
    content_from_row(row).map(Arc::new)
}

/// What is remembered of a content that was read from a row.
fn kept(content: &Arc<Content>, row: &dyn Columns) -> Result<Arc<Content>, Trouble> {
    let damaged = || Trouble::damaged("content.digest is damaged".into());
    match &content.changed_files {
        Some(Files::Long(_)) => {
            let digest = row.text(20)?.and_then(unhex).ok_or_else(damaged)?;
            Ok(content.kept(digest))
        }
        _ => Ok(content.clone()),
    }
}

fn is_whole(content: &Arc<Content>) -> bool {
    content.changed_files.as_ref().and_then(Files::stored).is_none()
}

/// What rows refer to, by number.
#[derive(Default)]
struct Referred {
    hosts: HashMap<i64, HostKey>,
    contents: HashMap<i64, Arc<Content>>,
    senders: HashMap<i64, Arc<Sender>>,
    runs: HashMap<i64, Arc<Run>>,
}

impl Dictionary {
    fn hosts(&self) -> Table<'_, HostKey, UnitWeighter> {
        let read = |row: &dyn Columns| {
            let missing = || Trouble::damaged("a host has no name".into());
            Ok(HostKey::new(&row.text(1)?.ok_or_else(missing)?, &row.text(2)?.ok_or_else(missing)?))
        };
        Table { cache: &self.caches.hosts, sql: HOSTS_BY_ID, read, keep: None, is_enough: always }
    }

    fn contents_table(&self) -> Table<'_, Arc<Content>, ByBytes> {
        let (cache, sql) = (&self.caches.contents, CONTENTS_BY_ID);
        Table { cache, sql, read: content, keep: Some(kept), is_enough: is_whole }
    }

    /// What is remembered of contents.
    fn kept_table(&self) -> Table<'_, Arc<Content>, ByBytes> {
        let read = |row: &dyn Columns| kept(&content(row)?, row);
        Table { read, keep: None, is_enough: always, ..self.contents_table() }
    }

    fn senders(&self) -> Table<'_, Arc<Sender>, UnitWeighter> {
        let read = |row: &dyn Columns| {
            Ok(Arc::new(Sender { reported_by: row.text(1)?, remote_address: row.text(2)? }))
        };
        Table {
            cache: &self.caches.senders,
            sql: SENDERS_BY_ID,
            read,
            keep: None,
            is_enough: always,
        }
    }

    fn runs_table(&self) -> Table<'_, Arc<Run>, UnitWeighter> {
        let read =
            |row: &dyn Columns| Ok(Arc::new(Run { run_id: row.text(1)?, run_url: row.text(2)? }));
        Table { cache: &self.caches.runs, sql: RUNS_BY_ID, read, keep: None, is_enough: always }
    }

    /// Turns narrow rows into entries, in the same order. A number that leads nowhere (a damaged
    /// database) is an error that names it.
    pub async fn resolve(
        &self,
        connection: &mut SqliteConnection,
        rows: &[NarrowEntry],
    ) -> Result<Vec<Entry>, sqlx::Error> {
        let referred = Referred {
            contents: self.contents(connection, rows.iter().map(|row| row.content_id)).await?,
            hosts: self.hosts().ask(connection, rows.iter().map(|row| row.host_id)).await?,
            senders: self.senders().ask(connection, rows.iter().map(|row| row.sender_id)).await?,
            runs: self.runs(connection, rows.iter().filter_map(|row| row.run_id)).await?,
        };
        Ok(referred.entries(rows)?)
    }

    /// The same on the caller's thread.
    pub fn resolve_now(
        &self,
        connection: &Connection,
        rows: &[NarrowEntry],
    ) -> Result<Vec<Entry>, Trouble> {
        let contents = self.contents_now(connection, rows.iter().map(|row| row.content_id))?;
        self.resolve_with(connection, rows, contents)
    }

    /// The same with what is remembered of the contents: enough to apply entries, not to write them.
    pub fn resolve_kept_now(
        &self,
        connection: &Connection,
        rows: &[NarrowEntry],
    ) -> Result<Vec<Entry>, Trouble> {
        let contents = self.kept_now(connection, rows.iter().map(|row| row.content_id))?;
        self.resolve_with(connection, rows, contents)
    }

    fn resolve_with(
        &self,
        connection: &Connection,
        rows: &[NarrowEntry],
        contents: HashMap<i64, Arc<Content>>,
    ) -> Result<Vec<Entry>, Trouble> {
        let referred = Referred {
            contents,
            hosts: self.hosts().ask_now(connection, rows.iter().map(|row| row.host_id))?,
            senders: self.senders().ask_now(connection, rows.iter().map(|row| row.sender_id))?,
            runs: self.runs_now(connection, rows.iter().filter_map(|row| row.run_id))?,
        };
        referred.entries(rows)
    }

    /// The contents of these numbers.
    pub async fn contents(
        &self,
        connection: &mut SqliteConnection,
        ids: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<Content>>, sqlx::Error> {
        self.contents_table().ask(connection, ids).await
    }

    /// The same on the caller's thread.
    pub fn contents_now(
        &self,
        connection: &Connection,
        ids: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<Content>>, Trouble> {
        self.contents_table().ask_now(connection, ids)
    }

    /// What is remembered of the contents of these numbers.
    pub async fn kept(
        &self,
        connection: &mut SqliteConnection,
        ids: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<Content>>, sqlx::Error> {
        self.kept_table().ask(connection, ids).await
    }

    /// The same on the caller's thread.
    pub fn kept_now(
        &self,
        connection: &Connection,
        ids: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<Content>>, Trouble> {
        self.kept_table().ask_now(connection, ids)
    }

    /// The runs of these numbers.
    pub async fn runs(
        &self,
        connection: &mut SqliteConnection,
        ids: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<Run>>, sqlx::Error> {
        self.runs_table().ask(connection, ids).await
    }

    /// The same on the caller's thread.
    pub fn runs_now(
        &self,
        connection: &Connection,
        ids: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<Run>>, Trouble> {
        self.runs_table().ask_now(connection, ids)
    }
}

impl<T: Clone, W: Weighter<i64, T> + Clone> Table<'_, T, W> {
    /// What the cache knows, and the rest in one query.
    async fn ask(
        &self,
        connection: &mut SqliteConnection,
        ids: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, T>, sqlx::Error> {
        let (mut known, missing) = self.known(ids);
        if let Some(missing) = missing {
            // One by one: a row may be large.
            let mut rows = sqlx::query(self.sql).bind(missing).fetch(connection);
            while let Some(row) = rows.try_next().await? {
                self.learn(&mut known, &row)?;
            }
        }
        Ok(known)
    }

    /// The same on the caller's thread.
    fn ask_now(
        &self,
        connection: &Connection,
        ids: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, T>, Trouble> {
        let (mut known, missing) = self.known(ids);
        if let Some(missing) = missing {
            let mut statement = connection.prepare_cached(self.sql)?;
            let mut rows = statement.query([missing])?;
            while let Some(row) = rows.next()? {
                self.learn(&mut known, row)?;
            }
        }
        Ok(known)
    }

    /// What the cache knows; and the numbers of the rest as JSON, if there is any.
    fn known(&self, ids: impl Iterator<Item = i64>) -> (HashMap<i64, T>, Option<String>) {
        let (mut known, mut missing, mut last) = (HashMap::new(), Vec::new(), None);
        for id in ids {
            if last == Some(id) || known.contains_key(&id) {
                continue;
            }
            last = Some(id);
            match self.cache.get(&id).filter(self.is_enough) {
                Some(value) => drop(known.insert(id, value)),
                None => missing.push(id),
            }
        }
        missing.sort_unstable();
        missing.dedup();
        let text = || serde_json::to_string(&missing).expect("integers are JSON");
        let missing = (!missing.is_empty()).then(text);
        (known, missing)
    }

    fn learn(&self, known: &mut HashMap<i64, T>, row: &dyn Columns) -> Result<(), Trouble> {
        let (id, value) = (row.number(0)?, (self.read)(row)?);
        let keeps = self.keep.map(|keep| keep(&value, row)).transpose()?;
        self.cache.insert(id, keeps.unwrap_or_else(|| value.clone()));
        known.insert(id, value);
        Ok(())
    }
}

impl Referred {
    fn entries(&self, rows: &[NarrowEntry]) -> Result<Vec<Entry>, Trouble> {
        let entry = |row: &NarrowEntry| {
            Ok(Entry {
                id: row.id,
                kind: row.kind,
                source: row.source,
                key: found(&self.hosts, row.host_id, "host")?,
                time: row.time,
                reported_at: row.reported_at,
                received_at: row.received_at,
                content: found(&self.contents, row.content_id, "content")?,
                run: row.run_id.map(|id| found(&self.runs, id, "run")).transpose()?,
                sender: found(&self.senders, row.sender_id, "sender")?,
                late: row.late,
                transition: row.transition,
            })
        };
        rows.iter().map(entry).collect()
    }
}

fn found<T: Clone>(known: &HashMap<i64, T>, id: i64, table: &str) -> Result<T, Trouble> {
    let missing = || Trouble::damaged(format!("{table} {id} is missing"));
    known.get(&id).cloned().ok_or_else(missing)
}
