//! The body of `GET /status`, prepared: each host's row is kept as bytes and written anew only when
//! the host or the clock changes it; the whole is put together when somebody asks after a change. Rows
//! with a long list of files are not kept, nor is a body that is large.

use super::dto::StatusRow;
use super::flight::{Flight, Share};
use super::problem::Problem;
use super::respond::{Prepared, Wishes};
use super::stored::stored_files;
use crate::board::Board;
use crate::domain::state::HostState;
use crate::domain::time::{MINUTE, Timestamp};
use crate::views::Readers;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

/// Bytes up to which a body with lists out of the database is kept until the next is asked for.
const KEPT_BYTES: usize = 8 << 20;

/// The newest body and what it was made of.
#[derive(Debug, Default)]
pub struct PreparedStatus {
    newest: RwLock<Option<Snapshot>>,
    /// Whoever holds this puts the next body together; the others wait for it.
    rows: Mutex<Vec<Arc<Row>>>,
    /// Whose turn it is to make a body with lists out of the database.
    turn: tokio::sync::Mutex<()>,
}

/// A body, and how long it is good.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The rows.
    pub body: Arc<Prepared>,
    /// The room in flight of all answers with this body, while there are some.
    share: Arc<Mutex<Weak<Share>>>,
    /// The newest entry that the rows know.
    pub position: u64,
    version: u64,
    /// From when the body was made until the clock alone changes a row.
    good: std::ops::Range<Timestamp>,
}

#[derive(Debug)]
struct Row {
    state: Arc<HostState>,
    good: std::ops::Range<Timestamp>,
    /// `None` if a list of files must be looked up for it.
    json: Option<Vec<u8>>,
}

/// Rows being written as one array.
#[derive(Debug)]
pub struct Rows(Vec<u8>);

impl Default for Rows {
    fn default() -> Self {
        Self::of(0)
    }
}

impl Rows {
    /// For so many bytes of rows.
    fn of(bytes: usize) -> Self {
        let mut body = Vec::with_capacity(bytes + 2);
        body.push(b'[');
        Self(body)
    }

    /// Adds a row that is kept; answers whether it is.
    fn take(&mut self, row: &Row) -> bool {
        let Some(json) = &row.json else { return false };
        self.0.extend_from_slice(json);
        self.0.push(b',');
        true
    }

    /// Adds a row.
    pub fn push(&mut self, row: &StatusRow<'_>) {
        serde_json::to_writer(&mut self.0, row).expect("answers have only string keys");
        self.0.push(b',');
    }

    /// Ends the array.
    pub fn end(mut self) -> Vec<u8> {
        self.0.pop_if(|last| *last == b',');
        self.0.push(b']');
        self.0
    }
}

impl PreparedStatus {
    /// Brings the newest body up to the board and the clock; with the room in flight of one that is large.
    pub async fn renewed(
        &self,
        (board, readers): (&Board, &Readers),
        flight: &Flight,
        (version, now): (u64, Timestamp),
        wishes: &Wishes,
    ) -> Result<(Snapshot, Option<Arc<Share>>), Problem> {
        let (rows, version, position) = {
            let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(newest) = self.fresh(version, now) {
                return Ok((newest, None));
            }
            let (version, position) = renew(&mut rows, board, now);
            if rows.iter().all(|row| row.json.is_some()) {
                let bytes = rows.iter().flat_map(|row| &row.json).map(|json| json.len() + 1);
                let mut body = Rows::of(bytes.sum());
                for row in &*rows {
                    body.take(row);
                }
                let newest = Snapshot::of(body, &rows, (version, position), now);
                self.keep(newest.clone());
                return Ok((newest, None));
            }
            (rows.clone(), version, position)
        };
        // One after the other, and the next once the one before is on its way: each may be large.
        let _turn = self.turn.lock().await;
        let mut body = Rows::default();
        for row in &rows {
            if !body.take(row) {
                let stored = stored_files(readers, &row.state).await?;
                body.push(&StatusRow::of(&row.state, stored.as_ref(), now));
            }
        }
        let newest = Snapshot::of(body, &rows, (version, position), now);
        let bytes = newest.body.make_for(wishes);
        let share = newest.share(flight).await?;
        if bytes <= KEPT_BYTES {
            self.keep(newest.clone());
        }
        Ok((newest, share))
    }

    fn keep(&self, made: Snapshot) {
        let mut newest = self.newest.write().unwrap_or_else(PoisonError::into_inner);
        if newest.as_ref().is_none_or(|newest| newest.version <= made.version) {
            *newest = Some(made);
        }
    }

    /// The newest body, if neither the board nor the clock has changed it.
    pub fn fresh(&self, version: u64, now: Timestamp) -> Option<Snapshot> {
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner);
        let snapshot = newest.as_ref()?;
        (snapshot.version >= version && snapshot.good.contains(&now)).then(|| snapshot.clone())
    }
}

impl Snapshot {
    fn of(body: Rows, rows: &[Arc<Row>], (version, position): (u64, u64), now: Timestamp) -> Self {
        let end = rows.iter().map(|row| row.good.end).min().unwrap_or(Timestamp(i64::MAX));
        let (body, share) = (Arc::new(Prepared::new(body.end())), Arc::default());
        Self { body, share, position, version, good: now..end }
    }

    /// Room in flight for an answer with this body: once for all of them, which share its bytes.
    pub async fn share(&self, flight: &Flight) -> Result<Option<Arc<Share>>, Problem> {
        let held = || self.share.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = held().upgrade() {
            return Ok(Some(share));
        }
        let share = flight.whole(self.body.bytes()).await?;
        if let Some(share) = &share {
            *held() = Arc::downgrade(share);
        }
        Ok(share)
    }
}

/// Brings the rows up to the board; answers the board's version, and its newest entry.
fn renew(rows: &mut Vec<Arc<Row>>, board: &Board, now: Timestamp) -> (u64, u64) {
    let (states, version, position) = {
        let inner = board.read();
        (inner.present().cloned().collect::<Vec<_>>(), inner.version, inner.size)
    };
    let mut old = std::mem::take(rows).into_iter().peekable();
    rows.reserve(states.len());
    for state in states {
        while old.peek().is_some_and(|row| row.state.key < state.key) {
            old.next();
        }
        let kept = old.next_if(|row| Arc::ptr_eq(&row.state, &state) && row.good.contains(&now));
        rows.push(kept.unwrap_or_else(|| Arc::new(Row::new(state, now))));
    }
    (version, position)
}

impl Row {
    fn new(state: Arc<HostState>, now: Timestamp) -> Self {
        let json = state.stored_files().is_none().then(|| {
            serde_json::to_vec(&StatusRow::of(&state, None, now)).expect("only string keys")
        });
        let mut end = Timestamp(i64::MAX);
        if !state.is_stale(now) {
            end = end.min(Timestamp(state.stale_from().0.saturating_add(1)));
        }
        if let Some(start) = state.drift_start {
            let minutes = (now.0 - start.time.0).max(0) / MINUTE;
            end = end.min(Timestamp(start.time.0 + (minutes + 1) * MINUTE));
        }
        Self { state, good: now..end, json }
    }
}
