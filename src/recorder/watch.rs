//! Whether the machine's clock can be believed.
//!
//! `received_at` stays for good and never decreases: one entry of a wrong time ahead would take all later ones
//! along. So nothing is recorded while the clock is wrong by more than an hour. The machine is not asked here:
//! its clocks are handed in (`commands::clock`).

use crate::domain::time::{MINUTE, Timestamp};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The clock: microseconds UTC. Handed in, so that tests can freeze it.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Microseconds since the machine was started, suspended or not. Nobody can set it.
pub type Uptime = Arc<dyn Fn() -> i64 + Send + Sync>;

/// How far the clock may be wrong, in microseconds: what NTP corrects at once, time zones left out, is less.
pub const CLOCK_TOLERANCE: i64 = 60 * MINUTE;
/// Corrections that are each within the tolerance are forgotten after this time, in microseconds: over a year
/// they may add up to more.
const CORRECTIONS_FORGOTTEN: i64 = 24 * 60 * MINUTE;

/// Why the clock cannot be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClockFault {
    /// It was never set: the program is younger than that.
    #[error("the clock says {now}, but this program was built at {built}")]
    BeforeBuild {
        /// What the clock says.
        now: Timestamp,
        /// When the program was built.
        built: Timestamp,
    },
    /// It was set ahead, or the machine stood still and did not notice.
    #[error("the clock has jumped ahead to {now}, which is {} later than the time that has passed", span(*by))]
    JumpedAhead {
        /// What the clock says.
        now: Timestamp,
        /// Microseconds that did not pass.
        by: i64,
    },
    /// It was set back, or something was recorded while it was ahead.
    #[error("the newest entry of the history is of {newest}, but the clock says {now}")]
    BehindHistory {
        /// What the clock says.
        now: Timestamp,
        /// The newest `received_at`.
        newest: Timestamp,
    },
}

impl ClockFault {
    /// As `/metrics` calls them.
    pub const WORDS: [&str; 3] = ["before_build", "jumped_ahead", "behind_history"];

    /// As `/metrics` calls it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::BeforeBuild { .. } => Self::WORDS[0],
            Self::JumpedAhead { .. } => Self::WORDS[1],
            Self::BehindHistory { .. } => Self::WORDS[2],
        }
    }

    /// What to do, after a colon.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::BeforeBuild { .. } => "set the clock",
            Self::JumpedAhead { .. } => "set the clock; if it is right now, start the server again",
            Self::BehindHistory { .. } => {
                "set the clock; if it is right, see \"A clock that jumps\" in docs/operations.md"
            }
        }
    }
}

/// `3 h`, `12 d`: rounded down.
fn span(micros: i64) -> String {
    let hours = micros / (60 * MINUTE);
    if hours < 48 { format!("{hours} h") } else { format!("{} d", hours / 24) }
}

/// Watches the clock.
pub struct Watch {
    clock: Clock,
    /// Without it a jump ahead cannot be told from time that passes.
    uptime: Option<Uptime>,
    built: Timestamp,
    seen: Mutex<Seen>,
}

/// What was seen of the clock so far.
#[derive(Default)]
struct Seen {
    reference: Option<Reference>,
    /// The last time that was believed.
    believed: Timestamp,
    /// The newest `received_at` that was told of.
    newest: Timestamp,
    /// What was found last.
    fault: Option<ClockFault>,
}

/// What a jump ahead is measured from.
#[derive(Clone, Copy)]
struct Reference {
    /// The clock's time less the uptime, in microseconds: only a step of the clock changes it.
    offset: i64,
    /// The uptime at which it was taken, in microseconds.
    taken: i64,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("fault", &self.seen().fault).finish_non_exhaustive()
    }
}

impl Watch {
    /// Watches a clock beside the uptime; nothing before `built` is believed.
    pub fn new(clock: Clock, uptime: Option<Uptime>, built: Timestamp) -> Self {
        Self { clock, uptime, built, seen: Mutex::default() }
    }

    /// The time if it can be believed, else the last that could be: the clock may jump between a check and the
    /// entry that is recorded then.
    pub fn now(&self) -> Timestamp {
        let mut seen = self.seen();
        self.believe(&mut seen).unwrap_or(seen.believed)
    }

    /// An error while the clock cannot be believed beside a history whose newest entry came at `newest`.
    pub fn check(&self, newest: Timestamp) -> Result<(), ClockFault> {
        self.seen().newest = newest;
        self.fault().map_or(Ok(()), Err)
    }

