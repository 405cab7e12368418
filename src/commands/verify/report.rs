//! What a check has found, and how it is said.

use crate::commands::{Failure, cannot_check, say};
use crate::ledger::Fault;
use std::fmt::Write as _;

/// Things that are wrong shown at most.
const SHOWN: usize = 20;

/// What was found.
pub struct Report {
    /// What is not what was recorded, if anything is wrong with it: the history, or a file.
    pub subject: String,
    pub right: Vec<String>,
    pub faults: Vec<Fault>,
    /// Wrong, but not the history itself.
    pub others: Vec<String>,
    /// What could not be compared, and is what one wants to know.
    pub unclear: Vec<String>,
    /// What could not be compared, and need not be.
    pub notes: Vec<String>,
}

impl Report {
    pub fn of(subject: String) -> Self {
        let (right, faults, others, unclear, notes) = Default::default();
        Self { subject, right, faults, others, unclear, notes }
    }

    pub fn right(&mut self, what: String) {
        self.right.push(what);
    }

    pub fn wrong(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    pub fn finish(mut self) -> Result<(), Failure> {
        let notes = self.notes.iter().map(|note| format!("not compared: {note}"));
        let right = self.right.iter();
        let is_wrong = !self.faults.is_empty() || !self.others.is_empty();
        if !is_wrong && self.unclear.is_empty() {
            let lines = right.cloned().chain(notes);
            let text: String = lines.flat_map(|line| [line, "\n".to_owned()]).collect();
            return say::text(&text);
        }
        let mut paragraphs = Vec::new();
        self.faults.sort_by_key(|fault| (fault.first, fault.last));
        if let Some(first) = self.faults.first() {
            let (subject, first) = (&self.subject, first.first);
            let lead = format!("{subject} is not what was recorded, first at entry {first}");
            paragraphs.push(lead + &listed(&self.faults));
        }
        paragraphs.append(&mut self.others);
        paragraphs.extend(self.unclear.iter().map(|what| format!("cannot be checked: {what}")));
        let mut text = paragraphs.join("\n");
        for said in right.map(|right| format!("right: {right}")).chain(notes) {
            let _ = write!(text, "\n  {said}");
        }
        if is_wrong { Err(text.into()) } else { Err(cannot_check(text)) }
    }
}

/// A line for each, up to [`SHOWN`].
pub fn listed(things: &[impl std::fmt::Display]) -> String {
    let mut text = String::new();
    for thing in things.iter().take(SHOWN) {
        let _ = write!(text, "\n  {thing}");
    }
    if let Some(more) = things.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = write!(text, "\n  and {more} more");
    }
    text
}
