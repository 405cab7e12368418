//! `export`: the rows of `/history?format=csv|ndjson` into a file.

mod proof;

use super::verify::manifest_of;
use super::{Failure, keys, outputs, say, settled, system_clock};
use crate::board::Board;
use crate::config::{ExportArgs, ExportFormat};
use crate::domain::checkpoint::Checkpoint;
use crate::domain::shown::ShowPath as _;
use crate::http::Params;
use crate::http::history::{HistoryQuery, Walk, hosts_filter};
use crate::store::{Dictionary, Location, Readers, Writer, beside, check_only};
use indicatif::{ProgressBar, ProgressStyle};
use proof::LinesSeen;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

/// Writes the file; an existing one is replaced only when the new one is complete.
pub async fn run(args: ExportArgs) -> Result<(), Failure> {
    let location = Location::parse(&args.database.database_url)?;
    check_only(&location).await?;
    if let Some(file) = &args.output {
        let key = keys::path(&args.key, &location);
        outputs::check(&location, Some(&key), file)?;
        if args.proof {
            outputs::check(&location, Some(&key), &manifest_of(file))?;
        }
    }
    let dictionary = Arc::new(Dictionary::default());
    if !args.is_whole() {
        settled::see_to_it(&location, &dictionary).await?;
    }
    let loaded = Writer::look(&location, &dictionary).await?;
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
    let Some(path) = &args.output else { return to_stdout(walk).await };
    if !args.proof {
        return to_file(walk, path, expected, &mut ()).await;
    }
    if args.format != ExportFormat::Ndjson {
        let problem = "--proof: only --format ndjson has the lines that can be proven";
        return Err(super::wrong_argument(problem.into()));
    }
    let keys = keys::load(&keys::path(&args.key, &location), &origin)?;
    let (size, root) = (loaded.tree.size(), loaded.tree.root());
    let checkpoint = Checkpoint { origin, size, root };
    let mut lines = LinesSeen::default();
    to_file(walk, path, expected, &mut lines).await?;
    proof::write(path, lines, &args, &location, &keys, &checkpoint).await
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

/// Sees every chunk that is written to a file.
trait Sees {
    fn see(&mut self, chunk: &[u8]);
}

impl Sees for () {
    fn see(&mut self, _: &[u8]) {}
}

async fn to_file(
    mut walk: Walk,
    path: &Path,
    expected: Option<u64>,
    seen: &mut impl Sees,
) -> Result<(), Failure> {
    let part = beside(path, ".part");
    let named = |error: std::io::Error| format!("{}: {error}", part.shown());
    let mut file = begin(&part)?;
    let bar = progress(expected);
    while let Some(chunk) = walk.next_chunk().await? {
        file.write_all(&chunk).map_err(named)?;
        seen.see(&chunk);
        bar.set_position(walk.rows);
    }
    complete(file, &part, path).map_err(named)?;
    bar.finish_and_clear();
    say::aside(&format!("{}: {} rows", path.shown(), walk.rows));
    Ok(())
}

/// Begins a file anew under the name that it has until it is complete.
fn begin(part: &Path) -> Result<BufWriter<File>, Failure> {
    let file = outputs::open_part(part, 0o666)?;
    file.set_len(0).map_err(|error| format!("{}: {error}", part.shown()))?;
    Ok(BufWriter::new(file))
}

fn complete(file: BufWriter<File>, part: &Path, path: &Path) -> std::io::Result<()> {
    file.into_inner()?.sync_all()?;
    std::fs::rename(part, path)
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
