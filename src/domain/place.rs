//! Where an entry stands in its host's order, and a word with its place.

use super::time::Timestamp;

/// A report's place in its host's order: by time, then by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The time that counts.
    pub time: Timestamp,
    /// The entry's id.
    pub id: u64,
}

/// The newest word of some kind, and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word<T> {
    /// Where it was said.
    pub place: Place,
    /// What was said.
    pub value: T,
}

impl<T> Word<T> {
    /// Keeps a word unless a newer one is known.
    pub fn set_newer(known: &mut Option<Self>, place: Place, value: impl FnOnce() -> T) {
        if known.as_ref().is_none_or(|old| place >= old.place) {
            *known = Some(Self { place, value: value() });
        }
    }
}
