//! File systems of the suite's own. `scripts/faults` gives the driver a mount namespace: whatever is mounted
//! here is seen by nobody else, and goes with the driver, however it ends.

use crate::run::{Failure, run_command};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Changes only what is named: what the system adds to the list by itself, it does not take back in a user
/// namespace.
const ALONE: [&str; 2] = ["--options-mode", "ignore"];

/// A mounted file system; gone when dropped.
#[derive(Debug)]
pub struct Mount(pub PathBuf);

impl Mount {
    /// An image in a file.
    pub fn image(image: &Path, at: PathBuf) -> Result<Self, Failure> {
        std::fs::create_dir_all(&at)?;
        run_command(Command::new("mount").args(["-o", "loop"]).arg(image).arg(&at))
            .map_err(|error| format!("needs root, for loop mounts: {error}"))?;
        Ok(Self(at))
    }

    /// A disk in memory.
    pub fn memory(bytes: u64, at: PathBuf) -> Result<Self, Failure> {
        std::fs::create_dir_all(&at)?;
        let size = format!("size={bytes}");
        run_command(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "faults"]).arg(&at))
            .map_err(|error| format!("needs root or user namespaces, for mounts: {error}"))?;
        Ok(Self(at))
    }

    /// Changes how it is mounted: `ro`, `size=…`.
    pub fn change(&self, options: &str) -> Result<(), Failure> {
        let options = format!("remount,{options}");
        run_command(Command::new("mount").args(ALONE).args(["-o", &options]).arg(&self.0))
            .map(|_| ())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