    /// Why the clock cannot be believed, beside the history of the last [`check`](Self::check). The log says when
    /// that begins and when it ends.
    pub fn fault(&self) -> Option<ClockFault> {
        let mut seen = self.seen();
        let fault = self.believe(&mut seen).err();
        let before = std::mem::replace(&mut seen.fault, fault);
        match fault {
            Some(fault) if before.map(|before| before.word()) != Some(fault.word()) => {
                tracing::error!("{fault}; reports are refused: {}", fault.remedy());
            }
            None if before.is_some() => tracing::info!("the clock can be believed again"),
            _ => {}
        }
        fault
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn believe(&self, seen: &mut Seen) -> Result<Timestamp, ClockFault> {
        let (now, newest) = ((self.clock)(), seen.newest);
        if now < self.built {
            return Err(ClockFault::BeforeBuild { now, built: self.built });
        }
        if newest.0 > now.0.saturating_add(CLOCK_TOLERANCE) {
            return Err(ClockFault::BehindHistory { now, newest });
        }
        if let Some(uptime) = &self.uptime {
            // Asked for behind the clock: what happens in between makes the offset smaller, not larger.
            let uptime = uptime();
            let offset = now.0.saturating_sub(uptime);
            // Only now: until the clock is set for the first time, nothing was recorded by it.
            let reference = seen.reference.get_or_insert(Reference { offset, taken: uptime });
            let by = offset.saturating_sub(reference.offset);
            if by > CLOCK_TOLERANCE {
                return Err(ClockFault::JumpedAhead { now, by });
            }
            if uptime - reference.taken >= CORRECTIONS_FORGOTTEN {
                // Never less: a clock that was set back and is put right has not jumped ahead.
                let offset = offset.max(reference.offset);
                *reference = Reference { offset, taken: uptime };
            }
        }
        seen.believed = now;
        Ok(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    const BUILT: Timestamp = Timestamp(1_000 * HOUR);
    const HOUR: i64 = CLOCK_TOLERANCE;

    /// A watch, with its clock and uptime to be set in microseconds.
    struct Steered {
        watch: Watch,
        wall: Arc<AtomicI64>,
        up: Arc<AtomicI64>,
    }

    impl Steered {
        fn at(wall: i64) -> Self {
            let (wall, up) = (Arc::new(AtomicI64::new(wall)), Arc::new(AtomicI64::new(7)));
            let (asked, passed) = (wall.clone(), up.clone());
            let clock = Arc::new(move || Timestamp(asked.load(Ordering::SeqCst)));
            let uptime: Uptime = Arc::new(move || passed.load(Ordering::SeqCst));
            Self { watch: Watch::new(clock, Some(uptime), BUILT), wall, up }
        }

        fn step(&self, by: i64) -> Option<&'static str> {
            self.wall.fetch_add(by, Ordering::SeqCst);
            self.word()
        }

        fn pass(&self, time: i64) -> Option<&'static str> {
            self.up.fetch_add(time, Ordering::SeqCst);
            self.step(time)
        }

        fn word(&self) -> Option<&'static str> {
            self.watch.fault().map(|fault| fault.word())
        }
    }

    #[test]
    fn more_than_an_hour_ahead_is_a_jump_until_it_is_put_right() {
        let clock = Steered::at(2_000 * HOUR);
        assert_eq!(clock.word(), None);
        assert_eq!(clock.pass(10_000 * HOUR), None, "time that passes, suspended or not");
        assert_eq!(clock.step(HOUR), None);
        assert_eq!(clock.step(1), Some("jumped_ahead"));
        assert_eq!(clock.watch.now(), Timestamp(12_001 * HOUR), "the last that was believed");
        assert_eq!(clock.pass(48 * HOUR), Some("jumped_ahead"), "time does not heal it");
        assert_eq!(clock.step(-1), None);
        assert_eq!(clock.watch.now(), Timestamp(12_049 * HOUR));
    }

    #[test]
    fn corrections_do_not_add_up_over_days_but_over_one() {
        let clock = Steered::at(2_000 * HOUR);
        for _ in 0..5 {
            assert_eq!(clock.step(HOUR), None);
            assert_eq!(clock.pass(24 * HOUR), None);
        }
        assert_eq!(clock.step(HOUR), None);
        assert_eq!(clock.pass(24 * HOUR - 1), None);
        assert_eq!(clock.step(1), Some("jumped_ahead"));
    }

    #[test]
    fn set_back_and_put_right_after_days_is_no_jump() {
        let clock = Steered::at(2_000 * HOUR);
        assert_eq!(clock.word(), None);
        assert_eq!(clock.step(-900 * HOUR), None, "nothing was recorded yet");
        assert_eq!(clock.pass(48 * HOUR), None);
        assert_eq!(clock.step(900 * HOUR), None);
    }

    #[test]
    fn before_the_build_it_is_waited_for_and_the_first_step_is_free() {
        let clock = Steered::at(0);
        assert_eq!(clock.word(), Some("before_build"));
        assert_eq!(clock.pass(HOUR), Some("before_build"));
        assert_eq!(clock.step(999 * HOUR), None, "the very time of the build");
        assert_eq!(clock.step(2 * HOUR), Some("jumped_ahead"), "the second step is not");
        assert_eq!(clock.step(-3 * HOUR), Some("before_build"));
        assert_eq!(clock.step(HOUR), None);
    }

    #[test]
    fn behind_since_the_start_the_first_step_is_free_as_well() {
        let clock = Steered::at(2_000 * HOUR);
        assert!(clock.watch.check(Timestamp(2_100 * HOUR)).is_err());
        assert_eq!(clock.step(100 * HOUR), None);
        assert_eq!(clock.step(HOUR + 1), Some("jumped_ahead"));
    }

    #[test]
    fn a_history_more_than_an_hour_ahead_is_not_gone_on_with() {
        let clock = Steered::at(2_000 * HOUR);
        assert_eq!(clock.watch.check(Timestamp(2_001 * HOUR)), Ok(()));
        let newest = Timestamp(2_001 * HOUR + 1);
        let fault = ClockFault::BehindHistory { now: Timestamp(2_000 * HOUR), newest };
        assert_eq!(clock.watch.check(newest), Err(fault));
        assert_eq!(clock.word(), Some("behind_history"));
        assert_eq!(clock.pass(1), None, "time passes");
        assert_eq!(clock.step(-1), Some("behind_history"));
        assert_eq!(clock.watch.now(), Timestamp(2_000 * HOUR + 1), "the last that was believed");
    }
}
