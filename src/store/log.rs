//! SQLite's log beside the database (the `-wal` file): how long it is, and folding it back.
//!
//! The writer folds it back by itself whenever it has some 32 MB, and then begins it anew. It cannot
//! while somebody reads: what a reader may still want stays, and the log grows. Ours read for seconds;
//! another program may for hours.

use super::connect::{BUSY_TIMEOUT, Location};
use super::writer::Writer;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};

/// Above this the log is more than the usual work makes of it: somebody reads, or has read.
pub const LARGE_BYTES: u64 = 64 << 20;

const LENGTH: &str = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";

/// Folds the log back into the file and cuts it to nothing, without waiting for anybody. Answers
/// whether it could: if not, a reader holds on to a part of it.
pub(super) async fn fold_back(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let patience = BUSY_TIMEOUT.as_millis();
    let sql = format!(
        "PRAGMA busy_timeout = 0; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout = {patience}"
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await?;
    let outcome = rows.iter().find(|row| row.len() == 3);
    outcome.map_or(Ok(false), |row| Ok(row.try_get::<i64, _>(0)? == 0))
}

impl Location {
    /// Bytes of the log; 0 if there is none.
    pub fn log_bytes(&self) -> u64 {
        std::fs::metadata(self.beside("-wal")).map_or(0, |file| file.len())
    }
}

impl Writer {
    /// Bytes of the log.
    pub fn log_bytes(&self) -> u64 {
        self.location().log_bytes()
    }

    /// Folds the log back into the file; `false` while a reader keeps it from that.
    pub async fn fold_back(&mut self) -> Result<bool, sqlx::Error> {
        let folded = fold_back(self.connection().await?).await;
        self.checked(folded)
    }

    /// Bytes by which the file will have grown when the log is folded back.
    pub async fn owed_bytes(&mut self) -> Result<u64, sqlx::Error> {
        let asked = sqlx::query(LENGTH).fetch_one(self.connection().await?).await;
        let length = self.checked(asked)?.try_get::<i64, _>(0)? as u64;
        let file = std::fs::metadata(&self.location().path).map_or(length, |file| file.len());
        Ok(length.saturating_sub(file))
    }
}
