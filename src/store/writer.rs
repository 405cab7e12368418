//! What writes. One process has one [`Writer`], and only the recorder holds it.
//!
//! `load` reads what the recorder starts from, `lookups` what it asks while it folds, `commit` writes what
//! `steps` say. There are two connections, used in turn: sqlx's, and that of `direct`. Any error in a
//! transaction closes both (after a full disk, sqlx's bookkeeping of a failed transaction would refuse
//! every later one); the next use opens new ones.

mod batch;
mod commit;
mod courses;
mod direct;
mod load;
mod lookups;
mod pushes;
mod rename;
mod replay;
mod settle;
mod steps;
mod unsettled;

pub use batch::{
    Batch, CommitError, KeyRecord, NewEntry, PushedGrouping, REJECTIONS_KEPT, Refolded, Rejection,
    Renaming,
};
pub use courses::Disorder;
pub use load::Loaded;
pub(super) use load::written_states;
pub use lookups::Twin;
pub use pushes::LastRuns;
pub use settle::{Pace, Patience, settled_of};

pub(super) use commit::{rejection_from_row, run};
pub(super) use steps::{keep_states, keep_subtrees, note_out_of_order};

use super::connect::Location;
use super::dictionary::Dictionary;
use super::refold::PROJECTION;
use crate::domain::content::ContentDigest;
use crate::domain::report::{Run, Sender};
use crate::domain::time::Timestamp;
use direct::Direct;
use foldhash::{HashMap, HashMapExt};
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use std::sync::Arc;
use unsettled::Unsettled;

/// Dictionary numbers remembered per kind; above, the memory starts afresh.
const REMEMBERED: usize = 50_000;

const HEAD: &str = "SELECT origin FROM head";
const INSERT_HEAD: &str = "INSERT INTO head (id, origin, projected) VALUES (1, $1, $2)";

/// The writing connections and the numbers given.
#[derive(Debug)]
pub struct Writer {
    location: Location,
    connection: Option<SqliteConnection>,
    direct: Option<Direct>,
    /// Whether `connection` holds the write lock already, for the next commit.
    locked: bool,
    dictionary: Arc<Dictionary>,
    size: u64,
    /// See `head.settlings`.
    settlings: i64,
    /// See `head.timed`.
    timed: u64,
    /// See [`Writer::pages_written`].
    pages: u64,
    unsettled: Unsettled,
    pace: Pace,
    contents: Numbers<ContentDigest>,
    senders: Numbers<Sender>,
    runs: Numbers<Run>,
}

/// Numbers given to values of one dictionary.
#[derive(Debug)]
struct Numbers<T> {
    known: HashMap<T, i64>,
    last: i64,
}

impl<T: std::hash::Hash + Eq + Clone> Numbers<T> {
    fn new(last: i64) -> Self {
        Self { known: HashMap::new(), last }
    }

    /// The number of a value, new if it has none; `fresh` is told of new ones.
    fn number(&mut self, value: &T, fresh: impl FnOnce(i64)) -> i64 {
        if let Some(number) = self.known.get(value) {
            return *number;
        }
        self.last += 1;
        self.known.insert(value.clone(), self.last);
        fresh(self.last);
        self.last
    }

    fn keep_small(&mut self) {
        if self.known.len() > REMEMBERED {
            self.known = HashMap::new();
        }
    }
}

impl Writer {
    /// Opens the database, which must exist with the newest schema, and loads every host's state.
    /// `new_origin` names the history if it has no name yet.
    pub async fn open(
        location: &Location,
        dictionary: Arc<Dictionary>,
        new_origin: &str,
    ) -> Result<(Self, Loaded), sqlx::Error> {
        let mut writer = Self::closed(location, dictionary);
        let connection = writer.connection().await?;
        if sqlx::query(HEAD).fetch_optional(&mut *connection).await?.is_none() {
            sqlx::query(INSERT_HEAD).bind(new_origin).bind(PROJECTION).execute(connection).await?;
        }
        let loaded = writer.load().await?;
        Ok((writer, loaded))
    }

