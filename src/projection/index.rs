//! The entries of each host by time: in two tables that follow the history as far as the watermark, and
//! what lies behind it, which a reader lists for itself in its own snapshot. Nobody waits for anybody.
//!
//! Every question by host is put to each of the tables, and the answers are merged as those of several
//! names of a host are.

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};

/// The table that texts name; the others have the same columns.
const INDEX: &str = "host_entry";

/// A table of the connection's own, in memory.
pub const CREATE_TAIL: &str = "CREATE TEMP TABLE IF NOT EXISTS tail (\
     host_id INTEGER NOT NULL, time INTEGER NOT NULL, seq INTEGER NOT NULL, \
     PRIMARY KEY (host_id, time, seq)) WITHOUT ROWID";
/// What lies behind the watermark: of some names ($1: JSON), or of all ($1 null).
const LIST_TAIL: &str = "INSERT INTO temp.tail SELECT h.host_id, h.time, h.seq \
     FROM head CROSS JOIN drift_history h \
     WHERE h.seq > head.watermark AND h.seq <= head.size \
     AND ($1 IS NULL OR h.host_id IN (SELECT value FROM json_each($1))) \
     AND h.seq > coalesce((SELECT t.applied FROM current_state t WHERE t.host_id = coalesce(\
     (SELECT a.root_id FROM host_alias a WHERE a.host_id = h.host_id), h.host_id)), 0)";
const FORGET_TAIL: &str = "DELETE FROM temp.tail";
const IS_BEHIND: &str = "SELECT watermark < size FROM head";

/// Which tables a snapshot's questions by host are put to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Index {
    tables: &'static [&'static str],
}

impl Index {
    /// What is projected, and nothing else.
    pub const PROJECTED: Self = Self { tables: &[INDEX, "host_confirmation"] };
    /// The same and what lies behind the watermark.
    const WHOLE: Self = Self { tables: &[INDEX, "host_confirmation", "temp.tail"] };

    /// Lists, within a snapshot, what lies behind the watermark: of these names, or of all.
    pub async fn of(
        snapshot: &mut SqliteConnection,
        names: Option<&[i64]>,
    ) -> Result<Self, sqlx::Error> {
        let head = sqlx::query(IS_BEHIND).fetch_optional(&mut *snapshot).await?;
        if !head.map_or(Ok(false), |row| row.try_get(0))? {
            return Ok(Self::PROJECTED);
        }
        sqlx::query(FORGET_TAIL).execute(&mut *snapshot).await?;
        let names = names.map(|names| serde_json::to_string(names).expect("integers are JSON"));
        let listed = sqlx::query(LIST_TAIL).bind(names).execute(snapshot).await?;
        Ok(if listed.rows_affected() > 0 { Self::WHOLE } else { Self::PROJECTED })
    }

    /// Whether there is anything behind the watermark.
    pub fn has_tail(self) -> bool {
        self == Self::WHOLE
    }

    /// The tables.
    pub fn tables(self) -> impl Iterator<Item = &'static str> {
        self.tables.iter().copied()
    }

    /// Each name with each table.
    pub fn each(self, names: &[i64]) -> impl Iterator<Item = (i64, &'static str)> {
        names.iter().flat_map(move |name| self.tables().map(move |table| (*name, table)))
    }

    /// A text once for each table.
    pub fn texts(self, sql: &str) -> impl Iterator<Item = AssertSqlSafe<String>> {
        self.tables().map(move |table| table_of(sql, table))
    }
}

/// A text that names the index, put to one of the tables.
pub fn table_of(sql: &str, table: &str) -> AssertSqlSafe<String> {
    // Both are constants.
    AssertSqlSafe(sql.replace(INDEX, table))
}

/// The history by way of a table.
pub fn by_host(table: &str) -> String {
    format!("{table} e CROSS JOIN drift_history h ON h.seq = e.seq")
}
