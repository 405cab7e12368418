//! Opening the database: what is ours, what is not, and how a new one comes to be.

use super::{Trouble, migrate};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Marks a SQLite file as ours: "GOSS" in ASCII.
pub const APPLICATION_ID: i64 = 0x474F_5353;
/// How long SQLite waits for another process's write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Pages the WAL grows to before it is folded back into the file (4 KiB each).
const CHECKPOINT_PAGES: &str = "8000";
/// Bytes the WAL file is cut back to after a checkpoint.
const JOURNAL_LIMIT_BYTES: &str = "33554432";
/// The writer's page cache: the end of every host's index fits (negative: KiB).
const WRITER_CACHE: &str = "-8000";
/// Texts kept prepared: one or two for each size of a batch, and the look-ups.
const PREPARED_TEXTS: usize = 128;

/// Where the database is. Today always a SQLite file.
#[derive(Debug, Clone)]
pub struct Location {
    /// The database file.
    pub path: PathBuf,
}

/// Why a database cannot be used. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum OpenError {
    #[error("DATABASE_URL: {0}")]
    Url(String),
    #[error("{path}: {cause}; create the folder or choose another DATABASE_URL")]
    Folder { path: PathBuf, cause: std::io::Error },
    #[error(
        "{0}: the file is empty, which no database of ours ever is; its contents are lost. Restore it from a backup, or remove it to begin a new history"
    )]
    Empty(PathBuf),
    #[error(
        "{0}: a log of SQLite's without its database; what it holds would get into a new history. Restore the database from a backup beside it, or remove the log to begin a new history"
    )]
    StrayLog(PathBuf),
    #[error(
        "{0}: checkpoints of a history whose database is gone; restore the database from a backup, or move this file (and the signing key) away to begin a new history"
    )]
    StrayCheckpoints(PathBuf),
    #[error("{0}: this SQLite file belongs to another program; choose another DATABASE_URL")]
    Foreign(PathBuf),
    #[error("{path}: not a usable database ({cause}); restore it from a backup")]
    Damaged { path: PathBuf, cause: sqlx::Error },
    #[error(
        "{path}: written by a newer version (schema {found}, this program knows {known}); run the newer program"
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{path}: {cause}; is DATABASE_URL right?")]
    Missing { path: PathBuf, cause: std::io::Error },
    #[error(
        "{path}: schema {found} is older than this program's ({known}); start the server once to bring it up to date"
    )]
    Older { path: PathBuf, found: i64, known: i64 },
    #[error("{path}: {cause}")]
    Migration { path: PathBuf, cause: refinery::Error },
    #[error("{path}: {cause}")]
    Database { path: PathBuf, cause: Trouble },
}

impl Location {
    /// Parses `sqlite://data/gitops-status.db` (relative) or `sqlite:///data/gitops-status.db`
    /// (absolute).
    pub fn parse(url: &str) -> Result<Self, OpenError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let message = "PostgreSQL is not supported yet; use sqlite://PATH";
            return Err(OpenError::Url(message.into()));
        }
        let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
        match path {
            Some(path) if path.contains('?') => {
                Err(OpenError::Url("takes no parameters behind '?'; remove them".into()))
            }
            Some(path) if !path.is_empty() && !path.starts_with(":memory:") => {
                Ok(Self { path: path.into() })
            }
            _ => Err(OpenError::Url(format!("'{url}' is not sqlite://PATH"))),
        }
    }

    /// Where checkpoints of this history are remembered.
    pub fn remembered(&self) -> PathBuf {
        self.beside(".checkpoints")
    }

    /// A path beside the database file.
    pub fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }

    /// Options of the writing connection: synced at every commit.
    fn write_options(path: &Path) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(false) // ids are given by the recorder; the check would cost a lookup a row
            .pragma("recursive_triggers", "ON")
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .pragma("journal_size_limit", JOURNAL_LIMIT_BYTES)
            .pragma("cell_size_check", "ON")
            .pragma("cache_size", WRITER_CACHE)
            .pragma("temp_store", "MEMORY")
            .statement_cache_capacity(PREPARED_TEXTS)
            .disable_statement_logging()
    }

    /// Opens the writing connection of an existing database.
    pub(super) async fn open_writer(&self) -> Result<SqliteConnection, sqlx::Error> {
        Self::write_options(&self.path).connect().await
    }

    /// Opens a reading connection of an existing database.
    pub(super) async fn open_reader(&self) -> Result<SqliteConnection, sqlx::Error> {
        SqliteConnectOptions::new()
            .filename(&self.path)
            .read_only(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("query_only", "ON")
            .disable_statement_logging()
            .connect()
            .await
    }
}

