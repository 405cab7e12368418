//! An entry of one host as a projection applies it.

use super::content::{Content, ContentDigest};
use super::place::Place;
use super::report::{Report, Run};
use super::time::Timestamp;
use super::words::{Kind, Source};
use std::sync::Arc;

/// An entry as far as a host's projection depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Where it stands in the host's order.
    pub place: Place,
    /// What it is. Only `report`, `inferred` and `retire` change a projection.
    pub kind: Kind,
    /// Who says it; `None` for acts of people.
    pub source: Option<Source>,
    /// The time the sender gave.
    pub reported_at: Option<Timestamp>,
    /// What it says, as far as it is remembered.
    pub content: &'a Arc<Content>,
    /// The content's digest; asked for of deployments only.
    pub digest: ContentDigest,
    /// The run it belongs to.
    pub run: Option<&'a Arc<Run>>,
}

impl<'a> Event<'a> {
    /// A report at its place.
    pub fn of(report: &'a Report, place: Place) -> Self {
        Self {
            place,
            kind: report.kind,
            source: Some(report.source),
            reported_at: report.reported_at,
            content: &report.kept,
            digest: report.digest,
            run: report.run.as_ref(),
        }
    }

    /// Whether it says something about status or files. One that does not only confirms that its
    /// sender is alive, and a walk back to what was in force may pass over it.
    pub fn speaks(&self) -> bool {
        speaks(self.source, self.content)
    }
}

/// See [`Event::speaks`]; acts of people do.
pub fn speaks(source: Option<Source>, content: &Content) -> bool {
    source.is_none_or(|source| content.status.is_some() || content.speaks_of_files(source))
}
