//! What became of reports: counted for `/metrics`, and refusals listed for `GET /rejections`.

use super::app::AppState;
use super::metrics::Outcome;
use super::problem::Problem;
use crate::domain::names::HostKey;
use crate::domain::report::Source;
use crate::ledger::Rejection;
use crate::recorder::Receipt;
use std::sync::Arc;

/// Characters of a reason kept in the list of rejections.
const REASON_MAX_CHARS: usize = 1000;
/// Refused reports listed of one request; the reason says how many there were.
const SUBJECTS_MAX: usize = 100;

/// Counts what became of the reports of a request that went through.
pub fn count(state: &AppState, source: Source, receipts: &[Receipt]) {
    let duplicates = receipts.iter().filter(|receipt| receipt.duplicate).count();
    state.meters.reports(source, Outcome::Stored, receipts.len() - duplicates);
    state.meters.reports(source, Outcome::Duplicate, duplicates);
}

/// Of which group and host a refused report is, as far as that could be read.
pub type Subject = (Option<String>, Option<String>);

/// The same of a host that could be read.
pub fn subject(key: &HostKey) -> Subject {
    (Some(key.server_group.to_string()), Some(key.host.to_string()))
}

/// Lists and counts a refusal of `reports` reports, then hands the problem back. What the server itself
/// could not do is no fault of theirs: it is only counted. Nor is a stranger's request listed, who
/// could push everybody else out of the list: `gitops_auth_failures_total` has it.
pub async fn reject(
    state: &AppState,
    source: Source,
    problem: Problem,
    subjects: Vec<Subject>,
    reports: usize,
) -> Problem {
    if problem.is_ours() {
        state.meters.reports(source, Outcome::Failed, reports);
    } else if !problem.is_of_a_stranger() {
        list_refusal(state, source, &problem.reason(), subjects, reports).await;
    }
    problem
}

/// Lists refused reports for `GET /rejections`, and counts them.
pub async fn list_refusal(
    state: &AppState,
    source: Source,
    reason: &str,
    subjects: Vec<Subject>,
    reports: usize,
) {
    state.meters.reports(source, Outcome::Rejected, reports);
    let time = state.now();
    let reason: String = reason.chars().take(REASON_MAX_CHARS).collect();
    let reason: Arc<str> = reason.into();
    let rejection = |(server_group, host)| Rejection {
        time,
        source,
        server_group,
        host,
        reason: reason.clone(),
    };
    let subjects = subjects.into_iter().take(SUBJECTS_MAX);
    state.recorder.reject(subjects.map(rejection).collect()).await;
}
