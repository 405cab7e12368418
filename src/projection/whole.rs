//! Whether a database is whole: the one place that says so, for `backup` and `restore`. (`verify` does
//! the same piece by piece, and compares with what others hold.)

use super::compare::{Difference, verify};
use crate::files::connect::{Location, OpenError};
use crate::files::copy::{Head, head};
use crate::files::guards::check_guards;
use crate::files::opening::check_only;
use crate::files::soundness::check_file;
use crate::files::threads::Progress;
use crate::ledger::audit::{Fault, audit};
use crate::ledger::dictionary::Dictionary;
use sqlx::Connection;
use std::sync::Arc;

/// What was found in a database.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// `None` before its first start, or if it cannot be read.
    pub head: Option<Head>,
    /// Hosts compared.
    pub hosts: usize,
    /// What is not sound about the file; empty if it is.
    pub unsound: Vec<String>,
    /// How the schema differs from what the migrations make, in words; empty if it does not.
    pub guards: Vec<String>,
    /// Entries that are not what was recorded; empty if all are.
    pub faults: Vec<Fault>,
    /// Projections that are not what the history says; empty if all are right.
    pub differences: Vec<Difference>,
}

impl Findings {
    /// Whether nothing is wrong.
    pub fn are_good(&self) -> bool {
        self.unsound.is_empty()
            && self.guards.is_empty()
            && self.faults.is_empty()
            && self.differences.is_empty()
    }
}

/// Checks all of a database: that it is ours and of this program's schema, the file itself, every
/// entry against the tree, and the projections against a fold of the history. Changes nothing; a
/// server may run. `Err`: it could not be read at all.
pub async fn check_whole(
    location: &Location,
    progress: Progress<'_>,
) -> Result<Findings, OpenError> {
    check_only(location).await?;
    let failed = |cause| OpenError::Database { path: location.path.clone(), cause };
    let unsound = check_file(location).await.map_err(failed)?;
    let mut reader = location.open_reader().await.map_err(|cause| failed(cause.into()))?;
    let head = head(&mut reader).await;
    let _ = reader.close().await;
    if !unsound.is_empty() {
        // Read no further: what torn pages say is no history.
        return Ok(Findings { head: head.ok().flatten(), unsound, ..Findings::default() });
    }
    let head = head.map_err(|cause| failed(cause.into()))?;
    let mut found = Findings { head, ..Findings::default() };
    if found.head.is_none() {
        return Ok(found);
    }
    found.guards = check_guards(location).await.map_err(failed)?.said();
    // Both go through every entry once.
    let dictionary = Arc::new(Dictionary::default());
    let hashed = |done, total| progress(done, 2 * total);
    found.faults = audit(location, &dictionary, &[], &hashed).await.map_err(failed)?.faults;
    let folded = |done, total| progress(total + done, 2 * total);
    match verify(location, &dictionary, &folded).await {
        Ok(verdict) => (found.hosts, found.differences) = (verdict.hosts, verdict.differences),
        Err(error) if error.is_unreadable() => {
            found.unsound.push(format!("the history cannot be folded: {error}"));
        }
        Err(error) => return Err(failed(error)),
    }
    Ok(found)
}
