//! Other processes at the same database: a second server, an import by hand, somebody with `sqlite3`.

use crate::audit::{after_fault, check_server};
use crate::ledger::Ledger;
use crate::load::{DRIFTING, during, earliest, history, plain, send};
use crate::run::{Chance, Failure, Outcome, PATIENCE, Run, ensure, wait_until};
use crate::server::{Launch, Server, command, database};
use serde_json::{Map, json};
use std::path::Path;
use std::time::{Duration, Instant};

const CLIENTS: usize = 4;
/// How soon a second server must have understood.
const UNDERSTOOD: Duration = Duration::from_secs(5);
/// Servers in a file that is imported.
const IMPORTED: usize = 20;
/// Held for less than SQLite's busy timeout of 5 s, and for more.
const SHORT: Duration = Duration::from_millis(1500);
const LONG: Duration = Duration::from_secs(8);
/// By when the server has tried to project what came last.
const PROJECTED: Duration = Duration::from_millis(1400);
/// A history that takes a while to be folded anew: so many arrays of so many.
const ARRAYS: usize = 10;
const ARRAY: u64 = 1000;

/// It ends at once and says who is there; the first is not disturbed.
pub fn second_server(run: &Run) -> Outcome {
    let (folder, ledger) = (run.folder(), Ledger::default());
    let mut first = Server::start(run, &folder)?;
    let mut chance = run.chance();
    let said = during(first.address, &ledger, CLIENTS, &mut chance, || {
        let mut second = Launch::new(run, &folder).spawn()?;
        let mut ended = None;
        wait_until(UNDERSTOOD, || {
            ended = second.exit().unwrap_or(None);
            ended.is_some()
        });
        let status = ended.ok_or("a second server serves the same database")?;
        let (words, pid) = (second.last_words(), first.id().to_string());
        ensure!(status.code() == Some(1), "the second server ended with {status}: {words}");
        ensure!(words.contains(&pid), "the second server does not name {pid}: {words}");
        Ok::<_, Failure>("the second names the first".to_owned())
    })?;
    drop(chance);
    ensure!(ledger.unavailable() == 0, "the first server was disturbed");
    first.stop()?;
    let kept = after_fault(run, &folder, &ledger)?;
    Ok(format!("{said}; {} acknowledged, {} kept", ledger.stored(), kept.lines))
}

/// Each goes in whole; no report is refused for it, and every receipt is right.
pub fn import_beside(run: &Run) -> Outcome {
    let (folder, ledger) = (run.folder(), Ledger::default());
    let mut server = Server::start(run, &folder)?;
    let rounds = run.rounds(15, 200);
    let mut chance = run.chance();
    during(server.address, &ledger, CLIENTS, &mut chance, || {
        for round in 0..rounds {
            let server = |n| (format!("import/{round}-{n}"), json!({"status": "synced"}));
            let servers: Map<_, _> = (0..IMPORTED).map(server).collect();
            let file = folder.join("status.json");
            std::fs::write(&file, json!({"version": "2.0", "servers": servers}).to_string())?;
            let (code, said) = command(run, &folder, &["import", &file.to_string_lossy()])?;
            ensure!(code == 0, "import: {said}");
        }
        Ok::<_, Failure>(())
    })?;
    drop(chance);
    ensure!(ledger.unavailable() == 0, "reports were refused beside an import");
    check_server(&server, &ledger, &ledger.acknowledged())?;
    server.stop()?;
    let kept = after_fault(run, &folder, &ledger)?;
    let expected = rounds * IMPORTED;
    ensure!(kept.others == expected, "{} of {expected} imported servers are there", kept.others);
    Ok(format!("{rounds} imports, {} acknowledged", ledger.stored()))
}

/// Holds the write lock for a time.
fn hold(path: &Path, time: Duration) -> Result<(), Failure> {
    let connection = rusqlite::Connection::open(path)?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    std::thread::sleep(time);
    Ok(connection.execute_batch("ROLLBACK")?)
}

/// A short lock is waited for; a long one is answered 503, and nothing of it is stored. What is left to
/// be projected or folded anew meets the lock first, and must not add its waiting to that of the report.
pub fn locked(run: &Run) -> Outcome {
    let (folder, ledger) = (run.folder(), Ledger::default());
    let mut server = Server::start(run, &folder)?;
    let short = beside_lock(&server, &ledger, &folder, SHORT)?;
    let long = beside_lock(&server, &ledger, &folder, LONG)?;
    fold_anew(&server, &ledger, &folder, &mut run.chance())?;
    let amid = beside_lock(&server, &ledger, &folder, LONG)?;
    send(&mut server.connection(), &ledger, &plain(&ledger, "h", true));
    let stored = ARRAYS * ARRAY as usize + 6;
    ensure!(ledger.stored() == stored, "no report is taken after the lock");
    server.stop()?;
    after_fault(run, &folder, &ledger)?;
    Ok(format!("waited {short:.1?}, refused after {long:.1?}, amid folding after {amid:.1?}"))
}

/// How long a report takes while somebody holds the lock for a time.
fn beside_lock(
    server: &Server,
    ledger: &Ledger,
    folder: &Path,
    time: Duration,
) -> Result<Duration, Failure> {
    let (before, path) = (ledger.unavailable(), database(folder));
    // So that something is left to be projected.
    send(&mut server.connection(), ledger, &plain(ledger, "h", true));
    let waited = std::thread::scope(|scope| {
        let holder = scope.spawn(|| hold(&path, time));
        std::thread::sleep(if time == LONG { PROJECTED } else { SHORT / 5 });
        let begun = Instant::now();
        send(&mut server.connection(), ledger, &plain(ledger, "h", true));
        let waited = begun.elapsed();
        holder.join().map_err(|_| "the lock could not be held")??;
        Ok::<_, Failure>(waited)
    })?;
    let refused = ledger.unavailable() - before;
    ensure!(time == LONG || refused == 0, "a short lock is not waited for: {waited:?}");
    ensure!(time == LONG || waited > SHORT / 2, "the lock was not felt: {waited:?}");
    ensure!(time == SHORT || refused == 1, "a lock of {LONG:?} does not lead to a 503");
    Ok(waited)
}

/// Lets the server fold a host with a long history anew: it is amid that.
fn fold_anew(
    server: &Server,
    ledger: &Ledger,
    folder: &Path,
    chance: &mut Chance,
) -> Result<(), Failure> {
    let mut connection = server.connection();
    for _ in 0..ARRAYS {
        send(&mut connection, ledger, &history(ledger, "long", ARRAY, DRIFTING, chance));
    }
    send(&mut connection, ledger, &earliest(ledger, "long"));
    let connection = rusqlite::Connection::open_with_flags(
        database(folder),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
    )?;
    let listed = "SELECT EXISTS (SELECT 1 FROM refold)";
    let is_listed = || connection.query_row(listed, [], |row| row.get(0)).unwrap_or(false);
    ensure!(wait_until(PATIENCE, is_listed), "a late report does not lead to folding anew");
    Ok(())
}
