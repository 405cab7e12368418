//! An export alone: a file of lines, a checkpoint, and the manifest where entries are left out.

use super::{Found, Held, Report, read_file};
use crate::commands::{Failure, wrong_argument};
use crate::domain::checkpoint::Checkpoint;
use crate::domain::line::{hex, leaf_hash, unhex};
use crate::domain::manifest::{self, Manifest};
use crate::domain::tree::Hash;
use crate::store::{Fault, beside};
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
        if held.keys.is_none() {
            let path = path.display();
            return Err(wrong_argument(format!(
                "--export needs --key, from elsewhere than {path}: anybody can have signed that"
            )));
        }
        let checkpoint = Checkpoint::read(&manifest.checkpoint, held.keys.as_ref());
        let checkpoint = checkpoint.map_err(|error| format!("{}: {error}", path.display()))?;
        checkpoints.push((path.clone(), checkpoint));
    }
    if checkpoints.is_empty() {
        let problem =
            "--export needs --checkpoint FILE, or the manifest of `export --proof` beside it";
        return Err(wrong_argument(problem.to_owned()));
    }
    let name = file.display();
    let lines = Lines::read(file)?;
    let Some(origin) = &lines.origin else {
        return Err(format!("{name}: no lines are in it, so nothing can be shown").into());
    };
    let mut report = Report::of(name.to_string());
    let count = lines.leaves.len();
    report.right(format!("{name}: {count} lines of the history {origin}"));
    let mut omitted = &[][..];
    if let Some((path, manifest)) = &manifest {
        omitted = &manifest.omitted;
        lines.compare_with(manifest, path, &mut report);
    }
    compare(&checkpoints, &lines, omitted, held, &mut report);
    held.check_receipts(origin, &mut report, |id| find(id, &lines, omitted));
    report.faults.extend(lines.faults);
    Ok(report)
}

/// Compares what the export holds and leaves out with checkpoints.
fn compare(
    checkpoints: &[(PathBuf, Checkpoint)],
    lines: &Lines,
    omitted: &[(u64, u64, String)],
    held: &Held,
    report: &mut Report,
) {
    let sizes = checkpoints.iter().map(|(_, checkpoint)| checkpoint.size).collect();
    let leaves = lines.leaves.iter().map(|(id, hash)| (*id, *hash));
    let together = match manifest::together(leaves, omitted, &sizes) {
        Ok(together) => together,
        Err(at) => {
            let what =
                "it is neither in the file nor accounted for, or what is left out does not fit";
            report.wrong(Fault { first: at, last: at, what: what.to_owned() });
            return;
        }
    };
    let (end, mut covered) = (together.size, None);
    for (path, Checkpoint { origin, size, root }) in checkpoints {
        let (path, size) = (path.display(), *size);
        if Some(&**origin) != lines.origin.as_deref() {
            report.others.push(format!("{path} is of another history, {origin}"));
        } else if size > end {
            let what = format!("they are missing; {path} covers {size} entries");
            report.wrong(Fault { first: end + 1, last: size, what });
        } else if let Some(found) = together.roots.get(&size) {
            if found == root {
                let signed = held.signatures();
                report.right(format!(
                    "they are what was recorded: root {} of {size} entries ({path}, {signed})",
                    hex(&root.0)
                ));
                covered = covered.max(Some(size));
            } else {
                let what = format!(
                    "one of them, or what the manifest says of those left out, is not what {path} covers"
                );
                report.wrong(Fault { first: 1, last: size, what });
            }
        } else {
            report.notes.push(format!("{path} ends amid what is left out; GET /proof?from_size={size} shows whether the history continues it"));
        }
    }
    let newest = lines.leaves.keys().next_back().copied().unwrap_or(0);
    let covered = covered.unwrap_or(0);
    if report.faults.is_empty() && report.others.is_empty() && newest > covered {
        let first = lines.leaves.range(covered + 1..).next().map_or(newest, |(id, _)| *id);
        report.others.push(format!("entries from {first} on cannot be checked: the newest checkpoint that fits covers {covered}; take a newer one"));
    }
}

/// What the export knows of an entry.
fn find(id: u64, lines: &Lines, omitted: &[(u64, u64, String)]) -> Found {
    if let Some(hash) = lines.leaves.get(&id) {
        return Found::Hash(*hash);
    }
    let holds = |(first, count, _): &&(u64, u64, String)| id >= *first && id - first < *count;
    match omitted.iter().find(holds) {
        // Of one entry alone the manifest has the leaf.
        Some((_, 1, hash)) => unhex(hash).map_or(Found::LeftOut, |hash| Found::Hash(Hash(hash))),
        // Of several it has not, and of what came later nothing.
        _ => Found::LeftOut,
    }
}

impl Lines {
    /// What the manifest says of the file itself, and of what it does not show.
    fn compare_with(&self, manifest: &Manifest, path: &Path, report: &mut Report) {
        let ids: Vec<u64> = self.leaves.keys().copied().collect();
        let same = manifest.sha256 == self.sha256
            && manifest.lines == ids.len() as u64
            && manifest.ids == manifest::runs(&ids)
            && Some(&manifest.origin) == self.origin.as_ref();
        if !same {
            let path = path.display();
            report.others.push(format!("it is not the file that {path} is about, byte for byte"));
        }
        let (Some(first), Some(last)) = (ids.first(), ids.last()) else { return };
        let between = last - first + 1 - ids.len() as u64;
        let filter = manifest.filter.iter();
        let filter: Vec<String> = filter
            .flat_map(|(name, values)| values.iter().map(move |v| format!("{name}={v}")))
            .collect();
        let filter = if filter.is_empty() { "none".to_owned() } else { filter.join(" ") };
        report.right(if between == 0 {
            format!("ids {first} to {last}: nothing between them is left out")
        } else {
            format!("ids {first} to {last}: {between} between them are left out, by the filter {filter} as the exporting side says; what those say, only they show")
        });
    }

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
    let path = named.map_or_else(|| manifest_of(file), Path::to_owned);
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
pub fn manifest_of(file: &Path) -> PathBuf {
    beside(file, ".manifest.json")
}
