//! kill -9 under load, again and again on the same database.

use crate::audit::{after_fault, check_server};
use crate::ledger::Ledger;
use crate::load::during;
use crate::run::{Failure, Outcome, Run, ensure};
use crate::server::Server;
use std::time::Duration;

const CLIENTS: usize = 8;
/// Kills of one database: each time all of its history is read.
const KILLS: usize = 10;

pub fn run(run: &Run) -> Outcome {
    let databases = run.rounds(1, 15);
    let (mut stored, mut unknown, mut kept) = (0, 0, 0);
    for _ in 0..databases {
        let ledger = Ledger::default();
        // Before what is unknown is settled.
        kept += kill_often(run, &ledger, &mut unknown)?;
        stored += ledger.stored();
    }
    let kills = databases * KILLS;
    Ok(format!("{kills} kills, {stored} acknowledged, {unknown} unknown before, {kept} kept"))
}

/// Answers the lines that are kept in the end.
fn kill_often(run: &Run, ledger: &Ledger, unknown: &mut usize) -> Result<usize, Failure> {
    let folder = run.folder();
    for _ in 0..KILLS {
        let mut server = Server::start(run, &folder)?;
        check_server(&server, ledger, &ledger.acknowledged())?;
        let mut chance = run.chance();
        let time = Duration::from_millis(50 + chance.below(400) as u64);
        during(server.address, ledger, CLIENTS, &mut chance, || {
            std::thread::sleep(time);
            server.kill();
        });
    }
    let stored = ledger.stored();
    ensure!(stored >= KILLS * CLIENTS, "the load was too light to tell: {stored} acknowledged");
    *unknown += ledger.unknown();
    Ok(after_fault(run, &folder, ledger)?.lines)
}
