//! SQLite's log beside the database (the `-wal` file): how long it is, and folding it back.
//!
//! While a server runs, it is folded back beside the commits, by a connection of its own
//! ([`LogFolder`]); then the writer folds the little that came meanwhile (`Writer::fold_rest`), and
//! its next commit begins the log anew. A writer without such help (`import`) folds it back by itself
//! at some 64 MB. Nobody can while somebody reads: what a reader may still want stays, and the log
//! grows. Ours read for seconds; another program may for hours.

use crate::files::connect::{Location, without_waiting};
use crate::files::failure::of_sync;
use crate::files::trouble::Trouble;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use std::fs::File;
use std::mem::ManuallyDrop;
use std::sync::Arc;

/// Above this the log is more than the usual work makes of it: somebody reads, or has read.
pub const LARGE_BYTES: u64 = 64 << 20;

/// Pages (4 KiB) of the log that are long enough to fold it back. Longer, each page of the file would be
/// written once for more changes of it, but the more is written at once, the longer commits wait for the
/// disk; and what is written while somebody reads comes on top.
const LONG: u64 = 1536;
/// Pages written between two looks at the log, about: if a reader kept the writer from beginning it anew,
/// that is tried again before long.
pub const LOG_STRETCH: u64 = LONG / 4;
/// How often the log is gone through in one go: each time leaves what was written meanwhile.
const PASSES: usize = 5;
/// Pages that the writer may fold back itself: less than a millisecond.
const REST: i64 = 64;

const TRUNCATE: &str = "PRAGMA wal_checkpoint(TRUNCATE)";
const FOLD: &str = "PRAGMA wal_checkpoint(PASSIVE)";
const LOOK: &str = "PRAGMA wal_checkpoint(NOOP)";

/// Folds the log back into the file and cuts it to nothing, without waiting for anybody. Answers
/// whether it could: if not, a reader holds on to a part of it.
pub async fn fold_back(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let rows = sqlx::raw_sql(without_waiting(TRUNCATE)).fetch_all(connection).await?;
    let outcome = rows.iter().find(|row| row.len() == 3);
    outcome.map_or(Ok(false), |row| Ok(row.try_get::<i64, _>(0)? == 0))
}

/// Folds the log back while others write.
#[derive(Debug)]
pub struct LogFolder {
    location: Location,
    connection: Option<SqliteConnection>,
    /// The database file, to sync it. Never closed: that would let go of SQLite's locks on it, for the
    /// whole process.
    file: Option<ManuallyDrop<Arc<File>>>,
}

impl LogFolder {
    /// Opens nothing yet.
    pub fn new(location: &Location) -> Self {
        Self { location: location.clone(), connection: None, file: None }
    }

    /// Folds back what is in the log if it is long, but for a small rest, or for what a reader still wants.
    /// Answers whether it was long.
    pub async fn fold(&mut self) -> Result<bool, Trouble> {
        let folded = self.try_fold().await;
        if folded.is_err() {
            self.connection = None;
        }
        Ok(folded?)
    }

    /// Each time, the file is synced here: the sync that SQLite asks for when all is folded back, with the
    /// writer waiting, finds little left to do.
    async fn try_fold(&mut self) -> Result<bool, sqlx::Error> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.location.open_writer().await?),
        };
        let (mut pages, mut folded) = length(connection, LOOK).await?;
        if pages < LONG as i64 {
            return Ok(false);
        }
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(ManuallyDrop::new(Arc::new(File::open(&self.location.path)?))),
        };
        for _ in 0..PASSES {
            let before = folded;
            (_, folded) = length(connection, FOLD).await?;
            if folded == before {
                break;
            }
            sync(file).await?;
            (pages, folded) = length(connection, LOOK).await?;
            if pages - folded <= REST {
                break;
            }
        }
        Ok(true)
    }

    /// Closes its connection.
    pub async fn close(self) {
        if let Some(connection) = self.connection {
            let _ = connection.close().await;
        }
    }
}

/// Pages of the log, and how many of them are folded back, after a look at it or after folding.
async fn length(
    connection: &mut SqliteConnection,
    checkpoint: &'static str,
) -> Result<(i64, i64), sqlx::Error> {
    let row = sqlx::query(checkpoint).fetch_one(connection).await?;
    Ok((row.try_get(1)?, row.try_get(2)?))
}

async fn sync(file: &Arc<File>) -> Result<(), sqlx::Error> {
    let file = file.clone();
    let synced = tokio::task::spawn_blocking(move || file.sync_data()).await;
    synced.map_err(|_| sqlx::Error::WorkerCrashed)?.map_err(|error| of_sync(&error))
}

impl Location {
    /// Bytes of the log; 0 if there is none.
    pub fn log_bytes(&self) -> u64 {
        std::fs::metadata(self.beside("-wal")).map_or(0, |file| file.len())
    }
}
