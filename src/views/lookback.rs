//! Looking back: every host's course over a stretch of time, as it is known now, or as it was known
//! when the history had a certain length (`as_of`).
//!
//! Only segments and episodes are read, and current state. What was known earlier differs from what
//! is written down in two ways: the end is earlier, and entries out of order that came since are
//! taken out again by folding from before them.

mod attributes;
pub mod episodes;
mod hosts;
mod segments;
mod states;

use crate::domain::content::Content;
use crate::domain::course::{Change, Course};
use crate::domain::names::HostKey;
use crate::domain::review::Attributes;
use crate::domain::time::Timestamp;
use crate::files::trouble::Trouble;
use crate::projection::courses::Names;
use crate::projection::index::Index;
use crate::views::readers::{ReadError, Readers, Width};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use std::sync::Arc;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// From when (inclusive); `None` for the beginning.
    pub from: Option<Timestamp>,
    /// Until when (exclusive); `None` for now.
    pub to: Option<Timestamp>,
    /// Only entries up to this id count, and *now* is when it came; `None` for all, and the clock.
    pub as_of: Option<u64>,
    /// Only entries up to this time (inclusive) count.
    pub at: Option<Timestamp>,
    /// Only entries received up to this time count.
    pub known_at: Option<Timestamp>,
    /// What the clock says.
    pub now: Timestamp,
}

impl Question {
    /// Everything there is, now.
    pub fn now(now: Timestamp) -> Self {
        Self { from: None, to: None, as_of: None, at: None, known_at: None, now }
    }
}

/// Which hosts are asked for.
pub trait HostChoice {
    /// Whether a host of this name may be one of them.
    fn names(&self, key: &HostKey) -> bool;
    /// Whether what a host was at the end of the stretch passes.
    fn passes(&self, found: &Attributes) -> bool;
    /// How much there is to look at.
    fn width(&self) -> Width {
        Width::Wide
    }
}

/// One host by its name.
impl HostChoice for HostKey {
    fn names(&self, key: &HostKey) -> bool {
        key == self
    }

    fn passes(&self, _: &Attributes) -> bool {
        true
    }

    fn width(&self) -> Width {
        Width::Host
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LookbackError {
    /// There is no entry of that id yet; the newest one is named.
    #[error("there is no entry {0}; the newest is {1}")]
    Ahead(u64, u64),
    /// When that entry came, the stretch had not begun.
    #[error("entry {0} came at {1}, when the period had not begun")]
    NotBegun(u64, Timestamp),
    /// Not in time, or not at all.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// One host, looked back at.
#[derive(Debug, Clone)]
pub struct Past {
    /// What it was at the end of the stretch.
    pub attributes: Attributes,
    names: Names,
    /// Its course at the end of what is known.
    pub course: Course,
    /// What is written down is right for what ended up to here,
    resumed: Course,
    /// and this follows.
    since: Vec<Change>,
    /// What the newest deployment before the end of the stretch said; not filled in where the stretch
    /// ends now.
    deployed: Option<Arc<Content>>,
}

/// A look back: a snapshot of the database, and the hosts asked for.
#[derive(Debug)]
pub struct Lookback<'c> {
    connection: &'c mut SqliteConnection,
    index: Index,
    /// The newest id that counts.
    pub as_of: u64,
    /// The newest id there is.
    pub head: u64,
    /// The end of what is known.
    pub now: Timestamp,
    /// The stretch: from inclusive, to exclusive, never behind `now`.
    pub from: Timestamp,
    /// See `from`.
    pub to: Timestamp,
    /// The hosts.
    pub hosts: Vec<Past>,
    at: Option<Timestamp>,
}

const HEAD: &str = "SELECT size FROM head";
const RECEIVED_AT: &str = "SELECT received_at FROM drift_history WHERE seq = $1";

impl Readers {
    /// Looks back at the hosts that pass, and asks more about them in the same snapshot.
    pub async fn look_back<T>(
        &self,
        question: Question,
        choice: &impl HostChoice,
        more: impl AsyncFnOnce(&mut Lookback<'_>) -> Result<T, Trouble>,
    ) -> Result<T, LookbackError> {
        let mut reader = self.acquire_longer(choice.width()).await?;
        let answer = reader.ask(async |connection| {
            let mut snapshot = connection.begin().await?;
            let head = sqlx::query(HEAD).fetch_one(&mut *snapshot).await?;
            let size = head.try_get::<i64, _>(0)? as u64;
            if let Some(ahead) = question.as_of.filter(|as_of| *as_of > size) {
                return Ok(Err(LookbackError::Ahead(ahead, size)));
            }
            let mut question = question;
            if let Some(time) = question.known_at {
                question.as_of = Some(known_at(&mut snapshot, size, time).await?);
            }
            let mut lookback = Lookback::new(&mut snapshot, question, size).await?;
            let live = question.as_of.is_none() && question.at.is_none();
            lookback.find_hosts(self, live, choice).await?;
            let answer = more(&mut lookback).await.map_err(sqlx::Error::from)?;
            snapshot.commit().await?;
            Ok(Ok(answer))
        });
        answer.await?
    }
}

impl<'c> Lookback<'c> {
    async fn new(
        connection: &'c mut SqliteConnection,
        question: Question,
        size: u64,
    ) -> Result<Self, sqlx::Error> {
        let now = match question.as_of {
            None => question.now,
            Some(0) => Timestamp(0),
            Some(as_of) => {
                let query = sqlx::query(RECEIVED_AT).bind(as_of as i64);
                Timestamp(query.fetch_one(&mut *connection).await?.try_get(0)?)
            }
        };
        Ok(Self {
            connection,
            index: Index::PROJECTED,
            as_of: question.as_of.unwrap_or(size),
            head: size,
            now,
            from: question.from.unwrap_or(Timestamp(i64::MIN)),
            to: question.at.or(question.to).map_or(now, |to| to.min(now)),
            hosts: Vec::new(),
            at: question.at,
        })
    }

    /// Behind the last time that counts: no entry's time lies behind its arrival.
    fn end(&self) -> Timestamp {
        let last = self.at.map_or(self.now, |at| at.min(self.now));
        Timestamp(last.0.saturating_add(1))
    }
}

/// The newest id received up to a time: arrival never goes back as ids rise.
async fn known_at(
    connection: &mut SqliteConnection,
    size: u64,
    time: Timestamp,
) -> Result<u64, sqlx::Error> {
    let (mut known, mut unknown) = (0, size + 1);
    while unknown - known > 1 {
        let middle = known + (unknown - known) / 2;
        let query = sqlx::query(RECEIVED_AT).bind(middle as i64);
        let received: i64 = query.fetch_one(&mut *connection).await?.try_get(0)?;
        if received <= time.0 { known = middle } else { unknown = middle }
    }
    Ok(known)
}

impl Past {
    /// The host's number.
    pub fn root(&self) -> i64 {
        self.names.root
    }

    /// Where segments that are written down stop being right.
    fn written_until(&self) -> Timestamp {
        match self.resumed.open {
            Some(open) => open.start,
            None => Timestamp(self.resumed.last.0.saturating_add(1)),
        }
    }
}
