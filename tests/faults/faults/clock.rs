//! The clock jumps, back and forth, under the server and while it is down. `received_at` never goes back, nothing is
//! recorded while the clock is wrong by more than an hour, and nothing but times changes.

use crate::audit::after_fault;
use crate::ledger::Ledger;
use crate::load::for_a_while;
use crate::run::{Failure, Outcome, PATIENCE, Run, ensure, wait_until};
use crate::server::{Launch, Server};
use crate::shim::Field;
use std::time::Duration;

const CLIENTS: usize = 4;
const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60;
const DAY: i64 = 24 * HOUR;
/// Where the clock begins: at the end it is right, and the server must go on.
const BEGIN: i64 = -40 * DAY;

/// What the server must make of the clock, in minutes from the right time.
struct Expected {
    offset: i64,
    /// The first that was believed since the start.
    reference: Option<i64>,
    /// The newest entry's.
    newest: i64,
}

impl Expected {
    /// Whether it must record.
    fn records(&mut self) -> bool {
        if self.newest - self.offset > HOUR {
            return false;
        }
        let reference = *self.reference.get_or_insert(self.offset);
        if self.offset - reference > HOUR {
            return false;
        }
        self.newest = self.newest.max(self.offset);
        true
    }
}

/// Where the clock jumps to. Not an hour exactly: time goes on.
fn jumps(run: &Run) -> Vec<i64> {
    let mut jumps: Vec<i64> =
        [0, -30, 31, 2 * DAY, 2 * DAY + 50, DAY, 2 * DAY, DAY, 3 * DAY, -DAY, 4 * DAY]
            .iter()
            .map(|minutes| BEGIN + minutes)
            .collect();
    let any = || BEGIN + DAY * run.chance().below(40) as i64 + 7;
    jumps.extend((0..run.rounds(0, 100)).map(|_| any()));
    jumps.push(0);
    jumps
}

pub fn run(run: &Run) -> Outcome {
    let (folder, ledger) = (run.folder(), Ledger::default());
    let shim = run.shim(&folder, false)?;
    let launch = Launch { shim: Some(&shim), ..Launch::new(run, &folder) };
    let mut expected = Expected { offset: BEGIN, reference: None, newest: i64::MIN / 2 };
    shim.set(Field::ClockOffsetMicros, BEGIN * MINUTE);
    let mut server = launch.start()?;
    let (jumps, mut refused) = (jumps(run), 0);
    for (at, minutes) in jumps.iter().enumerate() {
        refused += check(run, &server, &ledger, &mut expected)?;
        if at % 3 == 2 {
            server.stop()?;
            server = launch.spawn()?;
            let answers = || server.status_of("/health") == 200;
            ensure!(wait_until(PATIENCE, answers), "no answer: {}", server.last_words());
            expected.reference = None;
            refused += check(run, &server, &ledger, &mut expected)?;
        }
        shim.set(Field::ClockOffsetMicros, minutes * MINUTE);
        expected.offset = *minutes;
    }
    refused += check(run, &server, &ledger, &mut expected)?;
    server.stop()?;
    after_fault(run, &folder, &ledger)?;
    let (jumps, stored) = (jumps.len(), ledger.stored());
    Ok(format!("{jumps} jumps, {refused} times nothing was recorded, {stored} acknowledged"))
}

/// Lets clients report for a moment; answers 1 if they had to be refused.
fn check(
    run: &Run,
    server: &Server,
    ledger: &Ledger,
    expected: &mut Expected,
) -> Result<usize, Failure> {
    let (records, off) = (expected.records(), expected.offset);
    let before = (ledger.stored(), ledger.unavailable());
    let time = Duration::from_millis(150);
    for_a_while(server.address, ledger, CLIENTS, &mut run.chance(), time);
    let stored = ledger.stored() - before.0;
    let turned_away = ledger.unavailable() - before.1;
    ensure!(records || stored == 0, "recorded with a clock off by {off} minutes: {stored} reports");
    ensure!(!records || turned_away == 0, "refused with a clock off by {off} minutes");
    let (ready, wanted) = (server.status_of("/ready"), if records { 200 } else { 503 });
    ensure!(ready == wanted, "/ready is {ready} with a clock off by {off} minutes");
    ensure!(server.status_of("/status") == 200, "reads do not go on");
    Ok(usize::from(!records))
}
