//! `verify`: whether the history is what was recorded, and whether what is written down besides it is
//! what it says. `rebuild` writes the latter anew.

mod database;
mod export;

pub use export::manifest_of;

use super::{Failure, progress, unless_reader_left, wrong_argument};
use crate::config::{DatabaseArgs, VerifyArgs};
use crate::domain::checkpoint::{Checkpoint, PublicKeys};
use crate::domain::receipt::{self, Receipt};
use crate::domain::tree::Hash;
use crate::store::{Dictionary, Fault, Hold, Location, Role, check_only, rebuild};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

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

/// Writes current state, segments and episodes anew from the history.
pub async fn run_rebuild(args: DatabaseArgs) -> Result<(), Failure> {
    let location = Location::parse(&args.database_url)?;
    check_only(&location).await?;
    let _hold = Hold::take(&location, Role::Rebuild).await?;
    let bar = progress::bar("folding");
    let dictionary = Dictionary::default();
    let hosts = rebuild(&location, &dictionary, &|done, total| bar.show(done, total)).await?;
    bar.finish();
    let text = format!("the projections of {hosts} hosts are written anew\n");
    unless_reader_left(std::io::stdout().write_all(text.as_bytes()))
}

/// What others hold, and the history is compared with.
struct Held {
    receipts: Vec<Receipt>,
    checkpoints: Vec<(PathBuf, Checkpoint)>,
    keys: Option<PublicKeys>,
}

impl Held {
    fn read(args: &VerifyArgs) -> Result<Self, Failure> {
        let keys = args.key.as_deref().map(read_keys).transpose()?;
        let mut receipts = Vec::new();
        for text in &args.receipt {
            let receipt = text.parse::<Receipt>();
            receipts.push(receipt.map_err(|error| wrong_argument(format!("--receipt {error}")))?);
        }
        for file in &args.receipts {
            let (found, unreadable) = receipt::in_log(&read_file(file)?);
            if let Some(line) = unreadable.first() {
                let file = file.display();
                return Err(format!("{file}: line {line}: its receipt cannot be read").into());
            }
            if found.is_empty() {
                return Err(format!("{}: no receipts are in it", file.display()).into());
            }
            receipts.extend(found);
        }
        let mut checkpoints = Vec::new();
        for file in &args.checkpoint {
            let checkpoint = Checkpoint::read(&read_file(file)?, keys.as_ref());
            let checkpoint = checkpoint.map_err(|error| format!("{}: {error}", file.display()))?;
            checkpoints.push((file.clone(), checkpoint));
        }
        Ok(Self { receipts, checkpoints, keys })
    }

    /// What is known of the signatures of checkpoints.
    fn signatures(&self) -> &'static str {
        if self.keys.is_some() {
            "signed by the key that was given"
        } else {
            "signature not checked: give --key, from elsewhere than the server"
        }
    }

    /// Compares receipts with what `found` knows of their entries.
    fn check_receipts(&self, origin: &str, report: &mut Report, found: impl Fn(u64) -> Found) {
        let (mut right, mut foreign, mut left_out) = (0, Vec::new(), Vec::new());
        for Receipt { origin: named, id, hash } in &self.receipts {
            let id = *id;
            let mut wrong =
                |what: &str| report.wrong(Fault { first: id, last: id, what: what.into() });
            match found(id) {
                _ if named != origin => foreign.push(named),
                Found::LeftOut => left_out.push(id),
                Found::Nothing => wrong("a receipt of it was given out, but it is not there"),
                Found::Hash(found) if found != *hash => wrong("it is not what its receipt says"),
                Found::Hash(_) => right += 1,
            }
        }
        let all = self.receipts.len();
        if right > 0 {
            report.right(format!("{right} of {all} receipts fit"));
        }
        let (many, some) = (foreign.len(), left_out.len());
        let foreign = foreign.first().map(|named| {
            format!("{many} of {all} receipts are of another history, {named}: they say nothing of this one")
        });
        let left_out = left_out.iter().min().map(|first| {
            format!("{some} of {all} receipts are of entries that the export leaves out, the first of them {first}")
        });
        report.others.extend(foreign);
        // Somebody who holds up receipts and learns of none shall not read that all is well.
        if right == 0 { &mut report.others } else { &mut report.notes }.extend(left_out);
    }
}

/// What is known of an entry.
enum Found {
    /// Its leaf hash.
    Hash(Hash),
    /// That there is none.
    Nothing,
    /// Nothing, because the export is not about it.
    LeftOut,
}

/// A public key, or a file with some.
fn read_keys(given: &str) -> Result<PublicKeys, Failure> {
    if let Ok(keys) = PublicKeys::parse(given) {
        return Ok(keys);
    }
    let path = Path::new(given);
    if !path.exists() {
        let problem = "--key is neither a public key nor a file with some".to_owned();
        return Err(wrong_argument(problem));
    }
    let keys = PublicKeys::parse(&read_file(path)?);
    keys.map_err(|error| format!("{}: {error}", path.display()).into())
}

fn read_file(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path);
    text.map_err(|error| format!("{}: {error}", path.display()).into())
}

/// What was found.
struct Report {
    /// What is not what was recorded, if anything is wrong with it: the history, or a file.
    subject: String,
    right: Vec<String>,
    faults: Vec<Fault>,
    /// Wrong, but not the history itself.
    others: Vec<String>,
    /// What could not be compared, and need not be.
    notes: Vec<String>,
}

impl Report {
    fn of(subject: String) -> Self {
        let (right, faults, others, notes) = Default::default();
        Self { subject, right, faults, others, notes }
    }

    fn right(&mut self, what: String) {
        self.right.push(what);
    }

    fn wrong(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    fn finish(mut self) -> Result<(), Failure> {
        let notes = self.notes.iter().map(|note| format!("not compared: {note}"));
        if self.faults.is_empty() && self.others.is_empty() {
            let lines = self.right.into_iter().chain(notes);
            let text: String = lines.flat_map(|line| [line, "\n".to_owned()]).collect();
            return unless_reader_left(std::io::stdout().write_all(text.as_bytes()));
        }
        let mut text = String::new();
        self.faults.sort_by_key(|fault| (fault.first, fault.last));
        if let Some(first) = self.faults.first() {
            let (subject, first) = (&self.subject, first.first);
            let _ = write!(text, "{subject} is not what was recorded, first at entry {first}");
            text += &listed(&self.faults);
        }
        if !self.others.is_empty() {
            let lead = if text.is_empty() { "" } else { "\n" };
            let _ = write!(text, "{lead}{}", self.others.join("\n"));
        }
        for said in self.right.iter().map(|right| format!("right: {right}")).chain(notes) {
            let _ = write!(text, "\n  {said}");
        }
        Err(text.into())
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
