//! Every host as metrics, from the board: no query, whatever their number.

use super::text::{Labels, Text};
use crate::domain::content::Content;
use crate::domain::report::{Source, Status};
use crate::domain::state::HostState;
use crate::domain::time::Timestamp;
use std::sync::Arc;

/// Writes the hosts' families.
pub fn write(text: &mut Text, hosts: &[Arc<HostState>], now: Timestamp) {
    let names: Vec<Labels> = hosts.iter().map(|state| labels(state)).collect();
    let hosts = || hosts.iter().zip(&names);
    text.family(
        "gitops_host_status",
        "gauge",
        "Whether the host is in this status (1) or not (0); the newest word, however old.",
    );
    for (state, labels) in hosts() {
        let status = state.status_in_force();
        for each in Status::ALL {
            let more = Some(("status", each.word()));
            text.labelled(labels, more, i64::from(*each == status));
        }
    }
    text.family(
        "gitops_host_stale",
        "gauge",
        "Whether the newest word on the host is older than its max_age (1): nobody knows its state.",
    );
    for (state, labels) in hosts() {
        text.labelled(labels, None, i64::from(state.is_stale(now)));
    }
    text.family("gitops_host_changed_files", "gauge", "Files that differ from Git.");
    for (state, labels) in hosts() {
        let files = state.files_in_force().map_or(0, Content::files_count);
        text.labelled(labels, None, files as i64);
    }
    text.family(
        "gitops_host_drift_since_timestamp_seconds",
        "gauge",
        "Since when the host drifts; absent while it does not.",
    );
    for (state, labels) in hosts() {
        if let Some(start) = state.drift_start {
            text.time(labels, None, start.time);
        }
    }
    text.family(
        "gitops_host_last_report_timestamp_seconds",
        "gauge",
        "Time of the newest report on the host from each source.",
    );
    for (state, _) in hosts() {
        let labels = Labels::new(&key(state));
        for source in Source::ALL {
            if let Some(time) = state.last_by_source[source.code() as usize] {
                text.time(&labels, Some(("source", source.word())), time);
            }
        }
    }
}

fn key(state: &HostState) -> [(&str, &str); 2] {
    [("server_group", &state.key.server_group), ("host", &state.key.host)]
}

fn labels(state: &HostState) -> Labels {
    let deployment = state.deployment.as_ref().map(|word| &word.value);
    let environment = deployment.and_then(|content| content.environment.as_deref());
    let [group, host] = key(state);
    Labels::new(&[group, host, ("environment", environment.unwrap_or_default())])
}
