//! Where the database is, how connections to it are opened, and why they may not be.

use crate::domain::shown::{ShowPath as _, shown};
use crate::files::place::{beside, followed};
use crate::files::trouble::Trouble;
use rusqlite::OpenFlags;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{AssertSqlSafe, ConnectOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long SQLite waits for another process's write lock.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// What every connection that writes is set to, whichever driver opens it. Synced at every commit.
const WRITING: [(&str, &str); 8] = [
    ("synchronous", "FULL"),
    ("foreign_keys", "OFF"), // ids are given by the recorder; the check would cost a lookup a row
    ("recursive_triggers", "ON"),
    // Pages (4 KiB each) of the log at which a commit folds it back itself, if nobody else has: see `log`.
    ("wal_autocheckpoint", "16000"),
    // Bytes the WAL file is cut back to after a checkpoint: `log::LARGE_BYTES`. Shorter, it would be cut
    // back and grow again all the time, while a commit waits.
    ("journal_size_limit", "67108864"),
    ("cell_size_check", "ON"),
    ("cache_size", "-8000"), // the end of every host's index fits (negative: KiB)
    ("temp_store", "MEMORY"),
];
/// Texts kept prepared: three for each size of a batch, and the look-ups.
const PREPARED_TEXTS: usize = 192;

/// A statement that fails at once where it would wait for a lock; what follows it waits again.
pub fn without_waiting(statement: &str) -> AssertSqlSafe<String> {
    let patience = BUSY_TIMEOUT.as_millis();
    let statement = statement.trim_end_matches(';');
    AssertSqlSafe(format!("PRAGMA busy_timeout = 0; {statement}; PRAGMA busy_timeout = {patience}"))
}

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
    #[error("{path}: {cause}; create the folder or choose another DATABASE_URL", path = path.shown())]
    Folder { path: PathBuf, cause: std::io::Error },
    #[error("{path}: {cause}; is DATABASE_URL right?", path = path.shown())]
    Path { path: PathBuf, cause: std::io::Error },
    #[error(
        "{path}: {cause}; the user that runs this program must be able to write the database and its folder",
        path = path.shown()
    )]
    NotWritable { path: PathBuf, cause: std::io::Error },
    #[error("{path}: not a file; DATABASE_URL names the database file, not its folder", path = .0.shown())]
    NotAFile(PathBuf),
    #[error(
        "{path}: in use by {holder}; one server for each database, and this needs it for itself",
        path = path.shown(), holder = shown(holder)
    )]
    Held { path: PathBuf, holder: String, serves: bool },
    #[error(
        "{path}: the file has {names} names (hard links), and what is written under one would be lost under another; keep one of them (`find -samefile` names all), or let this be a copy",
        path = path.shown()
    )]
    Linked { path: PathBuf, names: u64 },
    #[error(
        "{path}: {what}: what it does when something is written is nobody's doing here. Look through the history (`verify`); `rebuild` makes the triggers what they were",
        path = path.shown()
    )]
    StrangeTriggers { path: PathBuf, what: String },
    #[error("{path}: another program has it open; close that first", path = .0.shown())]
    InUse(PathBuf),
    #[error(
        "{path}: the file is empty, which no database of ours ever is; its contents are lost. Restore it from a backup, or remove it to begin a new history",
        path = .0.shown()
    )]
    Empty(PathBuf),
    #[error(
        "{path}: a log of SQLite's without its database; what it holds would get into any database put beside it. `restore --replace` a backup (it keeps the log under another name), or move the log away to begin a new history",
        path = .0.shown()
    )]
    StrayLog(PathBuf),
    #[error(
        "{path}: checkpoints of a history whose database is gone; restore the database from a backup, or move this file (and the signing key) away to begin a new history",
        path = .0.shown()
    )]
    StrayCheckpoints(PathBuf),
    #[error(
        "{path}: there is none, and a restore that did not end has left {half}; run `restore` again, or remove that file to begin a new history",
        path = path.shown(), half = half.shown()
    )]
    HalfRestored { path: PathBuf, half: PathBuf },
    #[error("{path}: this SQLite file belongs to another program; choose another DATABASE_URL", path = .0.shown())]
    Foreign(PathBuf),
    #[error(
        "{path}: {cause}; even to read it, the log's index (-shm) beside it must be writable. A copy made by `backup` needs none",
        path = path.shown(), cause = shown(&cause.to_string())
    )]
    Closed { path: PathBuf, cause: sqlx::Error },
    #[error(
        "{path}: not a usable database ({cause}); is DATABASE_URL right? If so, restore it from a backup",
        path = path.shown(), cause = shown(&cause.to_string())
    )]
    Damaged { path: PathBuf, cause: sqlx::Error },
    #[error("{path}: the database is damaged ({what}); restore it from a backup", path = path.shown())]
    Torn { path: PathBuf, what: String },
    #[error(
        "{path}: written by a newer version (schema {found}, this program knows {known}); run the newer program",
        path = path.shown()
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{path}: {cause}; is DATABASE_URL right?", path = path.shown())]
    Missing { path: PathBuf, cause: std::io::Error },
    #[error(
        "{path}: schema {found} is older than this program's ({known}); start the server once to bring it up to date",
        path = path.shown()
    )]
    Older { path: PathBuf, found: i64, known: i64 },
    #[error(
        "this program was built with SQLite {0}, which can damage a database; build it with 3.51.3 or newer"
    )]
    OldSqlite(String),
    #[error("{path}: {cause}", path = path.shown())]
    Migration { path: PathBuf, cause: refinery::Error },
    #[error("{path}: {cause}", path = path.shown())]
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
                // Lock, key and log lie beside the file, whatever it is called from elsewhere.
                Ok(Self { path: followed(Path::new(path)) })
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
        beside(&self.path, suffix)
    }

    /// Options of a connection that writes.
    pub fn write_options(path: &Path) -> SqliteConnectOptions {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(PREPARED_TEXTS)
            .disable_statement_logging();
        WRITING.iter().fold(options, |options, (name, value)| options.pragma(*name, *value))
    }

    /// Opens a connection that writes an existing database.
    pub async fn open_writer(&self) -> Result<SqliteConnection, sqlx::Error> {
        Self::write_options(&self.path).connect().await
    }

    /// The same, run by whoever calls it.
    pub fn open_direct(&self) -> Result<rusqlite::Connection, rusqlite::Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = rusqlite::Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(PREPARED_TEXTS);
        for (name, value) in WRITING {
            connection.pragma_update(None, name, value)?;
        }
        Ok(connection)
    }

    /// Opens a connection that reads, run by whoever calls it.
    pub fn open_looking(&self) -> Result<rusqlite::Connection, rusqlite::Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = rusqlite::Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(connection)
    }

    /// Opens a reading connection of an existing database.
    pub async fn open_reader(&self) -> Result<SqliteConnection, sqlx::Error> {
        self.read_options().pragma("query_only", "ON").connect().await
    }

    /// The same, which may have tables of its own in memory.
    pub async fn open_lister(&self) -> Result<SqliteConnection, sqlx::Error> {
        self.read_options().pragma("temp_store", "MEMORY").connect().await
    }

    /// Opens a connection that reads this database and may write others.
    pub async fn open_copier(&self) -> Result<SqliteConnection, sqlx::Error> {
        self.read_options().connect().await
    }

    fn read_options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.path)
            .read_only(true)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging()
    }
}
