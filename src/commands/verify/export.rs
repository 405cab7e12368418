//! An export alone: a file of lines, a checkpoint, and the manifest where entries are left out.

use super::held::{Found, Held, no_checkpoint};
use super::report::Report;
use crate::commands::{Failure, cannot_check, inputs, wrong_argument};
use crate::domain::checkpoint::Checkpoint;
use crate::domain::line::{hex, leaf_hash, unhex};
use crate::domain::manifest::{self, Manifest};
use crate::domain::shown::{ShowPath as _, quoted, shown};
use crate::domain::tree::Hash;
use crate::files::beside;
use crate::ledger::Fault;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// How deep a line may be nested. The server takes less; programs that recurse into more break down.
const MOST_DEPTH: usize = 128;

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
            let path = path.shown();
            return Err(wrong_argument(format!(
                "--export needs --key, from elsewhere than {path}: anybody can have signed that"
            )));
        }
        let checkpoint = Checkpoint::read(&manifest.checkpoint, held.keys.as_ref());
        let checkpoint = checkpoint.map_err(|error| no_checkpoint(path, &error))?;
        checkpoints.push((path.clone(), checkpoint));
    }
    if checkpoints.is_empty() {
        let problem =
            "--export needs --checkpoint FILE, or the manifest of `export --proof` beside it";
        return Err(wrong_argument(problem.to_owned()));
    }
    let name = file.shown();
    let lines = Lines::read(file)?;
    let Some(origin) = &lines.origin else {
        return Err(cannot_check(format!("{name}: no lines are in it, so nothing can be shown")));
    };
    let mut report = Report::of(name.clone());
    let count = lines.leaves.len();
    report.right(format!("{count} lines of the history {} ({name})", shown(origin)));
    let (mut omitted, mut filter) = (&[][..], None);
    if let Some((path, manifest)) = &manifest {
        omitted = &manifest.omitted;
        filter = lines.compare_with(manifest, path, &mut report);
    }
    compare(&checkpoints, &lines, omitted, held, &mut report);
    held.check_receipts(origin, &mut report, |id| find(id, &lines, omitted));
    report.faults.extend(lines.faults);
    // Behind all that we say ourselves.
    report.right.extend(filter);
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
        let (path, size) = (path.shown(), *size);
        if Some(&**origin) != lines.origin.as_deref() {
            report.others.push(format!("{path} is of another history: {}", quoted(origin)));
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
        report.unclear.push(format!("entries from {first} on: the newest checkpoint that fits covers {covered}; take a newer one"));
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
    /// What the manifest says of the file itself. Answers what it says of that which it does not show:
    /// others' words.
    fn compare_with(
        &self,
        manifest: &Manifest,
        path: &Path,
        report: &mut Report,
    ) -> Option<String> {
        let ids: Vec<u64> = self.leaves.keys().copied().collect();
        let same = manifest.sha256 == self.sha256
            && manifest.lines == ids.len() as u64
            && manifest.ids == manifest::runs(&ids)
            && Some(&manifest.origin) == self.origin.as_ref();
        if !same {
            let path = path.shown();
            report.others.push(format!("it is not the file that {path} is about, byte for byte"));
        }
        let (first, last) = (ids.first()?, ids.last()?);
        let between = last - first + 1 - ids.len() as u64;
        if between == 0 {
            report.right(format!("ids {first} to {last}: nothing between them is left out"));
            return None;
        }
        report.right(format!("ids {first} to {last}: {between} between them are left out; what those say, only they show"));
        let filter = manifest.filter.iter();
        let filter: Vec<String> = filter
            .flat_map(|(name, values)| values.iter().map(move |v| format!("{name}={v}")))
            .collect();
        let filter = if filter.is_empty() { "none".to_owned() } else { quoted(&filter.join(" ")) };
        Some(format!("left out by the filter, as the exporting side says: {filter}"))
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        let named = |error: std::io::Error| cannot_check(format!("{}: {error}", path.shown()));
        let mut reader =
            BufReader::with_capacity(1 << 20, inputs::open_given(path).map_err(named)?);
        let (mut lines, mut all, mut line) = (Self::default(), Sha256::new(), Vec::new());
        let mut number = 0_u64;
        while inputs::next_line(&mut reader, &mut line).map_err(named)? {
            number += 1;
            all.update(&line);
            let bytes = line.strip_suffix(b"\n").unwrap_or(&line);
            if bytes.ends_with(b"\r") {
                return Err(cannot_check(format!(
                    "{}: its line ends were changed to CRLF on the way; get it as it was written",
                    path.shown()
                )));
            }
            let Some((id, origin)) = understood(bytes) else {
                let path = path.shown();
                return Err(cannot_check(format!(
                    "{path}: line {number} is not a line of a history; `export --format ndjson` writes such"
                )));
            };
            lines.take(id, origin, bytes);
        }
        lines.sha256 = hex(&all.finalize());
        Ok(lines)
    }

    fn take(&mut self, id: u64, origin: &str, bytes: &[u8]) {
        let known = self.origin.get_or_insert_with(|| origin.to_owned());
        let same = known == origin;
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

/// What a line says of itself, if it is one.
fn understood(line: &[u8]) -> Option<(u64, &str)> {
    let line = std::str::from_utf8(line).ok().filter(|line| depth(line) <= MOST_DEPTH)?;
    let Named { id, origin } = serde_json::from_str(line).ok()?;
    let digits = id.bytes().all(|digit| digit.is_ascii_digit()) && !id.starts_with('0');
    let id = id.parse::<i64>().ok().filter(|id| digits && *id > 0)?;
    Some((id as u64, origin))
}

/// How deep a JSON text is nested at most.
fn depth(json: &str) -> usize {
    let (mut depth, mut most) = (0_usize, 0);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(inside) = bytes.next().filter(|inside| *inside != b'"') {
                    if inside == b'\\' {
                        bytes.next();
                    }
                }
            }
            _ => {}
        }
        most = most.max(depth);
    }
    most
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
    let unclear = |why: &dyn std::fmt::Display| cannot_check(format!("{}: {why}", path.shown()));
    let text = inputs::read_given_text(&path, inputs::MANIFEST_MOST);
    let manifest: Result<Manifest, _> = serde_json::from_str(&text.map_err(|e| unclear(&e))?);
    let manifest = manifest.map_err(|error| unclear(&format!("not a manifest: {error}")))?;
    if manifest.manifest != manifest::VERSION {
        let version = manifest.manifest;
        return Err(unclear(&format!("manifest version {version} needs a newer program")));
    }
    Ok(Some((path, manifest)))
}

/// Where the manifest of an export is.
pub fn manifest_of(file: &Path) -> PathBuf {
    beside(file, ".manifest.json")
}
