//! The real binary as a child process on 127.0.0.1. Each is killed when dropped; `scripts/faults` sees to
//! it that none outlives the driver, however that ends.

use crate::http::{Answer, Broken, Connection};
use crate::run::{Failure, PATIENCE, Run, ensure, wait_until};
use crate::shim::Shim;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// A serving child.
#[derive(Debug)]
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    words: PathBuf,
}

/// How a server is started.
pub struct Launch<'a> {
    pub run: &'a Run,
    pub folder: &'a Path,
    pub shim: Option<&'a Shim>,
    pub settings: &'a [(&'a str, &'a str)],
}

impl<'a> Launch<'a> {
    pub fn new(run: &'a Run, folder: &'a Path) -> Self {
        Self { run, folder, shim: None, settings: &[] }
    }

    /// Starts it without waiting for anything.
    pub fn spawn(&self) -> Result<Server, Failure> {
        // Nobody else on this machine is asked for a port in between, or the start fails and says so.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let words = self.folder.with_extension("stderr");
        let mut command = Command::new(&self.run.binary);
        command
            .env_clear()
            .env("API_HOST", "127.0.0.1")
            .env("API_PORT", address.port().to_string())
            .env("API_WORKERS", "2")
            .env("DATABASE_URL", url(self.folder))
            .env("RUST_LOG", "warn")
            .envs(self.settings.iter().copied())
            .current_dir(self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::options().append(true).create(true).open(&words)?);
        if let Some(shim) = self.shim {
            shim.put_under(&mut command);
        }
        let child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        Ok(Server { child, address, words })
    }

    /// Starts it and waits until it is ready.
    pub fn start(&self) -> Result<Server, Failure> {
        let mut server = self.spawn()?;
        let mut gone = None;
        let ready = wait_until(PATIENCE, || {
            gone = server.exit().unwrap_or(None);
            gone.is_some() || server.get("/ready").is_ok_and(|answer| answer.status == 200)
        });
        ensure!(gone.is_none(), "the server ended at its start: {}", server.last_words());
        ensure!(ready, "the server does not become ready: {}", server.last_words());
        Ok(server)
    }
}

impl Server {
    /// Starts the server of a folder.
    pub fn start(run: &Run, folder: &Path) -> Result<Self, Failure> {
        Launch::new(run, folder).start()
    }

    /// Starts it under a shim.
    pub fn under(run: &Run, folder: &Path, shim: &Shim) -> Result<Self, Failure> {
        Launch { shim: Some(shim), ..Launch::new(run, folder) }.start()
    }

    pub fn connection(&self) -> Connection {
        Connection::new(self.address)
    }

    /// One question on a connection of its own.
    pub fn get(&self, path: &str) -> Result<Answer, Broken> {
        self.connection().get(path)
    }

    /// The status of an answer; 0 without one.
    pub fn status_of(&self, path: &str) -> u16 {
        self.get(path).map_or(0, |answer| answer.status)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: &str) -> Result<(), Failure> {
        let pid = self.id().to_string();
        crate::run::run_command(Command::new("kill").args([signal, &pid])).map(|_| ())
    }

    /// How it ended, if it has.
    pub fn exit(&mut self) -> Result<Option<ExitStatus>, Failure> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Result<ExitStatus, Failure> {
        let mut ended = None;
        wait_until(PATIENCE, || {
            ended = self.child.try_wait().unwrap_or(None);
            ended.is_some()
        });
        ended.ok_or_else(|| format!("the server does not end: {}", self.last_words()).into())
    }

    /// SIGTERM; it must exit with 0.
    pub fn stop(&mut self) -> Result<(), Failure> {
        self.signal("-TERM")?;
        let status = self.wait()?;
        ensure!(status.code() == Some(0), "SIGTERM ended in {status}: {}", self.last_words());
        Ok(())
    }

    /// SIGKILL: the process has no say.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The last lines it said on standard error.
    pub fn last_words(&self) -> String {
        let said = std::fs::read_to_string(&self.words).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(3)..].join(" | ")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The database of a folder.
pub fn database(folder: &Path) -> PathBuf {
    folder.join("history.db")
}

/// The file with SQLite's log beside it.
pub fn wal(folder: &Path) -> PathBuf {
    folder.join("history.db-wal")
}

/// The setting for it.
pub fn url(folder: &Path) -> String {
    format!("sqlite://{}", database(folder).display())
}

/// Runs a subcommand on a folder's database; answers the exit code and all it said.
pub fn command(run: &Run, folder: &Path, arguments: &[&str]) -> Result<(i32, String), Failure> {
    let mut command = Command::new(&run.binary);
    command.env_clear().env("DATABASE_URL", url(folder)).args(arguments).stdin(Stdio::null());
    let output = command.output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).trim().to_owned()))
}
