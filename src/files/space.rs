//! Room on the disk: how much there is, and whether it is enough to go on writing.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long an answer of the system is good for.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// Asks the system for the free bytes of the database's disk; `None` if it does not say.
pub type FreeBytes = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// The disk, and what must stay free on it.
pub struct Space {
    ask: FreeBytes,
    min_free: u64,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    asked: Option<Instant>,
    free: Option<u64>,
    /// What the log takes of it when it is folded back.
    owed: u64,
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space").field("min_free", &self.min_free).finish_non_exhaustive()
    }
}

impl Space {
    /// `min_free` bytes stay free; 0: none need to.
    pub fn new(ask: FreeBytes, min_free: u64) -> Self {
        Self { ask, min_free, known: Mutex::default() }
    }

    /// The free bytes, asked for at most once a second.
    pub fn free(&self) -> Option<u64> {
        self.with_known(|known| known.free)
    }

    /// What must stay free.
    pub fn min_free(&self) -> u64 {
        self.min_free
    }

    /// Notes what folding the log back will take.
    pub fn owe(&self, bytes: u64) {
        self.with_known(|known| known.owed = bytes);
    }

    /// Whether nothing more may be written. A system that does not say how much is free is believed to
    /// have enough: SQLite says when it has not.
    pub fn is_short(&self) -> bool {
        let short = |known: &mut Known| {
            known.free.is_some_and(|free| free < self.min_free.saturating_add(known.owed))
        };
        self.min_free > 0 && self.with_known(short)
    }

    fn with_known<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.known.lock().expect("no panic holds this lock");
        if known.asked.is_none_or(|asked| asked.elapsed() >= GOOD_FOR) {
            known.asked = Some(Instant::now());
            known.free = (self.ask)();
        }
        look(&mut known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(free: Option<u64>, min_free: u64, owed: u64) -> bool {
        let space = Space::new(Arc::new(move || free), min_free);
        space.owe(owed);
        space.is_short()
    }

    #[test]
    fn what_must_stay_free_stays_free_after_the_log_is_folded_back() {
        assert!(!short(Some(100), 100, 0));
        assert!(short(Some(99), 100, 0));
        assert!(!short(Some(150), 100, 50));
        assert!(short(Some(149), 100, 50));
        assert!(short(Some(0), u64::MAX, u64::MAX), "sums do not overflow");
    }

    #[test]
    fn nothing_is_refused_without_a_reason() {
        assert!(!short(None, 100, 0), "the system does not say");
        assert!(!short(Some(0), 0, 1000), "nothing need stay free");
    }
}
