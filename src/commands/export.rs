//! `export`: the rows of `/history?format=csv|ndjson` into a file.

mod proof;

use super::outputs::{Output, Target};
use super::verify::manifest_of;
use super::{Failure, keys, outputs, say, system_clock};
use crate::board::Board;
use crate::config::{ExportArgs, ExportFormat};
use crate::domain::checkpoint::Checkpoint;
use crate::domain::shown::ShowPath as _;
use crate::files::{Location, check_only};
use crate::http::Params;
use crate::http::history::{HistoryQuery, Walk, hosts_filter};
use crate::ledger::Dictionary;
use crate::projection::Writer;
use crate::views::Readers;
use indicatif::{ProgressBar, ProgressStyle};
use proof::{LinesSeen, Sees};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Writes the file; an existing one is replaced only when the new one is complete.
pub async fn run(args: ExportArgs) -> Result<(), Failure> {
    let location = Location::parse(&args.database.database_url)?;
    check_only(&location).await?;
    let targets = args.output.as_deref().map(|file| Targets::of(file, &args, &location));
    let targets = targets.transpose()?;
    let dictionary = Arc::new(Dictionary::default());
    let loaded = Writer::look(&location, &dictionary)?;
    let board = Board::default();
    board.replace(loaded.hosts, loaded.former, loaded.last_runs, loaded.size);
    let mut params = Params::new(args.pairs());
    let hosts = hosts_filter(&params);
    let query = HistoryQuery::of(&mut params, &hosts, system_clock()(), &board);
    if let Some(error) = params.first_error() {
        let name = error.field.replace('_', "-");
        return Err(super::wrong_argument(format!("--{name}: {}", error.message)));
    }
    let expected = if args.is_whole() { Some(loaded.size) } else { None };
    let readers = Arc::new(Readers::new(&location, dictionary, 2, super::PATIENCE));
    let origin = loaded.origin.clone();
    let walk = Walk::new(readers, query, args.format.into(), loaded.origin).patient();
    let Some(Targets { path, target, manifest }) = &targets else { return to_stdout(walk).await };
    let Some(manifest) = manifest else {
        return to_file(walk, path, target, &location, expected, &mut ()).await;
    };
    if args.format != ExportFormat::Ndjson {
        let problem = "--proof: only --format ndjson has the lines that can be proven";
        return Err(super::wrong_argument(problem.into()));
    }
    let keys = keys::load(&keys::path(&args.key, &location), &origin)?;
    let (size, root) = (loaded.tree.size(), loaded.tree.root());
    let checkpoint = Checkpoint { origin, size, root };
    let mut lines = LinesSeen::default();
    to_file(walk, path, target, &location, expected, &mut lines).await?;
    proof::write(manifest, lines, &args, &location, &keys, &checkpoint).await
}

/// What is written.
struct Targets {
    /// The export as it was named.
    path: PathBuf,
    target: Target,
    /// With a proof: the manifest.
    manifest: Option<PathBuf>,
}

impl Targets {
    /// Refuses what must not be replaced, before anything is read.
    fn of(path: &Path, args: &ExportArgs, location: &Location) -> Result<Self, Failure> {
        let key = keys::path(&args.key, location);
        outputs::check(location, Some(&key), path)?;
        let (target, mut manifest) = (Target::of(path)?, None);
        if args.proof {
            // It lies beside a file.
            target.clone().file()?;
            let beside = manifest_of(path);
            outputs::check(location, Some(&key), &beside)?;
            Target::of(&beside)?.file()?;
            manifest = Some(beside);
        }
        Ok(Self { path: path.to_owned(), target, manifest })
    }
}

async fn to_stdout(mut walk: Walk) -> Result<(), Failure> {
    let mut stdout = say::Data::to_stdout();
    while let Some(chunk) = walk.next_chunk().await? {
        if let Err(error) = stdout.write(&chunk) {
            return super::unless_reader_left(Err(error));
        }
    }
    super::unless_reader_left(stdout.flush())
}

async fn to_file(
    mut walk: Walk,
    path: &Path,
    target: &Target,
    location: &Location,
    expected: Option<u64>,
    seen: &mut impl Sees,
) -> Result<(), Failure> {
    let mut output = Output::begin(target, location)?;
    let bar = progress(expected);
    while let Some(chunk) = walk.next_chunk().await? {
        output.write(&chunk)?;
        seen.see(&chunk);
        bar.set_position(walk.rows);
    }
    output.complete()?;
    bar.finish_and_clear();
    say::aside(&format!("{}: {} rows", path.shown(), walk.rows));
    Ok(())
}

/// A bar where the number of rows is known, a counter where it is not; nothing off a terminal.
fn progress(expected: Option<u64>) -> ProgressBar {
    let (bar, template) = match expected {
        Some(rows) => {
            (ProgressBar::new(rows), "{bar:40} {human_pos} of {human_len} rows, {eta} left")
        }
        None => (ProgressBar::no_length(), "{spinner} {human_pos} rows"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
