//! The faults, by name.

mod clients;
mod clock;
mod disk_full;
mod io_error;
mod kill;
mod late;
mod neighbours;
mod power_cut;
mod queue_full;
mod read_only;
mod slow_export;
mod snapshot;
mod stop;

use crate::run::{Outcome, Run};

/// A fault.
pub struct Fault {
    pub name: &'static str,
    /// What happens, in a sentence.
    pub says: &'static str,
    /// Part of the short run.
    pub short: bool,
    pub run: fn(&Run) -> Outcome,
}

/// Every fault.
pub const FAULTS: &[Fault] = &[
    Fault { name: "kill", says: "kill -9 under load", short: true, run: kill::run },
    Fault {
        name: "late",
        says: "kill -9 while hosts are folded anew, since late reports come all the time",
        short: true,
        run: late::run,
    },
    Fault {
        name: "power-cut",
        says: "the recorded writes are replayed up to random moments; with synchronous=NORMAL that must lose reports",
        short: true,
        run: power_cut::run,
    },
    Fault {
        name: "snapshot",
        says: "a file system is copied under load and mounted again (needs root); the same control",
        short: false,
        run: snapshot::run,
    },
    Fault {
        name: "disk-full",
        says: "the disk is full, and grown again",
        short: true,
        run: disk_full::run,
    },
    Fault {
        name: "io-error",
        says: "the n-th sync or write fails, once or for ever, then kill -9 or an orderly end",
        short: true,
        run: io_error::run,
    },
    Fault {
        name: "io-error-by-strace",
        says: "the same by another tool: strace makes a sync fail",
        short: true,
        run: io_error::by_strace,
    },
    Fault {
        name: "read-only",
        says: "the file system becomes read-only under the server, or is so at its start",
        short: true,
        run: read_only::run,
    },
    Fault {
        name: "second-server",
        says: "a second server on the same database",
        short: true,
        run: neighbours::second_server,
    },
    Fault {
        name: "import-beside",
        says: "imports by hand beside the loaded server",
        short: true,
        run: neighbours::import_beside,
    },
    Fault {
        name: "locked",
        says: "another process holds SQLite's write lock, for a moment and for longer",
        short: true,
        run: neighbours::locked,
    },
    Fault {
        name: "clock",
        says: "the clock jumps back and forth, also across a restart",
        short: true,
        run: clock::run,
    },
    Fault { name: "stop", says: "SIGTERM with posts in flight", short: true, run: stop::run },
    Fault {
        name: "reset",
        says: "clients reset the connection after the body, or in the middle of it",
        short: true,
        run: clients::reset,
    },
    Fault {
        name: "slow-body",
        says: "bodies that trickle or stall, beside the load",
        short: true,
        run: clients::slow_body,
    },
    Fault {
        name: "queue-full",
        says: "more requests wait than may",
        short: true,
        run: queue_full::run,
    },
    Fault {
        name: "slow-export",
        says: "a client drains an export slowly while the history grows",
        short: true,
        run: slow_export::run,
    },
];

/// The fault of a name.
pub fn find(name: &str) -> Option<&'static Fault> {
    FAULTS.iter().find(|fault| fault.name == name)
}
