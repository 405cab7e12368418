//! What answers hold in flight, from their making until the client has taken them: bounded in bytes,
//! for all answers together, so that clients that do not read cannot fill the memory.
//!
//! A whole answer counts with its length, a stream with its window: the bytes it may make in advance.
//! A lowest window is a stream's own from its beginning to its end; wider ones are lent from piece to
//! piece while there are some. What finds no room waits for its turn, and is refused before it begins.

use super::problem::Problem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of all whole answers in flight and of the lowest windows of all streams.
pub const ANSWERS_MAX_BYTES: usize = 24 << 20;
/// Bytes that all streams together may have beyond their lowest windows.
pub const WINDOWS_MAX_BYTES: usize = 8 << 20;
/// Bytes of a whole answer that draw on nothing shared; the number of connections bounds them.
const FIRST_BYTES: usize = 64 << 10;
/// How long an answer waits for its turn before it is refused.
const WAIT: Duration = Duration::from_secs(2);
/// How long a stream that has begun waits: longer than clients are suffered that do not read.
const FURTHER_WAIT: Duration = Duration::from_mins(1);
/// How long room is called short after somebody had to wait.
const SHORT: Duration = Duration::from_secs(10);
/// Bytes that are counted as one: semaphores count in 32 bits.
const UNIT: usize = 1 << 10;

/// The bytes of all answers in flight.
#[derive(Debug, Clone)]
pub struct Flight {
    answers: Arc<Semaphore>,
    windows: Arc<Semaphore>,
    /// When somebody last had to wait.
    short: Arc<Mutex<Option<Instant>>>,
}

/// A part of them, given back on drop.
#[derive(Debug)]
pub struct Share {
    _permit: OwnedSemaphorePermit,
}

impl Share {
    fn of(permit: OwnedSemaphorePermit) -> Self {
        Self { _permit: permit }
    }
}

impl Default for Flight {
    fn default() -> Self {
        let bytes = |bytes: usize| Arc::new(Semaphore::new(bytes / UNIT));
        let short = Arc::default();
        Self { answers: bytes(ANSWERS_MAX_BYTES), windows: bytes(WINDOWS_MAX_BYTES), short }
    }
}

impl Flight {
    /// Room for a whole answer; `None` for one that needs none. A larger one than all the room there is
    /// goes out alone.
    pub async fn whole(&self, bytes: usize) -> Result<Option<Arc<Share>>, Problem> {
        if bytes <= FIRST_BYTES {
            return Ok(None);
        }
        Ok(Some(Arc::new(self.take(bytes, WAIT).await?)))
    }

    /// Room for a stream, from its beginning to its end.
    pub async fn stream(&self, bytes: usize) -> Result<Share, Problem> {
        self.take(bytes, WAIT).await
    }

    /// Room for a piece of a stream that turned out too large for its window.
    pub async fn piece(&self, bytes: usize) -> Result<Share, Problem> {
        self.take(bytes, FURTHER_WAIT).await
    }

    /// Bytes that are counted now.
    pub fn bytes(&self) -> usize {
        let free = self.answers.available_permits() + self.windows.available_permits();
        ANSWERS_MAX_BYTES + WINDOWS_MAX_BYTES - free * UNIT
    }

    fn at_once(&self, bytes: usize) -> Option<Share> {
        self.answers.clone().try_acquire_many_owned(units(bytes)).ok().map(Share::of)
    }

    /// What a stream may have beyond its lowest window, if there is room: a wider one, a compression.
    pub fn wider(&self, bytes: usize) -> Option<Share> {
        self.windows.clone().try_acquire_many_owned(units(bytes)).ok().map(Share::of)
    }

    /// Whether room is short, or was lately: clients that do not read have less time then.
    pub fn is_short(&self) -> bool {
        let short = *self.short.lock().unwrap_or_else(PoisonError::into_inner);
        short.is_some_and(|since| since.elapsed() < SHORT)
    }

    async fn take(&self, bytes: usize, wait: Duration) -> Result<Share, Problem> {
        if let Some(share) = self.at_once(bytes) {
            return Ok(share);
        }
        *self.short.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        let permit = self.answers.clone().acquire_many_owned(units(bytes));
        match tokio::time::timeout(wait, permit).await {
            Ok(Ok(permit)) => Ok(Share::of(permit)),
            _ => Err(Problem::too_many_answers()),
        }
    }
}

fn units(bytes: usize) -> u32 {
    bytes.min(ANSWERS_MAX_BYTES).div_ceil(UNIT) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_wait_for_room_and_get_it_in_turn() {
        let flight = Flight::default();
        let first = flight.whole(ANSWERS_MAX_BYTES * 2).await.unwrap();
        assert!(first.is_some(), "one larger than the room goes out alone");
        assert!(flight.whole(FIRST_BYTES).await.unwrap().is_none(), "a small one needs no room");
        assert!(!flight.is_short());
        assert!(flight.take(1, Duration::ZERO).await.is_err() && flight.is_short());
        let (waiting, ()) = tokio::join!(flight.whole(FIRST_BYTES + 1), async { drop(first) });
        assert!(waiting.unwrap().is_some());
        assert!(flight.at_once(ANSWERS_MAX_BYTES).is_some(), "all of it has come back");
    }

    #[test]
    fn wider_windows_leave_room_for_answers() {
        let flight = Flight::default();
        let wide: Vec<_> = std::iter::from_fn(|| flight.wider(1 << 20)).collect();
        assert_eq!(wide.len(), WINDOWS_MAX_BYTES >> 20);
        assert!(flight.at_once(ANSWERS_MAX_BYTES).is_some());
    }
}
