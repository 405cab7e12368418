//! Read-only connections with a deadline inside SQLite: dropping a query's future does not stop
//! SQLite, a progress handler that looks at the clock does.

use crate::files::connect::Location;
use crate::files::trouble::code_of;
use crate::ledger::dictionary::Dictionary;
use crate::projection::index;
use sqlx::sqlite::SqliteConnection;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};

/// How long somebody waits for a connection before it is said that too many read at once.
const WAIT: Duration = Duration::from_secs(2);
/// How long a question may take whose answer has begun: a stream would break off.
const FURTHER_DEADLINE: Duration = Duration::from_mins(1);
/// SQLite's virtual-machine steps between two looks at the clock (some tens of microseconds).
const STEPS_PER_LOOK: i32 = 10_000;

/// SQLite's code of a query that its progress handler ended.
const INTERRUPTED: i64 = 9;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It took longer than the deadline.
    #[error("the query took longer than it may")]
    TooSlow,
    /// All connections are taken.
    #[error("too many questions at once")]
    Busy,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl ReadError {
    /// The task that asked was cancelled.
    pub fn cancelled() -> Self {
        Self::Database(sqlx::Error::PoolClosed)
    }
}

/// How much a question looks at. Each width has connections of its own: nobody who asks for little
/// waits for those who ask for much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// A row, a proof, a page along one index.
    Small,
    /// What one host was.
    Host,
    /// Whatever walks through many hosts or entries.
    Wide,
}

/// Pools of read-only connections; cheap to clone handles of it around in an `Arc`.
#[derive(Debug)]
pub struct Readers {
    location: Location,
    dictionary: Arc<Dictionary>,
    small: Pool,
    host: Pool,
    wide: Pool,
    /// Probes have a connection of their own: a busy server is ready all the same.
    probes: Pool,
    deadline: Duration,
    started: Instant,
}

/// Connections, as many as there are permits.
#[derive(Debug)]
struct Pool {
    idle: Mutex<Vec<Timed>>,
    permits: Semaphore,
}

impl Pool {
    fn new(connections: usize) -> Self {
        Self { idle: Mutex::new(Vec::new()), permits: Semaphore::new(connections) }
    }
}

/// A connection and the moment (in milliseconds since `started`) its present query must end.
#[derive(Debug)]
struct Timed {
    connection: SqliteConnection,
    deadline: Arc<AtomicU64>,
}

impl Readers {
    /// At most `connections` of each width at once; they are opened as they are needed. A question may
    /// take as long as `deadline`.
    pub fn new(
        location: &Location,
        dictionary: Arc<Dictionary>,
        connections: usize,
        deadline: Duration,
    ) -> Self {
        Self {
            location: location.clone(),
            dictionary,
            small: Pool::new(connections),
            host: Pool::new(connections),
            wide: Pool::new(connections),
            probes: Pool::new(1),
            deadline,
            started: Instant::now(),
        }
    }

    /// Bytes of the database's files on disk: `main` and `wal`; 0 for one that is not there.
    pub fn file_sizes(&self) -> [(&'static str, u64); 2] {
        let main = std::fs::metadata(&self.location.path).map_or(0, |file| file.len());
        [("main", main), ("wal", self.location.log_bytes())]
    }

    /// What the narrow rows refer to.
    pub fn dictionary(&self) -> &Dictionary {
        &self.dictionary
    }

    /// A connection whose queries end at the deadline counted from now.
    pub async fn acquire(&self, width: Width) -> Result<Reader<'_>, ReadError> {
        self.take(self.pool(width), self.deadline).await
    }

