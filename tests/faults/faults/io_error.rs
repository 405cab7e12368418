//! A sync or a write fails. The answer is then 503 with `stored: unknown`, since a commit that failed can come
//! back. After a sync the server ends with exit code 1, for whoever runs it to start it again: what the
//! disk has lost nobody knows. After a write it goes on.

use crate::audit::after_fault;
use crate::ledger::{Ledger, Next};
use crate::load::{during, for_a_while, plain, send};
use crate::run::{Failure, Outcome, PATIENCE, Run, ensure, run_command, wait_until};
use crate::server::Server;
use crate::shim::{EIO, ENOSPC, Field};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const CLIENTS: usize = 3;
/// How soon an error is seen in an answer, unless it met no commit but the folding back of the log.
const SEEN: Duration = Duration::from_secs(2);
/// How soon reports are taken again.
const HEALED: Duration = Duration::from_secs(10);

/// One case of the loop.
#[derive(Debug, Clone, Copy)]
struct Case {
    what: Field,
    at: usize,
    error: i64,
    for_ever: bool,
    killed: bool,
}

pub fn run(run: &Run) -> Outcome {
    let rounds = run.rounds(12, 240);
    let (mut stored, mut unknown) = (0, 0);
    for round in 0..rounds {
        let mut chance = run.chance();
        let case = Case {
            what: if round % 3 == 2 { Field::WriteFailsAt } else { Field::SyncFailsAt },
            at: 1 + chance.below(if round % 2 == 0 { 3 } else { 200 }),
            error: if chance.once_in(4) { ENOSPC } else { EIO },
            for_ever: round % 4 == 3,
            killed: round % 2 == 0,
        };
        drop(chance);
        let ledger = Ledger::default();
        fail(run, &ledger, case).map_err(|failure| format!("{case:?}: {failure}"))?;
        stored += ledger.stored();
        unknown += ledger.unknown();
    }
    Ok(format!("{rounds} errors, {stored} acknowledged, {unknown} never settled"))
}

fn fail(run: &Run, ledger: &Ledger, case: Case) -> Result<(), Failure> {
    let folder = run.folder();
    let shim = run.shim(&folder, false)?;
    let mut server = Server::under(run, &folder, &shim)?;
    for_a_while(server.address, ledger, CLIENTS, &mut run.chance(), Duration::from_millis(100));
    shim.fail(case.what, case.at, case.error, case.for_ever);
    if case.killed {
        // At once, before anything could write over what the failed commit has left.
        until_refused(&server, ledger)?;
        server.kill();
    } else {
        let mut chance = run.chance();
        let (happened, seen) = during(server.address, ledger, CLIENTS, &mut chance, || {
            let happened = wait_until(PATIENCE, || shim.get(Field::Failures) > 0);
            (happened, wait_until(SEEN, || ledger.unavailable() + ledger.unknown() > 0))
        });
        drop(chance);
        ensure!(happened, "no {:?} happened", case.what);
        if seen && matches!(case.what, Field::SyncFailsAt) {
            ends(&mut server)?;
        }
        shim.heal();
        if server.exit()?.is_none() {
            goes_on(&server, ledger)?;
        }
        server.kill();
    }
    shim.heal();
    after_fault(run, &folder, ledger).map(|_| ())
}

/// Reports one by one until one is not taken.
fn until_refused(server: &Server, ledger: &Ledger) -> Result<(), Failure> {
    let mut connection = server.connection();
    for number in 0..2000 {
        let request = plain(ledger, &format!("host-{}", number % 3), true);
        if send(&mut connection, ledger, &request) != Next::GoOn {
            return Ok(());
        }
    }
    Err("nothing failed".into())
}

/// Exit code 1 and a line that says why.
fn ends(server: &mut Server) -> Result<(), Failure> {
    let mut status = None;
    let ended = wait_until(PATIENCE, || {
        status = server.exit().unwrap_or(None);
        status.is_some()
    });
    ensure!(ended, "the server goes on after a sync that failed");
    let words = server.last_words();
    ensure!(
        status.and_then(|status| status.code()) == Some(1),
        "it ended with {status:?}: {words}"
    );
    ensure!(!words.is_empty(), "it ended without a word");
    Ok(())
}

/// It takes reports again, or has ended to do so after a restart.
fn goes_on(server: &Server, ledger: &Ledger) -> Result<(), Failure> {
    let mut connection = server.connection();
    let before = ledger.stored();
    let goes_on = wait_until(HEALED, || {
        let next = send(&mut connection, ledger, &plain(ledger, "again", true));
        ledger.stored() > before || next == Next::End
    });
    ensure!(goes_on, "no report is taken after the error");
    Ok(())
}

/// A tracer that fails the third sync from now and all behind it.
struct Strace(Child);

impl Strace {
    fn attach(server: &Server) -> Result<Self, Failure> {
        let pid = server.id().to_string();
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]);
        strace.args(["-e", "inject=fsync,fdatasync:error=EIO:when=3+", "-p", &pid]);
        let child = strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let strace = Self(child.map_err(|error| format!("needs strace: {error}"))?);
        let attached = wait_until(PATIENCE, || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
        });
        ensure!(attached, "strace cannot trace the server (ptrace is not allowed here)");
        Ok(strace)
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn by_strace(run: &Run) -> Outcome {
    run_command(Command::new("strace").arg("-V")).map_err(|_| "needs strace")?;
    let rounds = run.rounds(2, 20);
    let mut stored = 0;
    for _ in 0..rounds {
        let (folder, ledger) = (run.folder(), Ledger::default());
        let mut server = Server::start(run, &folder)?;
        let strace = Strace::attach(&server)?;
        until_refused(&server, &ledger)?;
        server.kill();
        drop(strace);
        after_fault(run, &folder, &ledger)?;
        stored += ledger.stored();
    }
    Ok(format!("{rounds} errors, {stored} acknowledged"))
}
