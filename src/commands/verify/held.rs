//! What others hold, and a history is compared with: receipts, checkpoints, keys.

use super::report::{Report, listed};
use crate::commands::{Failure, cannot_check, inputs, wrong_argument};
use crate::config::VerifyArgs;
use crate::domain::checkpoint::{Checkpoint, CheckpointError, PublicKeys};
use crate::domain::receipt::{Receipt, in_line};
use crate::domain::shown::{ShowPath as _, quoted};
use crate::domain::tree::Hash;
use crate::ledger::Fault;
use std::collections::HashSet;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// What is said once of the lines of logs that show nothing.
const ANYBODY: &str = "a line proves nothing about who printed it: whatever writes into a job's log can \
     print one; those that the reporting step itself printed count";

/// What others hold.
pub struct Held {
    pub receipts: Vec<Witness>,
    pub checkpoints: Vec<(PathBuf, Checkpoint)>,
    pub keys: Option<PublicKeys>,
    /// Lines of logs that look like receipts and are none.
    junk: Vec<String>,
}

/// A receipt, and where it was found.
pub struct Witness {
    pub receipt: Receipt,
    /// `None`: it was an argument.
    from: Option<String>,
}

/// What is known of an entry.
pub enum Found {
    /// Its leaf hash.
    Hash(Hash),
    /// That there is none.
    Nothing,
    /// Nothing, because the export is not about it.
    LeftOut,
}

impl Held {
    pub fn read(args: &VerifyArgs) -> Result<Self, Failure> {
        let keys = args.key.as_deref().map(read_keys).transpose()?;
        let (receipts, checkpoints, junk) = Default::default();
        let mut held = Self { receipts, checkpoints, keys, junk };
        for text in &args.receipt {
            let receipt = text.parse::<Receipt>();
            let receipt = receipt.map_err(|error| wrong_argument(format!("--receipt {error}")))?;
            held.receipts.push(Witness { receipt, from: None });
        }
        for file in &args.receipts {
            held.read_log(file)?;
        }
        for file in &args.checkpoint {
            let checkpoint = Checkpoint::read(&read_file(file)?, held.keys.as_ref());
            let checkpoint = checkpoint.map_err(|error| no_checkpoint(file, &error))?;
            held.checkpoints.push((file.clone(), checkpoint));
        }
        Ok(held)
    }

    /// Takes over what a log holds, in whatever bytes it is written.
    fn read_log(&mut self, file: &Path) -> Result<(), Failure> {
        let failed = |error: std::io::Error| cannot_check(format!("{}: {error}", file.shown()));
        let mut log = BufReader::new(inputs::open_given(file).map_err(failed)?);
        let (mut line, mut number) = (Vec::new(), 0_u64);
        let before = self.receipts.len() + self.junk.len();
        while inputs::next_line(&mut log, &mut line).map_err(failed)? {
            number += 1;
            for found in in_line(&String::from_utf8_lossy(&line)) {
                let from = || format!("line {number} of {}", file.shown());
                match found {
                    Ok(receipt) => self.receipts.push(Witness { receipt, from: Some(from()) }),
                    Err(words) => self.junk.push(format!("{}: {}", from(), quoted(words))),
                }
            }
        }
        if self.receipts.len() + self.junk.len() == before {
            return Err(cannot_check(format!("{}: no receipts are in it", file.shown())));
        }
        Ok(())
    }

    /// Whether receipts were given, be they any good or not.
    pub fn has_receipts(&self) -> bool {
        !self.receipts.is_empty() || !self.junk.is_empty()
    }

    /// What is known of the signatures of checkpoints.
    pub fn signatures(&self) -> &'static str {
        if self.keys.is_some() {
            "signed by the key that was given"
        } else {
            "signature not checked: give --key, from elsewhere than the server"
        }
    }

    /// Compares receipts with what `found` knows of their entries. Of a log, what contradicts is wrong;
    /// what says nothing of this history is counted and named, and spoils nothing as long as others fit.
    pub fn check_receipts(&self, origin: &str, report: &mut Report, found: impl Fn(u64) -> Found) {
        let all = self.receipts.len();
        let (mut fit, mut wrong) = (HashSet::new(), Vec::new());
        let (mut right, mut foreign, mut left_out) = (0, Vec::new(), Vec::new());
        for witness in &self.receipts {
            let Receipt { origin: named, id, hash } = &witness.receipt;
            match found(*id) {
                _ if named != origin => foreign.push(witness.told(&quoted(named))),
                Found::LeftOut => left_out.push(*id),
                Found::Hash(found) if found == *hash => {
                    right += 1;
                    fit.insert(*id);
                }
                Found::Hash(_) => wrong.push((*id, witness, "it is not what its receipt says")),
                Found::Nothing => {
                    wrong.push((
                        *id,
                        witness,
                        "a receipt of it was given out, but it is not there",
                    ));
                }
            }
        }
        if right > 0 {
            report.right(format!("{right} of {all} receipts fit"));
        }
        let mut from_a_log = !self.junk.is_empty() || !foreign.is_empty();
        for (id, witness, what) in wrong {
            from_a_log |= witness.from.is_some();
            let other = if fit.contains(&id) { ", though another one of it fits" } else { "" };
            let what = witness.told(what) + other;
            report.wrong(Fault { first: id, last: id, what });
        }
        let mut says_nothing = Vec::new();
        if let Some(first) = left_out.iter().min() {
            let some = left_out.len();
            says_nothing.push(format!("{some} of {all} receipts are of entries that the export leaves out, the first of them {first}"));
        }
        if !foreign.is_empty() {
            let many = foreign.len();
            says_nothing.push(format!(
                "{many} of {all} receipts are of another history and say nothing of this one:{}",
                listed(&foreign)
            ));
        }
        if !self.junk.is_empty() {
            let many = self.junk.len();
            says_nothing.push(format!(
                "{many} more look like receipts and are none:{}",
                listed(&self.junk)
            ));
        }
        if from_a_log {
            says_nothing.push(ANYBODY.to_owned());
        }
        // Somebody who holds up receipts and learns of none shall not read that all is well.
        if right == 0 { &mut report.unclear } else { &mut report.notes }.extend(says_nothing);
    }
}

impl Witness {
    fn told(&self, what: &str) -> String {
        match &self.from {
            Some(from) => format!("{what} ({from})"),
            None => what.to_owned(),
        }
    }
}

/// A checkpoint that is no note cannot be checked; one that somebody else signed is wrong.
pub fn no_checkpoint(path: &Path, error: &CheckpointError) -> Failure {
    let problem = format!("{}: {error}", path.shown());
    match error {
        CheckpointError::Malformed => cannot_check(problem),
        CheckpointError::NobodyKnown | CheckpointError::WrongSignature => problem.into(),
    }
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
    keys.map_err(|error| cannot_check(format!("{}: {error}", path.shown())))
}

fn read_file(path: &Path) -> Result<String, Failure> {
    let text = inputs::read_given_text(path, inputs::NOTE_MOST);
    text.map_err(|error| cannot_check(format!("{}: {error}", path.shown())))
}
