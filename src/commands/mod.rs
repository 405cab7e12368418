//! Wiring: each subcommand puts the rooms together. Here, and only here, the machine is asked for
//! the time, the environment and sockets.

pub mod backup;
mod clock;
pub mod export;
mod handles;
pub mod healthcheck;
pub mod import;
mod inputs;
pub mod keys;
pub mod log;
pub mod openapi;
mod outputs;
mod progress;
mod remembered;
pub mod restore;
pub mod review;
pub mod say;
pub mod serve;
pub mod token;
mod tokens;
pub mod trust;
pub mod verify;

use crate::board::Board;
use crate::domain::time::Timestamp;
use crate::files::{
    FreeBytes, Hold, Location, OpenError, Role, Space, check_only, create_or_check, free_bytes,
    refuse_strange_triggers,
};
use crate::ledger::{Dictionary, grow_over_history};
use crate::projection::fold_anew;
use crate::recorder::{Clock, Recorder, Uptime, Watch};
use crate::views::Readers;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

pub use clock::system_clock;

/// How long a question of a command may take: nobody else waits for it.
const PATIENCE: Duration = Duration::from_hours(1);

/// How long closing the database may take.
const CLOSING: Duration = Duration::from_secs(10);

/// Why a command failed: one line for the operator (each error below says what to do).
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// An argument that cannot be understood: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}; see --help")]
pub struct WrongArgument(String);

/// A setting that cannot be used, found in a file that it names: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongSetting(String);

/// Something could not be checked, which is not to say that it is wrong: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CannotCheck(String);

fn wrong_argument(problem: String) -> Failure {
    Box::new(WrongArgument(problem))
}

fn wrong_setting(problem: String) -> Failure {
    Box::new(WrongSetting(problem))
}

fn cannot_check(problem: String) -> Failure {
    Box::new(CannotCheck(problem))
}

/// An open database: the write path, the reading side, and every host's state.
pub struct Database {
    /// Records.
    pub recorder: Recorder,
    /// Answers about raw history.
    pub readers: Arc<Readers>,
    /// Every host's state.
    pub board: Arc<Board>,
    /// The room on its disk.
    pub space: Arc<Space>,
    task: JoinHandle<()>,
    hold: Option<Hold>,
}

/// What is asked of the machine while a database is open; tests answer for it.
#[derive(Clone)]
pub struct Machine {
    /// The clock.
    pub clock: Clock,
    /// What the clock's jumps are measured against; nothing if time is what the clock says.
    pub uptime: Option<Uptime>,
    /// A clock before this time was never set.
    pub built: Timestamp,
    /// The free bytes of the database's disk, if that is not asked of the system.
    pub free_bytes: Option<FreeBytes>,
}

impl Machine {
    /// This machine.
    pub fn system() -> Self {
        let (uptime, built) = (Some(clock::system_uptime()), clock::built());
        Self { clock: system_clock(), uptime, built, free_bytes: None }
    }
}

/// A machine with a clock of the caller's own, whatever it says.
impl From<Clock> for Machine {
    fn from(clock: Clock) -> Self {
        Self { clock, uptime: None, built: Timestamp(i64::MIN), free_bytes: None }
    }
}

/// How a database is opened.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// How long a question may take.
    pub read_deadline: Duration,
    /// Bytes that must stay free.
    pub min_free: u64,
    /// Whether no other process may have it, for as long as it is open.
    pub alone: bool,
}

