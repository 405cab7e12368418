//! Listing a host to be folded anew: its row in `refold`.

use super::changes::number_file_sets;
use super::course_value::to_text;
use super::courses::Names;
use super::refolder::Refold;
use super::tail::Listing;
use super::writer::Writer;
use crate::domain::apply::Late;
use crate::domain::course::Course;
use crate::files::trouble::Trouble;
use crate::ledger::steps::{Step, Value};

const LIST: &str = "INSERT OR REPLACE INTO refold (host_id, from_time, last, resumed, course, base) \
     VALUES (?, ?, ?, ?, ?, ?)";

/// The row of a host after something came late; `before`: its row until now.
pub fn listed(before: Option<&Refold>, listing: Listing<'_>) -> Refold {
    let Listing { state, late } = listing;
    let (key, names) = (state.key.clone(), Names::of(state));
    match before {
        None => {
            let base = late.base.clone().unwrap_or_default();
            let Late { from, last, .. } = *late;
            let (course, generation) = (base.clone(), 0);
            // A course that never began is the course before anything.
            let resumed = base == Course::default();
            Refold { key, names, from, last, resumed, course, base, generation }
        }
        Some(before) => Refold {
            key,
            names,
            from: before.from.min(late.from),
            last: before.last.max(late.last),
            resumed: before.resumed && late.from >= before.from,
            generation: before.generation + 1,
            ..before.clone()
        },
    }
}

impl Writer {
    /// What lists a host.
    pub fn list(&mut self, refold: &Refold) -> Result<Vec<Step>, Trouble> {
        let (sets, mut steps) =
            number_file_sets(self, [&refold.course.files, &refold.base.files].into_iter())?;
        let text = |course: &Course| {
            let files = course.files.digest().and_then(|digest| sets.get(digest).copied());
            Value::from(to_text(course, files))
        };
        let values = vec![
            refold.names.root.into(),
            refold.from.0.into(),
            refold.last.0.into(),
            i64::from(refold.resumed).into(),
            text(&refold.course),
            text(&refold.base),
        ];
        steps.push(Step { text: LIST, values });
        Ok(steps)
    }
}
