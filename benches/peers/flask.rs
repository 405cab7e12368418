//! Our stand-in of the old status API, under its own stack: `old_status_api.py`.

use crate::support::process::Service;
use std::path::Path;
use std::process::{Command, Stdio};

/// The Python that has Flask; `scripts/bench` says it.
fn python() -> String {
    std::env::var("BENCH_PYTHON")
        .expect("BENCH_PYTHON: scripts/bench sets it, to a Python with Flask")
}

/// Starts it with its state in a file; under Flask's own server, or under waitress.
pub fn start(waitress: bool, state: &Path) -> Service {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/old_status_api.py");
    Service::start("/ready", |port| {
        let mut command = Command::new(python());
        command.arg(program).arg(if waitress { "waitress" } else { "flask" });
        command.arg(port.to_string()).arg(state);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    })
}
