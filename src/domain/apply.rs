//! The one way in which entries are applied to a host's state: behind a commit, at a start, when
//! another process has written, when projections are rebuilt or verified, and when somebody looks back.
//!
//! It has two halves. [`hear`] moves the registers, in any order of arrival. [`advance`] lets the course
//! follow, an instant at a time, if nothing of what came belongs before what was folded; else it says
//! from where the course is to be folded anew. [`apply`] is both.

use super::course::{Change, Course};
use super::event::Event;
use super::names::HostKey;
use super::place::Place;
use super::state::HostState;
use super::time::Timestamp;
use std::convert::Infallible;

/// Whose entries these are: the host's name now, and its number.
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    /// The name.
    pub key: &'a HostKey,
    /// The number.
    pub id: i64,
}

/// Entries that belong before something that was folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Late {
    /// The course without them, if it was in order until now. What is written of it is right before
    /// `from`.
    pub base: Option<Course>,
    /// The earliest time at which the course may be wrong.
    pub from: Timestamp,
    /// The newest time of an entry that came out of order.
    pub last: Timestamp,
}

/// An entry that was heard.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// The entry.
    pub event: Event<'a>,
    /// Whether one of the same or a later time was there before.
    pub out_of_order: bool,
}

/// Moves the registers of a host (`None` before its first report). `next_drift` is asked where the next
/// drift behind a place begins; never, if entries come in the order of (time, id).
pub fn hear<'a, E>(
    state: &mut Option<HostState>,
    host: Host<'_>,
    event: Event<'a>,
    next_drift: impl FnOnce(&HostState) -> Result<Option<Place>, E>,
) -> Result<Heard<'a>, E> {
    let newest = state.as_ref().map(HostState::newest_time);
    let out_of_order = newest.is_some_and(|newest| event.place.time <= newest);
    match state {
        Some(state) => {
            let asked = state.needs_next_drift(&event);
            let next = if asked { next_drift(state)? } else { None };
            state.hear(&event, next);
        }
        None if event.source.is_some() => {
            *state = Some(HostState::begin(host.key.clone(), host.id, &event));
        }
        None => {}
    }
    Ok(Heard { event, out_of_order })
}

/// Lets a host's course follow what was heard.
pub fn advance(
    state: &mut HostState,
    heard: &mut [Heard<'_>],
    changes: &mut Vec<Change>,
) -> Option<Late> {
    heard.sort_unstable_by_key(|heard| heard.event.place);
    let from = heard.first()?.event.place.time;
    if let Some(course) = state.course.as_mut().filter(|course| course.is_before(from)) {
        let events: Vec<_> = heard.iter().map(|heard| heard.event).collect();
        course.fold(&events, changes);
        return None;
    }
    let late = heard.iter().rev().find(|heard| heard.out_of_order);
    let last = late?.event.place.time;
    Some(Late { base: state.course.take(), from, last })
}

/// Applies entries that come in the order of (time, id), behind all others of their host.
pub fn apply(
    state: &mut Option<HostState>,
    host: Host<'_>,
    events: &[Event<'_>],
    changes: &mut Vec<Change>,
) {
    let mut heard = Vec::with_capacity(events.len());
    for event in events {
        let Ok(one) = hear(state, host, *event, |_| Ok::<_, Infallible>(None));
        heard.push(one);
    }
    if let Some(state) = state {
        let late = advance(state, &mut heard, changes);
        debug_assert!(late.is_none(), "entries come in order");
    }
}