    /// Reads what [`Writer::open`] loads, without writing and without keeping a connection.
    pub async fn look(
        location: &Location,
        dictionary: &Arc<Dictionary>,
    ) -> Result<Loaded, sqlx::Error> {
        let mut writer = Self::closed(location, dictionary.clone());
        writer.connection = Some(location.open_reader().await?);
        writer.load().await
    }

    fn closed(location: &Location, dictionary: Arc<Dictionary>) -> Self {
        Self {
            location: location.clone(),
            connection: None,
            direct: None,
            locked: false,
            dictionary,
            size: 0,
            settlings: 0,
            timed: 0,
            pages: 0,
            unsettled: Unsettled::default(),
            pace: Pace::default(),
            contents: Numbers::new(0),
            senders: Numbers::new(0),
            runs: Numbers::new(0),
        }
    }

    pub(super) fn location(&self) -> &Location {
        &self.location
    }

    pub(super) async fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        if self.connection.is_none() {
            self.locked = false;
            self.connection = Some(self.location.open_writer().await?);
        }
        Ok(self.connection.as_mut().expect("it was just opened"))
    }

    /// Lets the connections go after any failure: what they were amid is unknown, and new ones are right
    /// for certain.
    fn let_go(&mut self) {
        (self.connection, self.direct) = (None, None);
    }

    pub(super) fn checked<T>(&mut self, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        if result.is_err() {
            self.let_go();
        }
        result
    }

    /// Takes the write lock ahead of the next commit: what is loaded from here on stays right until then.
    pub async fn lock(&mut self) -> Result<(), sqlx::Error> {
        self.unlock();
        let begun = sqlx::query(steps::BEGIN).execute(self.connection().await?).await;
        self.locked = begun.is_ok();
        self.checked(begun).map(|_| ())
    }

    /// Lets the write lock go if no commit has come of it.
    pub fn unlock(&mut self) {
        if std::mem::take(&mut self.locked) {
            self.let_go();
        }
    }

    /// Whether another process has written or settled since [`Writer::load`] and our own commits.
    pub async fn has_moved(&mut self) -> Result<bool, sqlx::Error> {
        let asked = settle::progress(self.connection().await?).await;
        Ok(self.checked(asked)? != (self.size, self.settlings))
    }

    /// Pages that commits have written to the log, about.
    pub fn pages_written(&self) -> u64 {
        self.pages
    }

    /// Notes what a commit writes to the log, about: the head, and the ends of the history and now and then of
    /// its index; what is `new` to the dictionaries; for each host settled the ends of its index and its state;
    /// for each key its place in two indexes.
    fn note_pages(&mut self, rows: usize, new: usize, hosts: usize, keys: usize) {
        const ROWS_OF_A_PAGE: usize = 64;
        const PAGE_BYTES: usize = 4096;
        let pages = 3 + rows / ROWS_OF_A_PAGE + new / PAGE_BYTES + 2 * (hosts + keys);
        self.pages += pages as u64;
    }

    /// Tries to write: takes the write lock and lets it go; `really` commits a change.
    pub async fn probe(&mut self, really: bool, now: Timestamp) -> Result<(), sqlx::Error> {
        let sql = if really {
            "BEGIN IMMEDIATE; UPDATE head SET probed_at = $1; COMMIT;"
        } else {
            "BEGIN IMMEDIATE; UPDATE head SET probed_at = $1; ROLLBACK;"
        };
        let result = sqlx::query(sql).bind(now.0).execute(self.connection().await?).await;
        self.checked(result).map(|_| ())
    }

    /// Closes the connections in order: the WAL is folded back into the file.
    pub async fn close(mut self) -> Result<(), sqlx::Error> {
        self.direct = None;
        match self.connection.take() {
            Some(connection) => connection.close().await,
            None => Ok(()),
        }
    }
}