impl Database {
    /// Opens (or creates) the database and starts its recorder.
    pub async fn open(url: &str, machine: Machine, manner: Manner) -> Result<Self, Failure> {
        let location = Location::parse(url)?;
        let dictionary = Arc::new(Dictionary::default());
        let hold = prepare(&location, &dictionary, manner.alone).await?;
        let Manner { read_deadline, min_free, .. } = manner;
        let path = location.path.clone();
        let ask = machine.free_bytes.unwrap_or_else(|| Arc::new(move || free_bytes(&path)));
        let space = Arc::new(Space::new(ask, min_free));
        let readers = Arc::new(Readers::new(
            &location,
            dictionary.clone(),
            crate::http::LANE_ANSWERS,
            read_deadline,
        ));
        let board = Arc::new(Board::default());
        let origin = new_origin()?;
        let watch = Arc::new(Watch::new(machine.clock, machine.uptime, machine.built));
        let (disk, projects) = (space.clone(), hold.is_some());
        let started =
            Recorder::start(&location, dictionary, &origin, board.clone(), watch, disk, projects);
        let failed = |cause| OpenError::Database { path: location.path.clone(), cause };
        let (recorder, task) = started.map_err(failed)?;
        Ok(Self { recorder, readers, board, space, task, hold })
    }

    /// Waits until everything in flight is written and the database is closed. Every other handle
    /// of the recorder must be gone.
    pub async fn close(self) {
        self.readers.close().await;
        drop(self.recorder);
        // The lock is let go last.
        let (task, _hold) = (self.task, self.hold);
        if !task.is_finished() && tokio::time::timeout(CLOSING, task).await.is_err() {
            tracing::warn!(
                "the database was not closed within {} s; it recovers at the next start",
                CLOSING.as_secs()
            );
        }
    }

    /// Returns when the recorder has ended, which it does not do while it has handles, unless
    /// something is badly wrong.
    pub async fn recorder_ended(&mut self) {
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the recorder has ended");
        }
    }
}

/// Creates the database or brings it up to date. Answers the lock if nobody else may have it; beside a
/// running server there is nothing to prepare.
async fn prepare(
    location: &Location,
    dictionary: &Arc<Dictionary>,
    alone: bool,
) -> Result<Option<Hold>, Failure> {
    let role = if alone { Role::Serve } else { Role::Prepare };
    let mut hold = match Hold::take(location, role).await {
        Ok(hold) => hold,
        Err(OpenError::Held { serves: true, .. }) if !alone => {
            check_only(location).await?;
            refuse_strange_triggers(location).await?;
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    create_or_check(location, &hold).await?;
    hold.cover(location).await?;
    bring_up_to_date(location, dictionary).await?;
    Ok(alone.then_some(hold))
}

/// Builds what an older database lacks: the tree over its history, and its projections. On a terminal
/// with a progress bar, else with a line at the beginning and the end.
async fn bring_up_to_date(
    location: &Location,
    dictionary: &Arc<Dictionary>,
) -> Result<(), Failure> {
    let failed = |cause| OpenError::Database { path: location.path.clone(), cause };
    let told = Told::new("the Merkle tree over the history");
    let show = |done, total| told.show(done, total);
    let built = grow_over_history(location, dictionary, &show).await;
    told.finish(built.map_err(failed)?);
    let told = Told::new("the timelines of this database from its history");
    let show = |done, total| told.show(done, total);
    let folded = fold_anew(location, dictionary, &show).await;
    told.finish(folded.map_err(failed)?);
    Ok(())
}

/// Something that is built at the first start with a newer version.
struct Told {
    what: &'static str,
    bar: progress::Bar,
    begun: std::sync::Once,
}

impl Told {
    fn new(what: &'static str) -> Self {
        Self { what, bar: progress::bar("building"), begun: std::sync::Once::new() }
    }

    fn show(&self, done: u64, total: u64) {
        self.begun.call_once(|| tracing::info!(entries = total, "building {}", self.what));
        self.bar.show(done, total);
    }

    fn finish(&self, built: bool) {
        if built {
            self.bar.finish();
            tracing::info!("built {}", self.what);
        }
    }
}

/// Whoever reads our output (head, less) may go when it has seen enough.
fn unless_reader_left(written: std::io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// A name for a new history: `gitops-status-server/` and 32 hex digits.
fn new_origin() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| format!("no randomness: {error}"))?;
    Ok(format!("{}/{}", env!("CARGO_PKG_NAME"), crate::domain::line::hex(&bytes)))
}
