//! The clock jumps, back and forth, under the server and while it is down. `received_at` never goes back,
//! and nothing but times changes.

use crate::audit::after_fault;
use crate::ledger::Ledger;
use crate::load::for_a_while;
use crate::run::{Outcome, Run, ensure};
use crate::server::Server;
use crate::shim::Field;
use std::time::Duration;

const CLIENTS: usize = 4;
const HOUR: i64 = 3_600_000_000;

pub fn run(run: &Run) -> Outcome {
    let (folder, ledger) = (run.folder(), Ledger::default());
    let shim = run.shim(&folder, false)?;
    let mut server = Server::under(run, &folder, &shim)?;
    let mut jumps = vec![0, -1, 48, 47, -24 * 30, 24];
    let more = run.rounds(0, 100);
    jumps.extend((0..more).map(|_| run.chance().below(24 * 60) as i64 - 24 * 30));
    for (at, hours) in jumps.iter().enumerate() {
        if at % 2 == 1 {
            server.stop()?;
            server = Server::under(run, &folder, &shim)?;
        }
        let report = |time| {
            for_a_while(server.address, &ledger, CLIENTS, &mut run.chance(), time);
        };
        report(Duration::from_millis(100));
        shim.set(Field::ClockOffsetMicros, hours * HOUR);
        report(Duration::from_millis(200));
        ensure!(server.status_of("/ready") == 200, "not ready after a jump by {hours} hours");
    }
    ensure!(ledger.unavailable() == 0, "reports were refused because of the clock");
    server.stop()?;
    after_fault(run, &folder, &ledger)?;
    Ok(format!("{} jumps, {} acknowledged", jumps.len(), ledger.stored()))
}
