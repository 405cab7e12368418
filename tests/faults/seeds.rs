//! Seeds with which a fault failed: kept in a file of the repository, and played first from then on.

use crate::run::{Failure, ensure};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Where they are kept, from the repository's root.
const FILE: &str = "tests/faults/seeds.txt";
const HEAD: &str = "# Seeds with which a fault failed: its name and a number. Each is played first from then on.\n\
                    # Commit what a run adds here.\n";

/// The file of kept seeds.
#[derive(Debug)]
pub struct Seeds(PathBuf);

impl Seeds {
    /// Those of a repository.
    pub fn of(root: &Path) -> Self {
        Self(root.join(FILE))
    }

    /// The seeds of a fault, oldest first; without the file there are none.
    pub fn kept(&self, name: &str) -> Result<Vec<u64>, Failure> {
        let kept = self.all()?.into_iter().filter(|(of, _)| of == name);
        Ok(kept.map(|(_, seed)| seed).collect())
    }

    /// Keeps the seed of a fault that failed, once.
    pub fn keep(&self, name: &str, seed: u64) -> Result<(), Failure> {
        if self.kept(name)?.contains(&seed) {
            return Ok(());
        }
        let mut text = if self.0.exists() { String::new() } else { HEAD.to_owned() };
        let _ = writeln!(text, "{name} {seed}");
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&self.0)?;
        Ok(file.write_all(text.as_bytes())?)
    }

    /// Names and seeds, in the order of the file.
    pub fn all(&self) -> Result<Vec<(String, u64)>, Failure> {
        let text = match std::fs::read_to_string(&self.0) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            read => read?,
        };
        let lines =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let read = |line: &str| -> Result<(String, u64), Failure> {
            let (name, seed) = line.split_once(' ').ok_or_else(|| format!("{FILE}: {line}"))?;
            let seed = seed.trim().parse().map_err(|_| format!("{FILE}: {line}"))?;
            Ok((name.to_owned(), seed))
        };
        lines.map(read).collect()
    }
}

/// What is kept is found again, once, and only under its name.
pub fn check_themselves() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let seeds = Seeds(folder.path().join("seeds.txt"));
    ensure!(seeds.kept("kill")?.is_empty(), "there is no file, and yet a seed");
    for (name, seed) in [("kill", 7), ("stop", 8), ("kill", 9), ("kill", 7)] {
        seeds.keep(name, seed)?;
    }
    ensure!(
        seeds.kept("kill")? == [7, 9] && seeds.kept("stop")? == [8],
        "kept: {:?}",
        seeds.all()?
    );
    ensure!(seeds.kept("clock")?.is_empty(), "a seed of another fault");
    Ok(())
}
