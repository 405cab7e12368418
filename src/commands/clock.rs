//! The machine's clocks. Nobody else asks for the time.

use crate::domain::time::{SECOND, Timestamp};
use crate::recorder::{Clock, Uptime};
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;

/// Goes on while the machine is suspended. Elsewhere (macOS, the BSDs) the monotonic clock does.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UPTIME: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const UPTIME: ClockId = ClockId::Monotonic;

/// The machine's clock.
pub fn system_clock() -> Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    Arc::new(|| Timestamp(chrono::Utc::now().timestamp_micros()))
}

/// The time since the machine was started.
pub(super) fn system_uptime() -> Uptime {
    Arc::new(|| {
        let uptime = clock_gettime(UPTIME);
        uptime.tv_sec * SECOND + uptime.tv_nsec / 1000
    })
}

/// When this program was built, or a time not long before: see `build.rs`.
pub(super) fn built() -> Timestamp {
    let seconds: i64 = env!("BUILT_AT").parse().expect("build.rs has checked it");
    Timestamp(seconds * SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_older_than_its_start_and_younger_than_this_program() {
        let (now, uptime) = (system_clock()(), system_uptime()());
        assert!(built() < now, "{} {now}", built());
        assert!((1..now.0).contains(&uptime), "{uptime}");
        assert!(system_uptime()() >= uptime);
    }
}
