//! What a host's registers know of the surroundings of a place.

use super::HostState;
use crate::domain::event::Event;
use crate::domain::place::{Place, Word};
use crate::domain::surroundings::{Neighbours, Unknown};

impl HostState {
    /// What the registers know of the surroundings of a place, and what must be looked up: a register
    /// whose word lies before the place is the answer itself.
    pub fn neighbours(&self, event: &Event<'_>) -> (Neighbours, Unknown) {
        fn before<T: Clone>(word: Option<&Word<T>>, at: Place) -> (Option<Word<T>>, bool) {
            let known = word.filter(|word| word.place < at).cloned();
            let unknown = word.is_some() && known.is_none();
            (known, unknown)
        }
        let at = event.place;
        let drifts = |place: Option<Place>, value| place.map(|place| Word { place, value });
        let (synced, drifted) = (drifts(self.synced, false), drifts(self.drifted, true));
        let newest = if self.drifted > self.synced { drifted } else { synced };
        let (status, status_unknown) = before(self.status.as_ref(), at);
        let (files, files_unknown) = before(self.files.as_ref(), at);
        let (drifting, drifting_unknown) = before(newest.as_ref(), at);
        let retired = self.retired.filter(|retired| *retired < at);
        let known = Neighbours {
            reported: (self.first_time < at.time && self.retired.is_none())
                .then_some(Place { time: self.first_time, id: 0 }),
            status,
            files,
            drifting,
            next_drift: None,
            retired,
        };
        let unknown = Unknown {
            reported: self.first_time == at.time || self.retired.is_some(),
            status: status_unknown,
            files: files_unknown,
            drifting: drifting_unknown,
            next_drift: self.needs_next_drift(event),
            retired: self.retired.is_some() && retired.is_none(),
        };
        (known, unknown)
    }
}
