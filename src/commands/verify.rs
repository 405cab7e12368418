//! `verify`: whether the history is what was recorded, and whether what is written down besides it is
//! what it says. `rebuild` builds the latter again.

mod database;
mod export;
mod held;

pub(super) use database::GUARDS;
pub use export::manifest_of;

use super::{Failure, cannot_check, progress, say};
use crate::config::{DatabaseArgs, VerifyArgs};
use crate::store::{
    Dictionary, Fault, Hold, Location, Role, check_names, check_only, put_back, rebuild,
};
use held::{Found, Held};
use std::fmt::Write as _;

/// Things that are wrong shown at most.
const SHOWN: usize = 20;

/// Checks what the arguments name. What is right goes to standard output; anything wrong is a failure
/// that begins with the first entry concerned.
pub async fn run(args: VerifyArgs) -> Result<(), Failure> {
    let held = Held::read(&args)?;
    let report = match &args.export {
        Some(file) => export::check(file, args.manifest.as_deref(), &held)?,
        None => database::check(&args, &held).await?,
    };
    report.finish()
}

/// Rebuilds current state, segments and episodes from the history.
pub async fn run_rebuild(args: DatabaseArgs) -> Result<(), Failure> {
    let location = Location::parse(&args.database_url)?;
    check_names(&location)?;
    check_only(&location).await?;
    let hold = Hold::take(&location, Role::Rebuild).await?;
    let put_back = put_back(&location, &hold).await?;
    let bar = progress::bar("folding");
    let dictionary = Dictionary::default();
    let hosts = rebuild(&location, &dictionary, &|done, total| bar.show(done, total)).await?;
    bar.finish();
    let mut text = String::new();
    for what in put_back {
        let _ = writeln!(text, "{what}: put right");
    }
    let _ = writeln!(text, "the projections of {hosts} hosts are rebuilt");
    say::text(&text)
}

/// What was found.
struct Report {
    /// What is not what was recorded, if anything is wrong with it: the history, or a file.
    subject: String,
    right: Vec<String>,
    faults: Vec<Fault>,
    /// Wrong, but not the history itself.
    others: Vec<String>,
    /// What could not be compared, and is what one wants to know.
    unclear: Vec<String>,
    /// What could not be compared, and need not be.
    notes: Vec<String>,
}

impl Report {
    fn of(subject: String) -> Self {
        let (right, faults, others, unclear, notes) = Default::default();
        Self { subject, right, faults, others, unclear, notes }
    }

    fn right(&mut self, what: String) {
        self.right.push(what);
    }

    fn wrong(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    fn finish(mut self) -> Result<(), Failure> {
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
pub(super) fn listed(things: &[impl std::fmt::Display]) -> String {
    let mut text = String::new();
    for thing in things.iter().take(SHOWN) {
        let _ = write!(text, "\n  {thing}");
    }
    if let Some(more) = things.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = write!(text, "\n  and {more} more");
    }
    text
}
