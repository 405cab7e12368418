//! A copy of the database while it is written to, and a database that nobody has open.
//!
//! `VACUUM INTO` reads one snapshot from beginning to end: the writer goes on, and the log cannot be
//! begun anew meanwhile. A copy of 2 million entries takes 2 seconds.

use crate::domain::time::Timestamp;
use crate::files::connect::{BUSY_TIMEOUT, Location, OpenError};
use crate::files::trouble::{Trouble, code_of};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{ConnectOptions, Connection, Row};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often a copy is watched.
const LOOK: Duration = Duration::from_millis(100);
/// SQLite's virtual-machine steps between two looks at the clock.
const STEPS_PER_LOOK: i32 = 1_000;
/// SQLite's codes.
const BUSY: i64 = 5;
const INTERRUPTED: i64 = 9;

const HEAD: &str = "SELECT origin, size, \
    (SELECT received_at FROM drift_history WHERE seq = size) FROM head";

/// Whose history it is, and how far it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The history's name.
    pub origin: String,
    /// Entries, which is also the newest id.
    pub entries: u64,
    /// When the newest entry came.
    pub newest: Option<Timestamp>,
}

/// Is told how many bytes of the copy are written; ends it by answering false.
pub type Watch = Box<dyn FnMut(u64) -> bool + Send>;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Whoever watched has ended it.
    #[error("the copy was ended")]
    Ended,
    /// SQLite could not.
    #[error(transparent)]
    Failed(#[from] Trouble),
}

/// Copies the database as it is now into an empty file. What is written is not synced yet.
pub async fn copy_to(
    location: &Location,
    target: &Path,
    mut watch: Watch,
) -> Result<(), CopyError> {
    let failed = |error: sqlx::Error| match code_of(&error) {
        Some(INTERRUPTED) => CopyError::Ended,
        _ => CopyError::Failed(error.into()),
    };
    let mut connection = location.open_copier().await.map_err(failed)?;
    let (file, mut looked) = (target.to_owned(), Instant::now());
    let go_on = move || {
        if looked.elapsed() < LOOK {
            return true;
        }
        looked = Instant::now();
        watch(std::fs::metadata(&file).map_or(0, |file| file.len()))
    };
    connection.lock_handle().await.map_err(failed)?.set_progress_handler(STEPS_PER_LOOK, go_on);
    let target = target.to_string_lossy().into_owned();
    let copied = sqlx::query("VACUUM INTO $1").bind(target).execute(&mut connection).await;
    let _ = connection.close().await;
    copied.map(|_| ()).map_err(failed)
}

/// Makes the file whole without its log, which is only possible if nobody else has it open; answers
/// what is in it.
pub async fn let_go(location: &Location) -> Result<Option<Head>, OpenError> {
    let path = &location.path;
    let failed = |cause: sqlx::Error| {
        let path = path.clone();
        match code_of(&cause) {
            Some(BUSY) => OpenError::InUse(path),
            _ => OpenError::Damaged { path, cause },
        }
    };
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .journal_mode(SqliteJournalMode::Delete)
        .disable_statement_logging();
    let mut connection = options.connect().await.map_err(failed)?;
    let head = head(&mut connection).await;
    connection.close().await.map_err(failed)?;
    head.map_err(failed)
}

/// The head of a database; `None` before its first start.
pub async fn head(connection: &mut SqliteConnection) -> Result<Option<Head>, sqlx::Error> {
    let Some(row) = sqlx::query(HEAD).fetch_optional(connection).await? else { return Ok(None) };
    Ok(Some(Head {
        origin: row.try_get(0)?,
        entries: row.try_get::<i64, _>(1)? as u64,
        newest: row.try_get::<Option<i64>, _>(2)?.map(Timestamp),
    }))
}
