//! Late reports come all the time, so that hosts with a history are folded anew all the time, and the server
//! is killed meanwhile. It goes on where it was, and in the end everything is as the history says.

use crate::audit::{after_fault, check_server};
use crate::ledger::Ledger;
use crate::load::{DRIFTING, STATUSES, during, history, late_reports, send};
use crate::run::{Chance, Failure, Outcome, Run, ensure, run_command};
use crate::server::{Server, database, wal};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Clients besides those that report late.
const CLIENTS: usize = 4;
/// Clients that report late.
const LATE: usize = 2;
const KILLS: usize = 5;
/// Hosts with a history, and how many arrays of a thousand it has: some steps of folding it.
const HOSTS: usize = 3;
const ARRAYS: usize = 3;
const ARRAY: u64 = 1000;
/// A second at most goes by until what came late is projected and the host is listed.
const PROJECTED: Duration = Duration::from_millis(900);
const LISTED: &str = "SELECT count(*) FROM refold";

pub fn run(run: &Run) -> Outcome {
    let databases = run.rounds(1, 10);
    let (mut stored, mut amid, mut kept) = (0, 0, 0);
    for _ in 0..databases {
        let ledger = Ledger::default();
        kept += kill_often(run, &ledger, &mut amid)?;
        stored += ledger.stored();
    }
    let kills = databases * KILLS;
    ensure!(amid >= kills / 2, "only {amid} of {kills} kills came while a host was folded anew");
    Ok(format!(
        "{kills} kills, {amid} while hosts were folded anew, {stored} acknowledged, {kept} kept"
    ))
}

/// Answers the lines that are kept in the end; counts the kills that came while hosts were folded anew.
fn kill_often(run: &Run, ledger: &Ledger, amid: &mut usize) -> Result<usize, Failure> {
    let folder = run.folder();
    let hosts: Vec<String> = (0..HOSTS).map(|n| format!("long-{n}")).collect();
    let mut server = Server::start(run, &folder)?;
    for _ in 0..ARRAYS {
        for (n, host) in hosts.iter().enumerate() {
            // Where a drift goes on, nothing ends the folding but the end of the history.
            let statuses = if n == 0 { DRIFTING } else { STATUSES };
            let request = history(ledger, host, ARRAY, statuses, &mut run.chance());
            send(&mut server.connection(), ledger, &request);
        }
    }
    ensure!(ledger.stored() == HOSTS * ARRAYS * ARRAY as usize, "the histories are not stored");
    for kill in 0..KILLS {
        if kill > 0 {
            server = Server::start(run, &folder)?;
            check_server(&server, ledger, &ledger.acknowledged())?;
        }
        let mut chance = run.chance();
        let time = PROJECTED + Duration::from_millis(chance.below(1200) as u64);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..LATE {
                let (stop, hosts, address) = (&stop, &hosts, server.address);
                let mut chance = Chance(chance.next());
                scope.spawn(move || late_reports(address, ledger, hosts, &mut chance, stop));
            }
            during(server.address, ledger, CLIENTS, &mut chance, || {
                std::thread::sleep(time);
                server.kill();
            });
            stop.store(true, Ordering::Relaxed);
        });
        drop(chance);
        *amid += usize::from(listed(run, &folder)? > 0);
    }
    let kept = after_fault(run, &folder, ledger)?.lines;
    let left = listed(run, &folder)?;
    ensure!(left == 0, "{left} hosts are still to be folded anew");
    Ok(kept)
}

/// Hosts that are to be folded anew, by a copy of what a killed server has left: who opens that changes it.
fn listed(run: &Run, folder: &Path) -> Result<i64, Failure> {
    let copy = run.folder();
    let files = [database(folder), wal(folder)];
    run_command(Command::new("cp").args(files.iter().filter(|file| file.exists())).arg(&copy))?;
    let count =
        rusqlite::Connection::open(database(&copy))?.query_row(LISTED, [], |row| row.get(0))?;
    std::fs::remove_dir_all(copy)?;
    Ok(count)
}
