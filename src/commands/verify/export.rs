//! An export alone: a file of lines, a checkpoint, and the manifest where entries are left out.

use super::{Held, Report, read_file};
use crate::commands::{Failure, wrong_argument};
use crate::domain::checkpoint::Checkpoint;
use crate::domain::line::{hex, leaf_hash};
use crate::domain::manifest::{self, Manifest};
use crate::domain::tree::Hash;
use crate::store::Fault;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// What a line must say of itself.
#[derive(Deserialize)]
struct Named<'a> {
    id: &'a str,
    origin: &'a str,
}

/// The lines of a file: their hashes by id.
#[derive(Default)]
struct Lines {
    origin: Option<String>,
    leaves: BTreeMap<u64, Hash>,
    sha256: String,
    faults: Vec<Fault>,
}

/// Checks an export against checkpoints.
pub fn check(file: &Path, manifest: Option<&Path>, held: &Held) -> Result<Report, Failure> {
    let manifest = read_manifest(file, manifest)?;
    let mut checkpoints = held.checkpoints.clone();
    if let Some((path, manifest)) = &manifest {
        let checkpoint = Checkpoint::read(&manifest.checkpoint, held.keys.as_ref());
        let checkpoint = checkpoint.map_err(|error| format!("{}: {error}", path.display()))?;
        checkpoints.push((path.clone(), checkpoint));
    }
    if checkpoints.is_empty() {
        let problem =
            "--export needs --checkpoint FILE, or the manifest of `export --proof` beside it";
        return Err(wrong_argument(problem.to_owned()));
    }
    let mut report = Report::default();
    let lines = Lines::read(file)?;
    let count = lines.leaves.len();
    report.faults.extend(lines.faults);
    let name = file.display();
    let Some(origin) = lines.origin.or_else(|| manifest.as_ref().map(|m| m.1.origin.clone()))
    else {
        return Err(format!("{name}: no lines are in it").into());
    };
    report.right(format!("{name}: {count} lines of the history {origin}"));
    let mut omitted = &[][..];
    if let Some((path, manifest)) = &manifest {
        omitted = &manifest.omitted;
        if manifest.sha256 != lines.sha256 {
            let path = path.display();
            report.others.push(format!("{name}: it is not the file that {path} is about"));
        }
    }
    for (path, checkpoint) in &checkpoints {
        let tree = Tree { leaves: &lines.leaves, omitted, origin: &origin };
        tree.compare(path, checkpoint, held, &mut report);
    }
    held.check_receipts(&origin, &mut report, |id| lines.leaves.get(&id).map(|hash| hash.0));
    Ok(report)
}

/// What an export holds and what it leaves out.
struct Tree<'a> {
    leaves: &'a BTreeMap<u64, Hash>,
    omitted: &'a [(u64, u64, String)],
    origin: &'a str,
}

impl Tree<'_> {
    fn compare(&self, path: &Path, checkpoint: &Checkpoint, held: &Held, report: &mut Report) {
        let (path, size) = (path.display(), checkpoint.size);
        let mut wrong = |first: u64, last, what| report.wrong(Fault { first, last, what });
        if *checkpoint.origin != *self.origin {
            wrong(1, size.max(1), format!("{path} is of another history, {}", checkpoint.origin));
            return;
        }
        if let Some((beyond, _)) = self.leaves.range(size + 1..).next() {
            let what = format!("{path} covers {size} entries; take a newer checkpoint");
            wrong(*beyond, u64::MAX, what);
            return;
        }
        let leaves = self.leaves.iter().map(|(id, hash)| (*id, *hash));
        match manifest::root(leaves, self.omitted) {
            Err(at) => wrong(at, at, "it is neither in the file nor accounted for".to_owned()),
            Ok((found, _)) if found != size => {
                wrong(found + 1, size, format!("they are missing; {path} covers {size} entries"));
            }
            Ok((_, root)) if root != checkpoint.root => {
                wrong(1, size, format!("one of them is not what {path} covers"));
            }
            Ok((_, root)) => {
                let (root, signed) = (hex(&root.0), held.signatures());
                report.right(format!(
                    "they are what was recorded: root {root} of {size} entries ({path}, {signed})"
                ));
            }
        }
    }
}

impl Lines {
    fn read(path: &Path) -> Result<Self, Failure> {
        let named = |error: std::io::Error| format!("{}: {error}", path.display());
        let mut reader = BufReader::with_capacity(1 << 20, File::open(path).map_err(named)?);
        let (mut lines, mut all, mut line) = (Self::default(), Sha256::new(), Vec::new());
        let mut number = 0_u64;
        loop {
            line.clear();
            if reader.read_until(b'\n', &mut line).map_err(named)? == 0 {
                lines.sha256 = hex(&all.finalize());
                return Ok(lines);
            }
            number += 1;
            all.update(&line);
            let bytes = line.strip_suffix(b"\n").unwrap_or(&line);
            let Ok(Named { id, origin }) = serde_json::from_slice::<Named<'_>>(bytes) else {
                let path = path.display();
                return Err(format!("{path}: line {number} is not a line of a history; `export --format ndjson` writes such").into());
            };
            lines.take(id, origin, bytes);
        }
    }

    fn take(&mut self, id: &str, origin: &str, bytes: &[u8]) {
        let known = self.origin.get_or_insert_with(|| origin.to_owned());
        let same = known == origin;
        let id = id.parse().unwrap_or(0);
        let mut fault =
            |what: &str| self.faults.push(Fault { first: id, last: id, what: what.into() });
        if !same {
            fault("its line is of another history than the first");
        }
        if self.leaves.insert(id, Hash(leaf_hash(bytes))).is_some() {
            fault("it stands in the file twice");
        }
    }
}

/// The manifest: the one that is named, or the one beside the export if there is one.
fn read_manifest(
    file: &Path,
    named: Option<&Path>,
) -> Result<Option<(PathBuf, Manifest)>, Failure> {
    let path = named.map_or_else(|| beside(file), Path::to_owned);
    if named.is_none() && !path.exists() {
        return Ok(None);
    }
    let manifest: Result<Manifest, _> = serde_json::from_str(&read_file(&path)?);
    let manifest =
        manifest.map_err(|error| format!("{}: not a manifest: {error}", path.display()))?;
    if manifest.manifest != manifest::VERSION {
        let (path, version) = (path.display(), manifest.manifest);
        return Err(format!("{path}: manifest version {version} needs a newer program").into());
    }
    Ok(Some((path, manifest)))
}

/// Where the manifest of an export is.
pub fn beside(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(".manifest.json");
    path.into()
}
