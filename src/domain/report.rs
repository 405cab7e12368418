//! A [`Report`] as it comes in: who says what of which host, when and in which run.

use super::content::{Content, ContentDigest};
use super::names::HostKey;
use super::time::Timestamp;
use std::sync::Arc;

pub use super::words::{Kind, Source, Status, Transition};

/// The run of a pipeline a report belongs to. At least one of the two is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Run {
    /// The sender's name for the run.
    pub run_id: Option<String>,
    /// Where a person can look at it.
    pub run_url: Option<String>,
}

/// Who handed the report in, as we saw it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Sender {
    /// The name of the access token, if one was used.
    pub reported_by: Option<String>,
    /// The client's address.
    pub remote_address: Option<String>,
}

/// One report, parsed and checked, on its way into the history.
#[derive(Debug, Clone)]
pub struct Report {
    /// Which host it is about.
    pub key: HostKey,
    /// Sent, or concluded from what was sent.
    pub kind: Kind,
    /// Who says it.
    pub source: Source,
    /// The time the sender gave.
    pub reported_at: Option<Timestamp>,
    /// What it says.
    pub content: Arc<Content>,
    /// What is remembered of that; see [`Content::kept`].
    pub kept: Arc<Content>,
    /// The content's digest.
    pub digest: ContentDigest,
    /// The run it belongs to, if it says so.
    pub run: Option<Arc<Run>>,
}
