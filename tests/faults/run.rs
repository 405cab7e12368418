//! What every fault gets: the binary under test, where to put files, chance, and how long it may take.

use crate::shim::Shim;
use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Why a fault did not pass: one line or a few.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
/// What a fault says of itself in the end.
pub type Outcome = Result<String, Failure>;

/// No answer, start or stop of a server that is well takes longer.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How often something is looked at while it is waited for.
const LOOK: Duration = Duration::from_millis(5);

/// A run of the suite.
pub struct Run {
    /// The server's binary.
    pub binary: PathBuf,
    /// The sources' root.
    pub root: PathBuf,
    /// The short run: fewer rounds.
    pub short: bool,
    scratch: tempfile::TempDir,
    folders: Cell<u32>,
    shim: PathBuf,
    chance: RefCell<Chance>,
    planted: bool,
}

impl Run {
    /// Builds the shim; everything a run writes goes below one folder, which it removes.
    pub fn new(binary: PathBuf, root: PathBuf, short: bool, seed: u64) -> Result<Self, Failure> {
        let base = root.join("target/faults");
        std::fs::create_dir_all(&base)?;
        let scratch = tempfile::tempdir_in(base)?;
        let shim = crate::shim::build(&root, scratch.path())?;
        Ok(Self {
            binary,
            root,
            short,
            scratch,
            folders: Cell::new(0),
            shim,
            chance: RefCell::new(Chance(seed)),
            planted: false,
        })
    }

    /// A short run with a planted bug's binary.
    pub fn planted(&self, binary: PathBuf) -> Result<Self, Failure> {
        let seed = self.chance().next();
        Ok(Self { planted: true, ..Self::new(binary, self.root.clone(), true, seed)? })
    }

    /// Whether the binary has a bug that is to be found: it needs no control of its own.
    pub fn is_planted(&self) -> bool {
        self.planted
    }

    /// A new, empty folder.
    pub fn folder(&self) -> PathBuf {
        let number = self.folders.get() + 1;
        self.folders.set(number);
        let folder = self.scratch.path().join(number.to_string());
        std::fs::create_dir(&folder).expect("the scratch folder is ours");
        folder.canonicalize().expect("it was just made")
    }

    /// A shim for the server of a folder; `recording` also writes down what it does.
    pub fn shim(&self, folder: &Path, recording: bool) -> Result<Shim, Failure> {
        Shim::new(&self.shim, folder, recording)
    }

    /// Begins again, with a seed.
    pub fn begin(&self, seed: u64) {
        *self.chance() = Chance(seed);
    }

    /// Numbers for this moment; the seed decides them all.
    pub fn chance(&self) -> std::cell::RefMut<'_, Chance> {
        self.chance.borrow_mut()
    }

    /// A number of rounds: one for the short run, one for the full one.
    pub fn rounds(&self, short: usize, full: usize) -> usize {
        if self.short { short } else { full }
    }
}

/// Numbers that look random and follow from a seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to `end` - 1.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// Fails with a text unless something holds.
macro_rules! ensure {
    ($holds:expr, $($text:tt)+) => {
        if !$holds {
            return Err(format!($($text)+).into());
        }
    };
}
pub(crate) use ensure;

/// Waits until something is so, at most for a time.
pub fn wait_until(patience: Duration, mut so: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !so() {
        if begun.elapsed() > patience {
            return false;
        }
        std::thread::sleep(LOOK);
    }
    true
}

/// Runs a command to its end; its words are the error.
pub fn run_command(command: &mut std::process::Command) -> Result<String, Failure> {
    let shown = format!("{command:?}");
    let output = command.output().map_err(|error| format!("{shown}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{shown}: {}: {}", output.status, said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
