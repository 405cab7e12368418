//! The stacks of one pushed job under the names that its rules and its own read-back know (contract
//! section 9): the label `stack` alone, plain integers, all computed here.
//!
//! What nobody knows is not said: a stack that is gone has no state, and one whose newest word is too
//! old is not clean.

use super::text::{Labels, Text};
use crate::domain::report::{Source, Status};
use crate::domain::state::HostState;
use crate::domain::time::{SECOND, Timestamp};
use std::sync::Arc;

/// Seconds in an hour.
const HOUR: i64 = 3600;

/// Writes the stacks of `job`; nothing if it was never heard of.
pub fn write(
    text: &mut Text,
    hosts: &[Arc<HostState>],
    job: &str,
    last_run: Option<Timestamp>,
    now: Timestamp,
) {
    let stacks: Vec<(&HostState, Labels)> = hosts
        .iter()
        .filter(|state| &*state.key.server_group == job && is_pushed(state))
        .map(|state| (&**state, Labels::new(&[("stack", &state.key.host)])))
        .collect();
    if job.is_empty() || (stacks.is_empty() && last_run.is_none()) {
        return;
    }
    text.family(
        "drift_stack_state",
        "gauge",
        "What the newest run saw of the stack: 0 clean, 1 drift, 2 error.",
    );
    let mut counts = [0_i64; 3];
    for (state, labels) in &stacks {
        if let Some(code) = code(state, now) {
            counts[code as usize] += 1;
            text.labelled(labels, None, code);
        }
    }
    text.family(
        "drift_stack_first_seen",
        "gauge",
        "Unix time since which the stack drifts; absent while it does not.",
    );
    let drifting =
        || stacks.iter().filter_map(|(state, labels)| Some((state.drift_start?, labels)));
    for (start, labels) in drifting() {
        text.labelled(labels, None, start.time.0 / SECOND);
    }
    text.family("drift_stack_age_hours", "gauge", "Whole hours since then; 0 for a clean stack.");
    for (state, labels) in &stacks {
        let age = state.drift_start.map(|start| (now.0 - start.time.0).max(0) / SECOND / HOUR);
        if let Some(age) = age.or_else(|| code(state, now).map(|_| 0)) {
            text.labelled(labels, None, age);
        }
    }
    for (name, help, status) in [
        ("drift_stack_count", "Stacks that drift.", Status::OutOfSync),
        ("drift_error_count", "Stacks whose plan failed.", Status::Failed),
        ("drift_clean_count", "Stacks that are clean.", Status::Synced),
    ] {
        text.family(name, "gauge", help);
        text.value(counts[status.code() as usize] as f64);
    }
    if let Some(time) = last_run {
        text.family(
            "drift_detection_last_run_timestamp",
            "gauge",
            "Unix time of the newest run that held the state of a stack.",
        );
        text.value((time.0 / SECOND) as f64);
    }
}

/// Whether it is a stack at all: others may report hosts of that group.
fn is_pushed(state: &HostState) -> bool {
    state.last_by_source[Source::Pushgateway.code() as usize].is_some()
}

/// The stack's state as the job pushes it; `None` if nobody knows.
fn code(state: &HostState, now: Timestamp) -> Option<i64> {
    match state.status_in_force() {
        Status::Synced => (!state.is_stale(now)).then_some(0),
        Status::OutOfSync => Some(1),
        Status::Failed => Some(2),
        Status::Unknown => None,
    }
}
