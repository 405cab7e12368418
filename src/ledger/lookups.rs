//! Entries and keys, found by id and name.

use super::dictionary::Dictionary;
use super::rows::{PACKED_COLUMNS, unpack};
use super::steps::json_text;
use crate::domain::line::Entry;
use crate::domain::time::Timestamp;
use crate::files::trouble::Trouble;
use rusqlite::{Connection, OptionalExtension};
use std::collections::HashMap;
use std::sync::LazyLock;

static ENTRIES: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT group_concat(row, ';') FROM (SELECT {PACKED_COLUMNS} AS row FROM drift_history h \
         WHERE h.seq IN (SELECT value FROM json_each(?1)))"
    )
});
const KEY: &str = "SELECT body, ids, received_at FROM idempotency WHERE token = ?1 AND key = ?2";

/// The entries of some ids, by the ids.
pub fn entries(
    connection: &Connection,
    dictionary: &Dictionary,
    ids: &[u64],
) -> Result<HashMap<u64, Entry>, Trouble> {
    let packed: Option<String> =
        connection.prepare_cached(&ENTRIES)?.query_row([json_text(&ids)], |row| row.get(0))?;
    let entries = dictionary.resolve_now(connection, &unpack(packed.as_deref())?)?;
    Ok(entries.into_iter().map(|entry| (entry.id, entry)).collect())
}

/// What is remembered of an Idempotency-Key: the body's digest, the ids, and when it came.
pub fn key(
    connection: &Connection,
    token: &str,
    key: &str,
) -> Result<Option<(String, Vec<u64>, Timestamp)>, Trouble> {
    let found: Option<(String, String, i64)> = connection
        .prepare_cached(KEY)?
        .query_row([token, key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((body, ids, received_at)) = found else { return Ok(None) };
    let damaged = |_| Trouble::damaged("an Idempotency-Key's ids are damaged".into());
    let ids = serde_json::from_str(&ids).map_err(damaged)?;
    Ok(Some((body, ids, Timestamp(received_at))))
}
