//! `verify` and `rebuild`: whether what is written down besides the history is what the history says,
//! and writing it anew.

use super::{Failure, progress, unless_reader_left};
use crate::config::DatabaseArgs;
use crate::store::{Dictionary, Location, check_only, rebuild, verify};
use std::fmt::Write as _;
use std::io::Write as _;

/// Differences shown at most.
const SHOWN: usize = 20;

/// Folds the history anew and compares; a difference is a failure.
pub async fn run_verify(args: DatabaseArgs) -> Result<(), Failure> {
    let location = Location::parse(&args.database_url)?;
    check_only(&location).await?;
    let bar = progress::bar("folding");
    let dictionary = Dictionary::default();
    let verdict = verify(&location, &dictionary, &|done, total| bar.show(done, total)).await?;
    bar.finish();
    let (entries, hosts) = (verdict.entries, verdict.hosts);
    if verdict.differences.is_empty() {
        let text = format!("{entries} entries of {hosts} hosts: all projections are right\n");
        return unless_reader_left(std::io::stdout().write_all(text.as_bytes()));
    }
    let mut text = format!(
        "{entries} entries of {hosts} hosts: {} projections are not what the history says; `gitops-status-server rebuild` writes them anew (stop the server first)",
        verdict.differences.len()
    );
    for difference in verdict.differences.iter().take(SHOWN) {
        let host = difference.host.as_ref();
        let host = host.map_or(String::new(), |key| format!("{}/{}: ", key.server_group, key.host));
        let _ = write!(text, "\n  {host}{}", difference.what);
    }
    if let Some(more) = verdict.differences.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = write!(text, "\n  and {more} more");
    }
    Err(text.into())
}

/// Writes current state, segments and episodes anew from the history.
pub async fn run_rebuild(args: DatabaseArgs) -> Result<(), Failure> {
    let location = Location::parse(&args.database_url)?;
    check_only(&location).await?;
    let bar = progress::bar("folding");
    let dictionary = Dictionary::default();
    let hosts = rebuild(&location, &dictionary, &|done, total| bar.show(done, total)).await?;
    bar.finish();
    let text = format!("the projections of {hosts} hosts are written anew\n");
    unless_reader_left(std::io::stdout().write_all(text.as_bytes()))
}
