//! The disk is full, and grown again: nothing acknowledged is lost, nothing refused is kept, reads go on, and
//! reports are taken again without a restart; or after one, if the server is killed meanwhile.

use crate::audit::{after_fault, check_server};
use crate::ledger::Ledger;
use crate::load::{during, for_a_while};
use crate::mounts::Mount;
use crate::run::{Failure, Outcome, PATIENCE, Run, ensure, wait_until};
use crate::server::{Launch, Server};
use std::path::Path;
use std::time::Duration;

const CLIENTS: usize = 4;
/// Three of four disks are filled to the last page, the others to where the server keeps some room.
const NO_ROOM_KEPT: &[(&str, &str)] = &[("MIN_FREE_BYTES", "0")];
/// What the server keeps free by itself.
const KEPT_BYTES: u64 = 64 << 20;
/// What it may take of that until it notices, a second later.
const SLACK_BYTES: u64 = 32 << 20;
/// Large enough for whatever room the server wants to keep free.
const DISK_BYTES: u64 = 256 << 20;
const GROWN: &str = "size=512m";
/// How soon it must be noticed that there is no room (it is looked at once a second).
const NOTICED: Duration = Duration::from_secs(3);
/// How soon reports must be taken when there is room.
const HEALED: Duration = Duration::from_secs(10);

pub fn run(run: &Run) -> Outcome {
    let rounds = run.rounds(12, 60);
    let (mut stored, mut refused) = (0, 0);
    for round in 0..rounds {
        let ledger = Ledger::default();
        fill_up(run, &ledger, round)?;
        stored += ledger.stored();
        refused += ledger.unavailable();
    }
    Ok(format!("{rounds} full disks, {stored} acknowledged, {refused} answered 503"))
}

fn fill_up(run: &Run, ledger: &Ledger, round: usize) -> Result<(), Failure> {
    let (killed, room_kept) = (round % 6 >= 4, round % 4 == 3);
    let settings = if room_kept { &[] } else { NO_ROOM_KEPT };
    let base = run.folder();
    let disk = Mount::memory(DISK_BYTES, base.join("disk"))?;
    let folder = disk.0.join("data");
    std::fs::create_dir(&folder)?;
    let mut server = Launch { settings, ..Launch::new(run, &folder) }.start()?;
    for_a_while(server.address, ledger, CLIENTS, &mut run.chance(), Duration::from_millis(200));
    let room = run.chance().below(1 << 20) as u64;
    take_all_but(&disk.0, if room_kept { KEPT_BYTES + room } else { room })?;
    let mut chance = run.chance();
    // The clients go on all the time: what was refused is sent again.
    during(server.address, ledger, CLIENTS, &mut chance, || {
        is_full(&server, ledger, room_kept)?;
        let free = free_bytes(&disk.0)?;
        ensure!(
            !room_kept || free >= KEPT_BYTES - SLACK_BYTES,
            "only {free} bytes are left of the {KEPT_BYTES} that were to stay free"
        );
        if killed {
            server.kill();
            start_on_the_full_disk(run, &folder)?;
        }
        disk.change(GROWN)?;
        if killed { Ok(()) } else { heals(ledger) }
    })?;
    drop(chance);
    if !killed {
        // As it is, before a restart makes everything new.
        check_server(&server, ledger, &ledger.acknowledged())?;
        server.stop()?;
    }
    after_fault(run, &folder, ledger).map(|_| ())
}

/// Reports are refused, and all else goes on.
fn is_full(server: &Server, ledger: &Ledger, room_kept: bool) -> Result<(), Failure> {
    let before = ledger.unavailable();
    let full = wait_until(PATIENCE, || ledger.unavailable() >= before + 20);
    ensure!(full, "the disk does not get full");
    for path in ["/status", "/history", "/health"] {
        ensure!(server.status_of(path) == 200, "{path} is not answered while the disk is full");
    }
    // Where no room is kept, a page or two may still fit where a report does not.
    let not_ready = !room_kept || wait_until(NOTICED, || server.status_of("/ready") == 503);
    ensure!(not_ready, "/ready is not 503 although reports are refused for want of room");
    Ok(())
}

/// Every client gets on again.
fn heals(ledger: &Ledger) -> Result<(), Failure> {
    let before = ledger.stored();
    let healed = wait_until(HEALED, || ledger.stored() > before + 20);
    ensure!(healed, "the server takes no report {HEALED:?} after the disk has grown");
    std::thread::sleep(Duration::from_millis(300));
    Ok(())
}

/// Writes until only so much is left.
fn take_all_but(disk: &Path, room: u64) -> Result<(), Failure> {
    let ballast = free_bytes(disk)?.saturating_sub(room);
    let mut command = std::process::Command::new("fallocate");
    command.args(["-l", &ballast.to_string()]).arg(disk.join("ballast"));
    crate::run::run_command(&mut command).map(|_| ())
}

fn free_bytes(disk: &Path) -> Result<u64, Failure> {
    let free = crate::run::run_command(
        std::process::Command::new("df").args(["--output=avail", "-B1"]).arg(disk),
    )?;
    Ok(free.lines().nth(1).unwrap_or_default().trim().parse()?)
}

/// It may serve or say why not; it must not hang.
fn start_on_the_full_disk(run: &Run, folder: &Path) -> Result<(), Failure> {
    let mut server = Launch::new(run, folder).spawn()?;
    let mut ended = None;
    let answered = wait_until(PATIENCE, || {
        ended = server.exit().unwrap_or(None);
        ended.is_some() || server.status_of("/status") == 200
    });
    ensure!(answered, "on a full disk the server neither serves nor ends");
    let words = server.last_words();
    ensure!(ended.is_none() || !words.is_empty(), "on a full disk the server ends without a word");
    server.kill();
    Ok(())
}
