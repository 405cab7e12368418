//! Entries and keys, found by id and name.

use super::dictionary::Dictionary;
use super::rows::{PACKED_COLUMNS, unpack};
use crate::domain::line::Entry;
use crate::domain::time::Timestamp;
use crate::files::trouble::Trouble;
use rusqlite::{Connection, OptionalExtension};
use std::sync::LazyLock;

static ENTRY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT group_concat(row, ';') FROM \
         (SELECT {PACKED_COLUMNS} AS row FROM drift_history h WHERE h.seq = ?1)"
    )
});
const KEY: &str = "SELECT body, ids, received_at FROM idempotency WHERE token = ?1 AND key = ?2";

/// The entry of an id.
pub fn entry(
    connection: &Connection,
    dictionary: &Dictionary,
    id: u64,
) -> Result<Option<Entry>, Trouble> {
    let packed: Option<String> =
        connection.prepare_cached(&ENTRY)?.query_row([id as i64], |row| row.get(0))?;
    Ok(dictionary.resolve_now(connection, &unpack(packed.as_deref())?)?.pop())
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
