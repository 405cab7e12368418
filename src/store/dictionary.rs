//! What the narrow rows refer to: hosts, contents, senders, runs, by number. Rows are immutable, so
//! what has been read once stays right; the caches are bounded in bytes.

use super::rows::{CONTENT_COLUMNS, NarrowEntry, content_from_row};
use crate::domain::content::Content;
use crate::domain::line::Entry;
use crate::domain::names::HostKey;
use crate::domain::report::{Run, Sender};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row};
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
    /// Whether what is read goes into the caches.
    remembers: bool,
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
        let files: usize = content.files().iter().map(|file| file.path.len() + 80).sum();
        let message = content.validation_message.as_ref().map_or(0, String::len);
        (600 + files + message) as u64
    }
}

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
        Self { caches: Arc::new(caches), remembers: true }
    }
}

impl Dictionary {
    /// For use inside a transaction that writes: it may read rows that are never committed, whose numbers
    /// then go to others. It knows what the caches know, and adds nothing.
    #[must_use]
    pub fn amid_writing(&self) -> Self {
        Self { remembers: false, ..self.clone() }
    }

    /// Turns narrow rows into entries, in the same order. A number that leads nowhere (a damaged
    /// database) is an error that names it.
    pub async fn resolve(
        &self,
        connection: &mut SqliteConnection,
        rows: &[NarrowEntry],
    ) -> Result<Vec<Entry>, sqlx::Error> {
        let ids = rows.iter().map(|row| row.content_id);
        let contents = self.contents(connection, ids).await?;
        let ids = rows.iter().map(|row| row.host_id);
        let hosts = self.look_up(connection, &self.caches.hosts, ids, HOSTS_BY_ID, |row| {
            Ok(HostKey::new(&row.try_get::<String, _>(1)?, &row.try_get::<String, _>(2)?))
        });
        let hosts = hosts.await?;
        let ids = rows.iter().map(|row| row.sender_id);
        let senders = self.look_up(connection, &self.caches.senders, ids, SENDERS_BY_ID, |row| {
            Ok(Arc::new(Sender { reported_by: row.try_get(1)?, remote_address: row.try_get(2)? }))
        });
        let senders = senders.await?;
        let runs = self.runs(connection, rows.iter().filter_map(|row| row.run_id)).await?;
        rows.iter()
            .map(|row| {
                Ok(Entry {
                    id: row.id,
                    kind: row.kind,
                    source: row.source,
                    key: found(&hosts, row.host_id, "host")?,
                    time: row.time,
                    reported_at: row.reported_at,
                    received_at: row.received_at,
                    content: found(&contents, row.content_id, "content")?,
                    run: row.run_id.map(|id| found(&runs, id, "run")).transpose()?,
                    sender: found(&senders, row.sender_id, "sender")?,
                    late: row.late,
                    transition: row.transition,
                })
            })
            .collect()
    }

    /// The contents of these numbers.
    pub async fn contents(
        &self,
        connection: &mut SqliteConnection,
        ids: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<Content>>, sqlx::Error> {
        let sql = format!(
            "SELECT {CONTENT_COLUMNS} FROM content WHERE id IN (SELECT value FROM json_each($1))"
        );
        self.look_up(connection, &self.caches.contents, ids, sql, |row| {
            content_from_row(row).map(|(_, content)| Arc::new(content))
        })
        .await
    }

    /// The runs of these numbers.
    pub async fn runs(
        &self,
        connection: &mut SqliteConnection,
        ids: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<Run>>, sqlx::Error> {
        self.look_up(connection, &self.caches.runs, ids, RUNS_BY_ID, |row| {
            Ok(Arc::new(Run { run_id: row.try_get(1)?, run_url: row.try_get(2)? }))
        })
        .await
    }

    /// What the cache knows, and the rest in one query. Column 0 of a row is its number.
    async fn look_up<T: Clone, W: Weighter<i64, T> + Clone>(
        &self,
        connection: &mut SqliteConnection,
        cache: &Cache<i64, T, W>,
        ids: impl Iterator<Item = i64>,
        sql: impl Into<String>,
        read: impl Fn(&SqliteRow) -> Result<T, sqlx::Error>,
    ) -> Result<HashMap<i64, T>, sqlx::Error> {
        let mut known = HashMap::new();
        let mut missing = Vec::new();
        let mut last = None;
        for id in ids {
            if last == Some(id) || known.contains_key(&id) {
                continue;
            }
            last = Some(id);
            match cache.get(&id) {
                Some(value) => {
                    known.insert(id, value);
                }
                None => missing.push(id),
            }
        }
        if !missing.is_empty() {
            missing.sort_unstable();
            missing.dedup();
            let ids = serde_json::to_string(&missing).expect("integers are JSON");
            // The text is one of the constants above.
            let query = sqlx::query(AssertSqlSafe(sql.into())).bind(ids);
            for row in query.fetch_all(connection).await? {
                let (id, value): (i64, T) = (row.try_get(0)?, read(&row)?);
                if self.remembers {
                    cache.insert(id, value.clone());
                }
                known.insert(id, value);
            }
        }
        Ok(known)
    }
}

fn found<T: Clone>(known: &HashMap<i64, T>, id: i64, table: &str) -> Result<T, sqlx::Error> {
    let missing = || sqlx::Error::Decode(format!("{table} {id} is missing").into());
    known.get(&id).cloned().ok_or_else(missing)
}
