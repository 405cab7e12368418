//! The body of `GET /status`, prepared: each host's row is kept as bytes and written anew only when
//! the host or the clock changes it; the whole is put together when somebody asks after a change.

use super::dto::StatusRow;
use super::flight::{Flight, Share};
use super::problem::Problem;
use super::respond::Prepared;
use crate::board::Board;
use crate::domain::state::HostState;
use crate::domain::time::{MINUTE, Timestamp};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

/// The newest body and what it was made of.
#[derive(Debug, Default)]
pub struct PreparedStatus {
    newest: RwLock<Option<Snapshot>>,
    /// Whoever holds this puts the next body together; the others wait for it.
    rows: Mutex<Vec<Row>>,
}

/// A body, and how long it is good.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The rows.
    pub body: Arc<Prepared>,
    /// The room in flight of all answers with this body, while there are some.
    share: Arc<Mutex<Weak<Share>>>,
    version: u64,
    /// From when the body was made until the clock alone changes a row.
    good: std::ops::Range<Timestamp>,
}

#[derive(Debug)]
struct Row {
    state: Arc<HostState>,
    good: std::ops::Range<Timestamp>,
    json: Vec<u8>,
}

impl PreparedStatus {
    /// Brings the newest body up to the board and the clock.
    pub fn renewed(&self, board: &Board, version: u64, now: Timestamp) -> Snapshot {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(newest) = self.fresh(version, now) {
            return newest;
        }
        let version = renew(&mut rows, board, now);
        let snapshot = assemble(&rows, version, now);
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = Some(snapshot.clone());
        snapshot
    }

    /// The newest body, if neither the board nor the clock has changed it.
    pub fn fresh(&self, version: u64, now: Timestamp) -> Option<Snapshot> {
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner);
        let snapshot = newest.as_ref()?;
        (snapshot.version >= version && snapshot.good.contains(&now)).then(|| snapshot.clone())
    }
}

impl Snapshot {
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

/// Brings the rows up to the board; answers the board's version.
fn renew(rows: &mut Vec<Row>, board: &Board, now: Timestamp) -> u64 {
    let (states, version) = {
        let inner = board.read();
        (inner.present().cloned().collect::<Vec<_>>(), inner.version)
    };
    let mut old = std::mem::take(rows).into_iter().peekable();
    rows.reserve(states.len());
    for state in states {
        while old.peek().is_some_and(|row| row.state.key < state.key) {
            old.next();
        }
        let kept = old.next_if(|row| Arc::ptr_eq(&row.state, &state) && row.good.contains(&now));
        rows.push(kept.unwrap_or_else(|| Row::new(state, now)));
    }
    version
}

fn assemble(rows: &[Row], version: u64, now: Timestamp) -> Snapshot {
    let bytes: usize = rows.iter().map(|row| row.json.len() + 1).sum();
    let mut body = Vec::with_capacity(bytes + 2);
    body.push(b'[');
    for row in rows {
        body.extend_from_slice(&row.json);
        body.push(b',');
    }
    if !rows.is_empty() {
        body.pop();
    }
    body.push(b']');
    let end = rows.iter().map(|row| row.good.end).min().unwrap_or(Timestamp(i64::MAX));
    let (body, share) = (Arc::new(Prepared::new(body)), Arc::default());
    Snapshot { body, share, version, good: now..end }
}

impl Row {
    fn new(state: Arc<HostState>, now: Timestamp) -> Self {
        let json = serde_json::to_vec(&StatusRow::of(&state, now)).expect("only string keys");
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
