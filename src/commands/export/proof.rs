//! The manifest of an export: what it leaves out, so that what it holds can be proven.

use crate::commands::outputs::{Output, Target};
use crate::commands::{Failure, progress, say};
use crate::config::ExportArgs;
use crate::domain::checkpoint::{Checkpoint, SigningKeys};
use crate::domain::line::hex;
use crate::domain::manifest::{self, Manifest};
use crate::domain::shown::ShowPath as _;
use crate::files::Location;
use crate::ledger::{Dictionary, hashes_of};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// Sees every chunk that is written to a file.
pub trait Sees {
    /// Chunks end where lines end.
    fn see(&mut self, chunk: &[u8]);
}

impl Sees for () {
    fn see(&mut self, _: &[u8]) {}
}

/// What a manifest must know of the lines.
#[derive(Default)]
pub struct LinesSeen {
    ids: Vec<u64>,
    sha256: Sha256,
}

/// What a line says of itself.
#[derive(Deserialize)]
struct Named<'a> {
    id: &'a str,
}

impl Sees for LinesSeen {
    /// Chunks end where lines end.
    fn see(&mut self, chunk: &[u8]) {
        self.sha256.update(chunk);
        for line in chunk.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let named: Named<'_> = serde_json::from_slice(line).expect("lines are JSON objects");
            self.ids.push(named.id.parse().expect("an id is a number"));
        }
    }
}

/// Writes the manifest.
pub async fn write(
    path: &Path,
    mut seen: LinesSeen,
    args: &ExportArgs,
    location: &Location,
    keys: &SigningKeys,
    checkpoint: &Checkpoint,
) -> Result<(), Failure> {
    seen.ids.sort_unstable();
    let leaves: Vec<u64> = seen.ids.iter().map(|id| id - 1).collect();
    let nodes = manifest::without(checkpoint.size, &leaves);
    let bar = progress::bar("hashing what is left out");
    let (origin, dictionary) = (&checkpoint.origin, Dictionary::default());
    let shown = |done, total| bar.show(done, total);
    let hashes = hashes_of(location, &dictionary, origin, &nodes, &shown).await?;
    bar.finish();
    let mut filter: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in args.pairs() {
        filter.entry(name).or_default().push(value);
    }
    let omitted = nodes.iter().zip(hashes);
    let manifest = Manifest {
        manifest: manifest::VERSION,
        origin: origin.to_string(),
        checkpoint: keys.sign(checkpoint),
        keys: keys.public().to_vec(),
        filter,
        sha256: hex(&seen.sha256.finalize()),
        lines: seen.ids.len() as u64,
        ids: manifest::runs(&seen.ids),
        omitted: omitted.map(|(node, hash)| manifest::omitted(*node, hash)).collect(),
    };
    let mut output = Output::begin(&Target::of(path)?, location)?;
    output.write_json(&manifest)?;
    output.complete()?;
    let (path, size) = (path.shown(), checkpoint.size);
    say::aside(&format!("{path}: proves them against the {size} entries there are"));
    Ok(())
}
