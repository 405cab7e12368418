//! Refusals because too much came at once. Each is counted; the log gets a line a minute, not one
//! for each: whoever causes them would fill it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The log says so again after this time.
const LINE_EVERY: Duration = Duration::from_mins(1);

/// What there was too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overload {
    /// Bodies being sent.
    Bodies,
    /// Reports waiting to be recorded.
    Reports,
    /// Questions to the database.
    Questions,
    /// Bytes of answers that their clients have not taken yet.
    Answers,
}

impl Overload {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Bodies, Self::Reports, Self::Questions, Self::Answers];

    /// As `/metrics` and the log call it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bodies => "bodies",
            Self::Reports => "reports",
            Self::Questions => "questions",
            Self::Answers => "answers",
        }
    }
}

/// When the log has said what, and how many refusals it has not told of since.
#[derive(Debug, Default)]
pub struct Lines(Mutex<[Line; Overload::ALL.len()]>);

#[derive(Debug, Default)]
struct Line {
    last: Option<Instant>,
    untold: u64,
}

impl Lines {
    /// Logs a refusal, unless the log has said so lately.
    pub fn refused(&self, overload: Overload) {
        if let Some(refused) = self.due(overload, Instant::now()) {
            tracing::warn!(
                what = overload.word(),
                refused,
                "too many at once: answered 503; for a minute further refusals are only counted"
            );
        }
    }

    /// How many refusals a line tells of, if it is time for one.
    fn due(&self, overload: Overload, now: Instant) -> Option<u64> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = &mut lines[overload as usize];
        line.untold += 1;
        if line.last.is_some_and(|last| now.saturating_duration_since(last) < LINE_EVERY) {
            return None;
        }
        line.last = Some(now);
        Some(std::mem::take(&mut line.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_of_refusals_is_one_line_and_the_next_tells_how_many() {
        let (lines, begun) = (Lines::default(), Instant::now());
        let due = |overload, seconds| lines.due(overload, begun + Duration::from_secs(seconds));
        assert_eq!(due(Overload::Bodies, 0), Some(1));
        for second in 1..60 {
            assert_eq!(due(Overload::Bodies, second), None);
        }
        assert_eq!(due(Overload::Reports, 5), Some(1));
        assert_eq!(due(Overload::Bodies, 60), Some(60));
        assert_eq!(due(Overload::Bodies, 61), None);
    }
}
