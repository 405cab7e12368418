//! The driver's side of `shim.c`: what the server's writes, syncs and clock do.

use crate::run::{Failure, run_command};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The fields of `struct control`, in its order.
#[derive(Debug, Clone, Copy)]
pub enum Field {
    ClockOffsetMicros,
    SyncDelayMicros,
    /// The n-th sync from now fails.
    SyncFailsAt,
    WriteFailsAt,
    /// The error it fails with.
    Error,
    /// Whether every later one fails as well.
    ForEver,
    /// How often something failed.
    Failures,
}

pub const EIO: i64 = 5;
pub const ENOSPC: i64 = 28;
pub const EROFS: i64 = 30;

/// Compiles the shim with the C compiler that SQLite needs anyway.
pub fn build(root: &Path, folder: &Path) -> Result<PathBuf, Failure> {
    let library = folder.join("shim.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]);
    run_command(compiler.arg(&library).arg(root.join("tests/faults/shim.c")))?;
    Ok(library)
}

/// The shim of one folder's server. What is set holds for the running server at once, and for the next.
#[derive(Debug)]
pub struct Shim {
    library: PathBuf,
    folder: PathBuf,
    path: PathBuf,
    control: File,
    log: Option<PathBuf>,
}

impl Shim {
    pub fn new(library: &Path, folder: &Path, recording: bool) -> Result<Self, Failure> {
        let path = folder.with_extension("ctl");
        let control =
            File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        control.set_len(4096)?;
        let log = recording.then(|| folder.with_extension("log"));
        if let Some(log) = &log {
            File::create(log)?;
        }
        let (library, folder) = (library.to_owned(), folder.to_owned());
        Ok(Self { library, folder, path, control, log })
    }

    /// Has a command run under it.
    pub fn put_under(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAULTS_FOLDER", &self.folder)
            .env("FAULTS_CONTROL", &self.path);
        if let Some(log) = &self.log {
            command.env("FAULTS_LOG", log);
        }
    }

    pub fn set(&self, field: Field, value: i64) {
        let at = field as u64 * 8;
        self.control.write_all_at(&value.to_le_bytes(), at).expect("a file of ours");
    }

    pub fn get(&self, field: Field) -> i64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, field as u64 * 8).expect("a file of ours");
        i64::from_le_bytes(bytes)
    }

    /// The n-th sync (or write) from now fails with an error, once or from then on.
    pub fn fail(&self, which: Field, at: usize, error: i64, for_ever: bool) {
        self.set(Field::Error, error);
        self.set(Field::ForEver, i64::from(for_ever));
        self.set(which, at as i64);
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        self.set(Field::ForEver, 0);
        self.set(Field::SyncFailsAt, 0);
        self.set(Field::WriteFailsAt, 0);
    }

    /// What was recorded.
    pub fn recorded(&self) -> Result<Vec<u8>, Failure> {
        let log = self.log.as_ref().ok_or("nothing was recorded")?;
        Ok(std::fs::read(log)?)
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        // A recording is large.
        if let Some(log) = &self.log {
            let _ = std::fs::remove_file(log);
        }
    }
}
