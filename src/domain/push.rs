//! A push: what one run of a job says about its stacks, all at once. What it leaves out is said, too.

use super::content::{Content, ContentDigest, Labels};
use super::time::Timestamp;
use std::sync::Arc;

/// A full grouping key of the push API: the job, and the labels behind it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Grouping {
    /// The job: the stacks' server group.
    pub job: Arc<str>,
    /// The labels, as canonical JSON: `{}` for the job alone.
    pub labels: Arc<str>,
}

impl Grouping {
    /// The grouping of a job and its labels.
    pub fn new(job: &str, labels: Option<&Labels>) -> Self {
        let labels = labels.map_or_else(
            || "{}".to_owned(),
            |labels| serde_json::to_string(labels).expect("labels are strings"),
        );
        Self { job: job.into(), labels: labels.into() }
    }
}

/// What a push says beside its reports.
#[derive(Debug, Clone)]
pub struct Push {
    /// Whose stacks they are.
    pub grouping: Grouping,
    /// When the run was, if the push says so.
    pub run_at: Option<Timestamp>,
    /// Whether the grouping is deleted: then all of its stacks are gone.
    pub deletes: bool,
    /// What is recorded of each stack that is gone: `unknown`, and why.
    pub absence: Arc<Content>,
    /// Its digest.
    pub absence_digest: ContentDigest,
}
