//! Processes that a figure starts: bound to it, watched, and ended with it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to get ready, and to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// A process that listens on a port of 127.0.0.1, killed if it is not stopped.
pub struct Service {
    child: Child,
    /// Where it listens.
    pub port: u16,
    /// From its start to the first 200.
    pub ready_after: Duration,
}

impl Service {
    /// Starts what `command` makes for a port, and waits until GET `path` answers 200.
    pub fn start(path: &str, command: impl FnOnce(u16) -> Command) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = command(port);
        let started = Instant::now();
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut service = Self { child, port, ready_after: Duration::ZERO };
        while !answers(port, path) {
            assert!(started.elapsed() < PATIENCE, "{command:?} did not get ready");
            let ended = service.child.try_wait().unwrap();
            assert!(ended.is_none(), "{command:?} has ended: {ended:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        service.ready_after = started.elapsed();
        service
    }

    /// Memory in MiB, by a name in /proc (VmRSS: now, VmHWM: at most so far).
    pub fn memory(&self, name: &str) -> f64 {
        memory_of(self.child.id(), name)
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(mut self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let asked = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(asked.elapsed() < PATIENCE, "a process did not stop");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Without effect on one that was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command into a file; seconds, and peak memory in MiB.
pub fn timed(command: &mut Command, output: &Path) -> (f64, f64) {
    let file = std::fs::File::create(output).unwrap();
    let started = Instant::now();
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::from(file)).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut peak: f64 = 0.0;
    loop {
        peak = peak.max(memory_of(child.id(), "VmHWM"));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{command:?}: {status}");
            return (started.elapsed().as_secs_f64(), peak);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Memory of a process in MiB.
fn memory_of(id: u32, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let digits = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    digits.parse::<f64>().unwrap_or(0.0) / 1024.0
}

fn answers(port: u16, path: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let asked = write!(stream, "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    asked.is_ok()
        && stream.read_to_end(&mut answer).is_ok()
        && answer.get(9..12).is_some_and(|status| status == b"200")
}

/// The body of a GET, asked once.
pub fn body_of(port: u16, path: &str) -> Vec<u8> {
    let mut answer = ureq::get(format!("http://127.0.0.1:{port}{path}")).call().unwrap();
    answer.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap()
}
