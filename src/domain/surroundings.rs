//! What stands around the place of a report that arrives out of order: what was in force just before
//! it, and where the next drift behind it begins. The registers answer where their words lie before
//! the place; the rest the recorder looks up in the history.

use super::content::Content;
use super::event::Event;
use super::place::{Place, Word};
use super::words::{Kind, Status};
use std::sync::Arc;

/// What was in force just before a place.
#[derive(Debug, Clone, Default)]
pub struct Before {
    /// Whether any report comes before.
    pub exists: bool,
    /// The status said last.
    pub status: Option<Status>,
    /// The content that spoke of files last.
    pub files: Option<Arc<Content>>,
    /// Whether a drift is open: of `synced` and `out_of_sync`, the latter was said last.
    pub drift_open: bool,
}

/// What the history knows around the place of a report that arrives out of order.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// What was in force just before.
    pub before: Before,
    /// The first `out_of_sync` report behind it.
    pub next_drift: Option<Place>,
}

/// What a host's entries say around a place: the newest of each kind before it, and the first drift
/// behind it. Built from the history and from entries still on their way into it, in any order.
#[derive(Debug, Clone, Default)]
pub struct Neighbours {
    /// A report before; the newest, if there is a retirement before too.
    pub reported: Option<Place>,
    /// The newest status before.
    pub status: Option<Word<Status>>,
    /// The newest content before that speaks of files.
    pub files: Option<Word<Arc<Content>>>,
    /// The newest of `synced` and `out_of_sync` before; true for the latter.
    pub drifting: Option<Word<bool>>,
    /// The first `out_of_sync` report behind.
    pub next_drift: Option<Place>,
    /// The newest retirement before.
    pub retired: Option<Place>,
}

/// What only the history knows of a place's surroundings: what to look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the fields are those of Neighbours")]
#[expect(clippy::struct_excessive_bools, reason = "independent questions")]
pub struct Unknown {
    pub reported: bool,
    pub status: bool,
    pub files: bool,
    pub drifting: bool,
    pub next_drift: bool,
    pub retired: bool,
}

impl Unknown {
    /// Whether there is anything to look up.
    pub fn is_any(self) -> bool {
        self != Self::default()
    }
}

impl Neighbours {
    /// Takes in what was found elsewhere.
    pub fn merge(&mut self, found: Self) {
        fn newer<T>(known: &mut Option<Word<T>>, found: Option<Word<T>>) {
            if let Some(found) = found {
                Word::set_newer(known, found.place, || found.value);
            }
        }
        self.reported = self.reported.max(found.reported);
        newer(&mut self.status, found.status);
        newer(&mut self.files, found.files);
        newer(&mut self.drifting, found.drifting);
        self.retired = self.retired.max(found.retired);
        self.next_drift = match (self.next_drift, found.next_drift) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }

    /// Takes in one more entry of the host, seen from the place `at`.
    pub fn take_in(&mut self, at: Place, event: &Event<'_>) {
        let (place, content) = (event.place, event.content);
        let Some(source) = event.source else {
            if event.kind == Kind::Retire && place < at {
                self.retired = self.retired.max(Some(place));
            }
            return;
        };
        if place > at {
            if content.status == Some(Status::OutOfSync) {
                self.next_drift = Some(self.next_drift.map_or(place, |next| next.min(place)));
            }
            return;
        }
        self.reported = self.reported.max(Some(place));
        if content.speaks_of_files(source) {
            Word::set_newer(&mut self.files, place, || content.clone());
        }
        if let Some(status) = content.status {
            Word::set_newer(&mut self.status, place, || status);
            if matches!(status, Status::Synced | Status::OutOfSync) {
                Word::set_newer(&mut self.drifting, place, || status == Status::OutOfSync);
            }
        }
    }

    /// The answer the fold asks for.
    pub fn surroundings(self) -> Surroundings {
        fn since<T>(word: Option<Word<T>>, retired: Option<Place>) -> Option<T> {
            word.filter(|word| Some(word.place) > retired).map(|word| word.value)
        }
        Surroundings {
            before: Before {
                exists: self.reported > self.retired,
                status: since(self.status, self.retired),
                files: since(self.files, self.retired),
                drift_open: since(self.drifting, self.retired).unwrap_or(false),
            },
            next_drift: self.next_drift,
        }
    }
}
