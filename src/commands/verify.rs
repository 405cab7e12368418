//! `verify`: whether the history is what was recorded, and whether what is written down besides it is
//! what it says. `rebuild` builds the latter again.

mod database;
mod export;
mod held;
mod report;

pub(super) use database::GUARDS;
pub use export::manifest_of;
pub(super) use report::listed;

use super::{Failure, progress, say};
use crate::config::{DatabaseArgs, VerifyArgs};
use crate::files::{Hold, Location, Role, check_names, check_only, put_back};
use crate::ledger::Dictionary;
use crate::projection::rebuild;
use held::Held;
use std::fmt::Write as _;

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
    let dictionary = std::sync::Arc::new(Dictionary::default());
    let hosts = rebuild(&location, &dictionary, &|done, total| bar.show(done, total)).await?;
    bar.finish();
    let mut text = String::new();
    for what in put_back {
        let _ = writeln!(text, "{what}: put right");
    }
    let _ = writeln!(text, "the projections of {hosts} hosts are rebuilt");
    say::text(&text)
}