    /// The same with more time: for answers that have begun, and for such that look at much.
    pub async fn acquire_longer(&self, width: Width) -> Result<Reader<'_>, ReadError> {
        self.take(self.pool(width), FURTHER_DEADLINE.max(self.deadline)).await
    }

    const fn pool(&self, width: Width) -> &Pool {
        match width {
            Width::Small => &self.small,
            Width::Host => &self.host,
            Width::Wide => &self.wide,
        }
    }

    /// The connection of probes.
    pub async fn acquire_for_probe(&self) -> Result<Reader<'_>, ReadError> {
        self.take(&self.probes, self.deadline).await
    }

    async fn take<'r>(
        &'r self,
        pool: &'r Pool,
        deadline: Duration,
    ) -> Result<Reader<'r>, ReadError> {
        let permit = tokio::time::timeout(WAIT, pool.permits.acquire()).await;
        let permit = permit.map_err(|_| ReadError::Busy)?;
        let permit = permit.map_err(|_| sqlx::Error::PoolClosed)?;
        let idle = pool.idle.lock().expect("no panic holds this lock").pop();
        let timed = match idle {
            Some(timed) => timed,
            None => self.open().await?,
        };
        let ends = self.started.elapsed() + deadline;
        timed.deadline.store(ends.as_millis() as u64, Ordering::Relaxed);
        Ok(Reader { timed: Some(timed), clean: true, pool, _permit: permit })
    }

    /// Closes the idle connections and waits until they are closed, so that the writer, closing
    /// last, can fold the WAL back into the file.
    pub async fn close(&self) {
        use sqlx::Connection;
        for pool in [&self.small, &self.host, &self.wide, &self.probes] {
            pool.permits.close();
            let idle = std::mem::take(&mut *pool.idle.lock().expect("no panic holds this lock"));
            for timed in idle {
                let _ = timed.connection.close().await;
            }
        }
    }

    async fn open(&self) -> Result<Timed, sqlx::Error> {
        let mut connection = self.location.open_lister().await?;
        sqlx::query(index::CREATE_TAIL).execute(&mut connection).await?;
        let deadline = Arc::new(AtomicU64::new(u64::MAX));
        let (limit, started) = (deadline.clone(), self.started);
        let in_time = move || started.elapsed().as_millis() as u64 <= limit.load(Ordering::Relaxed);
        connection.lock_handle().await?.set_progress_handler(STEPS_PER_LOOK, in_time);
        Ok(Timed { connection, deadline })
    }
}

/// A connection on loan. It goes back only if its last query was seen to its end: an abandoned one
/// may still be running.
#[derive(Debug)]
pub struct Reader<'r> {
    timed: Option<Timed>,
    clean: bool,
    pool: &'r Pool,
    _permit: SemaphorePermit<'r>,
}

impl Reader<'_> {
    /// Runs one question to its end; an interrupted one is [`ReadError::TooSlow`].
    pub async fn ask<T>(
        &mut self,
        question: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, ReadError> {
        self.clean = false;
        let result = question(self).await;
        match result {
            Ok(value) => {
                self.clean = true;
                Ok(value)
            }
            Err(error) if code_of(&error) == Some(INTERRUPTED) => {
                self.clean = true;
                Err(ReadError::TooSlow)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Deref for Reader<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.timed.as_ref().expect("it is taken only on drop").connection
    }
}

impl DerefMut for Reader<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.timed.as_mut().expect("it is taken only on drop").connection
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if let Some(timed) = self.timed.take()
            && self.clean
        {
            self.pool.idle.lock().expect("no panic holds this lock").push(timed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Hold, Role, create_or_check};

    #[tokio::test]
    async fn who_asks_for_little_does_not_wait_for_who_asks_for_much() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location { path: folder.path().join("readers.db") };
        let hold = Hold::take(&location, Role::Serve).await.unwrap();
        create_or_check(&location, &hold).await.unwrap();
        let readers = Readers::new(&location, Arc::default(), 2, WAIT);
        let widths = [Width::Small, Width::Host, Width::Wide];
        for width in widths {
            let taken = (readers.acquire(width).await, readers.acquire_longer(width).await);
            assert!(taken.0.is_ok() && taken.1.is_ok());
            let third = tokio::time::timeout(Duration::ZERO, readers.acquire(width)).await;
            assert!(third.is_err(), "{width:?} has two");
            for other in widths.into_iter().filter(|other| *other != width) {
                readers.acquire(other).await.unwrap();
            }
            readers.acquire_for_probe().await.unwrap();
        }
    }
}