/// Brings the database to the newest schema; creates it (with its folder) if there is none.
/// Refuses an empty, foreign, damaged or newer file and leaves it untouched. Two processes that
/// start together take turns.
pub async fn create_or_check(location: &Location) -> Result<(), OpenError> {
    let path = &location.path;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let no_folder = |cause| OpenError::Folder { path: folder.to_owned(), cause };
    std::fs::create_dir_all(folder).map_err(no_folder)?;
    let lock_path = location.beside(".lock");
    let turn = File::create(&lock_path).and_then(|file| file.lock().map(|()| file));
    let _turn = turn.map_err(|cause| OpenError::Folder { path: lock_path, cause })?;
    match std::fs::metadata(path) {
        Ok(file) if file.len() == 0 => return Err(OpenError::Empty(path.clone())),
        Ok(_) => return check_and_migrate(location).await,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(cause) => return Err(OpenError::Folder { path: path.clone(), cause }),
    }
    let log = location.beside("-wal");
    if std::fs::metadata(&log).is_ok_and(|file| file.len() > 0) {
        return Err(OpenError::StrayLog(log));
    }
    if location.remembered().exists() {
        return Err(OpenError::StrayCheckpoints(location.remembered()));
    }
    // Built under another name, so that a half-made database never bears the right one.
    let fresh = location.beside(".new");
    for leftover in [&fresh, &location.beside(".new-wal"), &location.beside(".new-shm")] {
        let _ = std::fs::remove_file(leftover);
    }
    let failed =
        |cause: sqlx::Error| OpenError::Database { path: path.clone(), cause: cause.into() };
    let options = Location::write_options(&fresh).create_if_missing(true);
    let options = options.pragma("application_id", APPLICATION_ID.to_string());
    let mut connection = options.connect().await.map_err(failed)?;
    let migrated = migrate::run(&mut connection).await;
    connection.close().await.map_err(failed)?;
    migrated.map_err(|cause| OpenError::Migration { path: path.clone(), cause })?;
    let renamed = std::fs::rename(&fresh, path).and_then(|()| File::open(folder)?.sync_all());
    renamed.map_err(no_folder)
}

/// Checks that there is a database of ours with the schema of this program, and changes nothing.
pub async fn check_only(location: &Location) -> Result<(), OpenError> {
    let path = &location.path;
    match std::fs::metadata(path) {
        Ok(file) if file.len() == 0 => return Err(OpenError::Empty(path.clone())),
        Ok(_) => {}
        Err(cause) => return Err(OpenError::Missing { path: path.clone(), cause }),
    }
    let (found, known) = check(location).await?;
    if found < known {
        return Err(OpenError::Older { path: path.clone(), found, known });
    }
    Ok(())
}

/// Whose file it is; answers the schema's version in it and the newest one known.
async fn check(location: &Location) -> Result<(i64, i64), OpenError> {
    let path = &location.path;
    let damaged = |cause| OpenError::Damaged { path: path.clone(), cause };
    let mut reader = location.open_reader().await.map_err(damaged)?;
    let check = sqlx::query("SELECT application_id FROM pragma_application_id");
    let id: i64 = check.fetch_one(&mut reader).await.map_err(damaged)?.get(0);
    if id != APPLICATION_ID {
        return Err(OpenError::Foreign(path.clone()));
    }
    let (found, known) = migrate::versions(&mut reader).await.map_err(damaged)?;
    reader.close().await.map_err(damaged)?;
    if found > known {
        return Err(OpenError::Newer { path: path.clone(), found, known });
    }
    Ok((found, known))
}

async fn check_and_migrate(location: &Location) -> Result<(), OpenError> {
    let path = &location.path;
    let (found, known) = check(location).await?;
    if found == known {
        return Ok(());
    }
    let failed =
        |cause: sqlx::Error| OpenError::Database { path: path.clone(), cause: cause.into() };
    let mut writer = location.open_writer().await.map_err(failed)?;
    let migrated = migrate::run(&mut writer).await;
    writer.close().await.map_err(failed)?;
    migrated.map_err(|cause| OpenError::Migration { path: path.clone(), cause })
}
