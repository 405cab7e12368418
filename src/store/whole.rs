//! Whether a database is whole: the one place that says so, for `backup` and `restore`. (`verify` does
//! the same piece by piece, and compares with what others hold.)

use super::connect::{Location, OpenError};
use super::dictionary::Dictionary;
use super::guards::check_guards;
use super::opening::check_only;
use super::refold::{Difference, Progress, verify};
use super::soundness::check_file;
use super::tree::audit::{Fault, audit};
use crate::domain::time::Timestamp;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use std::sync::Arc;

const HEAD: &str = "SELECT origin, size, \
    (SELECT received_at FROM drift_history WHERE seq = size) FROM head";

/// Whose history it is, and how far it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The history's name.
    pub origin: String,
    /// Entries, which is also the newest id.
    pub entries: u64,
    /// When the newest entry came.
    pub newest: Option<Timestamp>,
}

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

/// The head of a database; `None` before its first start.
pub(super) async fn head(connection: &mut SqliteConnection) -> Result<Option<Head>, sqlx::Error> {
    let Some(row) = sqlx::query(HEAD).fetch_optional(connection).await? else { return Ok(None) };
    Ok(Some(Head {
        origin: row.try_get(0)?,
        entries: row.try_get::<i64, _>(1)? as u64,
        newest: row.try_get::<Option<i64>, _>(2)?.map(Timestamp),
    }))
}
