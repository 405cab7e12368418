//! What writes. One process has one [`Writer`], and only the recorder holds it.
//!
//! `load` reads what the recorder starts from, `lookups` what it asks while it folds; `commit` appends a
//! batch to the ledger, and in the same transaction writes the parts of the `tail` (what lies behind the
//! watermark) that `plan` names; `refolds` writes the steps of hosts that are folded anew. All of it goes through one
//! connection on the caller's thread. Any error in a transaction closes it; the next use opens a new one.

use super::refolder::Refold;
use super::tail::Tail;
use crate::domain::files::FileSetDigest;
use crate::domain::time::Timestamp;
use crate::files::connect::{BUSY_TIMEOUT, Location};
use crate::files::trouble::Trouble;
use crate::ledger::append::Appender;
use crate::ledger::dictionary::Dictionary;
use crate::ledger::direct;
use crate::ledger::numbers::Numbers;
use foldhash::{HashMap, HashMapExt};
use rusqlite::{Connection, OptionalExtension, Params, Row};
use std::sync::Arc;

/// The version of what the projections hold. A database with an older one is folded anew at start.
pub const PROJECTION: i64 = 3;

const SIZE: &str = "SELECT size FROM head";
const LENGTH: &str = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";

/// Which hosts are projected along with each batch, so that nobody has to wait for much at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    /// Entries up to here shall be projected,
    pub overdue: u64,
    /// of at most so many hosts with a batch.
    pub hosts: usize,
}

/// The writing connection, the tail, and the numbers given.
#[derive(Debug)]
pub struct Writer {
    pub(super) location: Location,
    pub(super) connection: Option<Connection>,
    /// Whether the connection holds the write lock already, for the next commit.
    pub(super) locked: bool,
    /// Whether this process projects. One does for each database: who holds its lock.
    pub(super) projects: bool,
    pub(super) dictionary: Arc<Dictionary>,
    pub(super) appender: Appender,
    /// See [`Writer::pages_written`].
    pub(super) pages: u64,
    pub(super) tail: Tail,
    /// By the host's number.
    pub(super) refolds: HashMap<i64, Refold>,
    pub(super) pace: Pace,
    pub(super) file_sets: Numbers<FileSetDigest>,
}

impl Writer {
    pub(super) fn closed(location: &Location, dictionary: Arc<Dictionary>, projects: bool) -> Self {
        Self {
            location: location.clone(),
            connection: None,
            locked: false,
            projects,
            dictionary,
            appender: Appender::behind(0, 0, [0; 3]),
            pages: 0,
            tail: Tail::default(),
            refolds: HashMap::new(),
            pace: Pace::default(),
            file_sets: Numbers::new(0),
        }
    }

    pub(super) fn connection(&mut self) -> Result<&Connection, Trouble> {
        if self.connection.is_none() {
            self.locked = false;
            self.connection = Some(self.location.open_direct()?);
        }
        Ok(self.connection.as_ref().expect("it was just opened"))
    }

    /// Asks a question whose text is kept prepared.
    pub(super) fn ask<T>(
        &mut self,
        text: &str,
        values: impl Params,
        read: impl FnMut(&Row<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<Vec<T>, Trouble> {
        direct::ask(self.connection()?, text, values, read)
    }

    /// Lets the connection go after any failure: what it was amid is unknown, and a new one is right for
    /// certain.
    pub(super) fn let_go(&mut self) {
        self.connection = None;
    }

    /// Takes the write lock ahead of the next commit: what is loaded from here on stays right until then.
    pub fn lock(&mut self) -> Result<(), Trouble> {
        self.unlock();
        let begun = direct::begin(self.connection()?);
        self.locked = begun.is_ok();
        begun.inspect_err(|_| self.let_go())
    }

    /// Lets the write lock go if no commit has come of it.
    pub fn unlock(&mut self) {
        if std::mem::take(&mut self.locked) {
            self.let_go();
        }
    }

    /// Whether another process has written since [`Writer::load`] and our own commits.
    pub fn has_moved(&mut self) -> Result<bool, Trouble> {
        let size = self.connection()?.query_row(SIZE, [], |row| row.get::<_, i64>(0)).optional();
        Ok(size?.is_some_and(|size| size as u64 != self.appender.size))
    }

    /// Pages that commits have written to the WAL, about.
    pub fn pages_written(&self) -> u64 {
        self.pages
    }

    /// Notes what a commit writes to the WAL, about: the head, and the ends of the history and now and then of
    /// its index; what is `new` to the dictionaries; for each host projected the ends of its index and its state;
    /// for each key its place in two indexes.
    pub(super) fn note_pages(&mut self, rows: usize, new: usize, hosts: usize, keys: usize) {
        const ROWS_OF_A_PAGE: usize = 64;
        const PAGE_BYTES: usize = 4096;
        let pages = 3 + rows / ROWS_OF_A_PAGE + new / PAGE_BYTES + 2 * (hosts + keys);
        self.pages += pages as u64;
    }

    /// Does something that fails at once where it would wait for another process.
    pub(super) fn without_waiting<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let patience = |writer: &mut Self, patience| {
            if let Some(connection) = &writer.connection {
                let _ = connection.busy_timeout(patience);
            }
        };
        patience(self, std::time::Duration::ZERO);
        let done = work(self);
        patience(self, BUSY_TIMEOUT);
        done
    }

    /// Tries to write: takes the write lock and lets it go; `really` commits a change.
    pub fn probe(&mut self, really: bool, now: Timestamp) -> Result<(), Trouble> {
        let end = if really { "COMMIT" } else { "ROLLBACK" };
        let sql = format!("BEGIN IMMEDIATE; UPDATE head SET probed_at = {}; {end};", now.0);
        let probed = self.connection()?.execute_batch(&sql);
        Ok(probed.inspect_err(|_| self.let_go())?)
    }

    /// Checkpoints the WAL and cuts it to nothing, without waiting for anybody; `false` while a reader keeps
    /// it from that.
    pub fn fold_back(&mut self) -> Result<bool, Trouble> {
        let folded = self.without_waiting(|writer| {
            let connection = writer.connection()?;
            let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
            Ok(connection.query_row(sql, [], |row| row.get::<_, i64>(0))? == 0)
        });
        folded.inspect_err(|_| self.let_go())
    }

    /// Checkpoints what has come to the WAL lately. If that is all of it, the next commit begins it anew.
    pub fn fold_rest(&mut self) -> Result<(), Trouble> {
        self.unlock();
        let folded = self.connection()?.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        Ok(folded.inspect_err(|_| self.let_go())?)
    }

    /// Bytes of the WAL.
    pub fn log_bytes(&self) -> u64 {
        self.location.log_bytes()
    }

    /// Bytes by which the file will have grown when the WAL is checkpointed.
    pub fn owed_bytes(&mut self) -> Result<u64, Trouble> {
        let asked = self.connection()?.query_row(LENGTH, [], |row| row.get::<_, i64>(0));
        let length = asked.inspect_err(|_| self.let_go())? as u64;
        let file = std::fs::metadata(&self.location.path).map_or(length, |file| file.len());
        Ok(length.saturating_sub(file))
    }

    /// Closes the connection in order: the WAL is checkpointed.
    pub fn close(mut self) -> Result<(), Trouble> {
        match self.connection.take() {
            Some(connection) => Ok(connection.close().map_err(|(_, error)| error)?),
            None => Ok(()),
        }
    }
}
