//! Debian's prometheus-pushgateway: it keeps what is pushed in memory.

use crate::support::data;
use crate::support::load;
use crate::support::process::Service;
use std::process::{Command, Stdio};

/// Groups that are there while it is measured: a host each.
pub const GROUPS: usize = data::HOSTS;

/// Starts one that forgets everything when it ends; `checked`: with its default settings, else with
/// `--push.disable-consistency-check`.
pub fn start(checked: bool) -> Service {
    Service::start("/-/ready", |port| {
        let mut command = Command::new("prometheus-pushgateway");
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command.args(["--persistence.file=", "--log.level=error"]);
        if !checked {
            command.arg("--push.disable-consistency-check");
        }
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    })
}

/// The status of its answers: without the check it has only queued what it was given.
pub const fn status(checked: bool) -> u16 {
    if checked { 200 } else { 202 }
}

/// Appends the push of one host's state: what the nightly Terragrunt job pushes of a stack.
pub fn push(n: u64, out: &mut Vec<u8>) {
    let host = n as usize % GROUPS;
    let run = 1_777_200_000 + n;
    let body = format!(
        "drift_stack_state{{stack=\"host-{host:04}\"}} 0\n\
         drift_stack_age_hours{{stack=\"host-{host:04}\"}} 0\n\
         drift_detection_last_run_timestamp {run}\n"
    );
    let path = format!("/metrics/job/drift-detection/instance/host-{host:04}");
    load::send("PUT", &path, "text/plain; version=0.0.4", body.as_bytes(), out);
}
