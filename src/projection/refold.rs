//! The projections written anew: of an older database, or of a damaged one; and what they lack made up for.

use super::fold::{Folded, fold_host, roots};
use super::rebuild::{Projected, begin_rebuild, end_rebuild, write_hosts};
use super::refolder::{Refold, Refolder};
use super::writer::{PROJECTION, Writer};
use crate::domain::names::HostKey;
use crate::domain::state::HostState;
use crate::files::connect::Location;
use crate::files::threads::Progress;
use crate::files::trouble::Trouble;
use crate::ledger::batch::CommitError;
use crate::ledger::dictionary::Dictionary;
use sqlx::{Connection, Row};
use std::collections::HashMap;
use std::sync::Arc;

/// Hosts, and rows of theirs, that are written in one transaction.
const WRITTEN_AT_ONCE: usize = 4096;

const HEAD: &str = "SELECT size, projected FROM head";
const IS_BEHIND: &str = "SELECT watermark < size OR EXISTS (SELECT 1 FROM refold) FROM head";

/// Writes the projections anew if they are older than this program's. Answers whether it did.
pub async fn fold_anew(
    location: &Location,
    dictionary: &Arc<Dictionary>,
    progress: Progress<'_>,
) -> Result<bool, Trouble> {
    let mut connection = location.open_reader().await?;
    let row = sqlx::query(HEAD).fetch_optional(&mut connection).await?;
    connection.close().await?;
    let behind = match row {
        Some(row) => row.try_get::<i64, _>(1)? < PROJECTION,
        None => false,
    };
    if behind {
        rebuild(location, dictionary, progress).await?;
    }
    Ok(behind)
}

/// Writes the projections anew. Answers how many hosts there are. If it is interrupted, the next start
/// begins it again.
pub async fn rebuild(
    location: &Location,
    dictionary: &Arc<Dictionary>,
    progress: Progress<'_>,
) -> Result<usize, Trouble> {
    let mut writer = begin_rebuild(location, dictionary.clone())?;
    let mut reader = location.open_reader().await?;
    let total = match sqlx::query(HEAD).fetch_optional(&mut reader).await? {
        Some(row) => row.try_get::<i64, _>(0)? as u64,
        None => 0,
    };
    let (mut done, mut folded, mut weight) = (0, Vec::new(), 0);
    let roots = roots(&mut reader, u64::MAX).await?;
    for root in &roots {
        let host = fold_host(&mut reader, dictionary, root, |entries| {
            done += entries as u64;
            progress(done, total);
        });
        if let Some(host) = host.await? {
            weight += 1 + host.changes.len() + host.out_of_order.len();
            folded.push(host);
        }
        if weight >= WRITTEN_AT_ONCE {
            write(&mut writer, &folded, total)?;
            folded.clear();
            weight = 0;
        }
    }
    write(&mut writer, &folded, total)?;
    reader.close().await?;
    end_rebuild(writer, PROJECTION)?;
    Ok(roots.len())
}

/// Projects all that is recorded and ends what is being folded anew, for who holds the lock while no
/// server runs.
pub async fn catch_up(location: &Location, dictionary: &Arc<Dictionary>) -> Result<(), Trouble> {
    let failed = |error: CommitError| match error {
        CommitError::NotStored(cause) | CommitError::Unknown(cause) => cause,
        CommitError::Moved => Trouble::damaged(error.to_string()),
    };
    let mut reader = location.open_reader().await?;
    let behind = sqlx::query(IS_BEHIND).fetch_optional(&mut reader).await?;
    reader.close().await?;
    if !behind.map_or(Ok(false), |row| row.try_get(0))? {
        return Ok(());
    }
    let (mut writer, loaded) = Writer::open(location, dictionary.clone(), "", true)?;
    let mut states: HashMap<HostKey, Arc<HostState>> =
        loaded.hosts.into_iter().map(|state| (state.key.clone(), state)).collect();
    let behind = writer.behind(u64::MAX, usize::MAX);
    writer.project(&behind).map_err(failed)?;
    let mut refolder = Refolder::new(location, dictionary.clone());
    loop {
        let Some(next) = writer.refolds().next().cloned() else { break };
        let steps = refolder.prepare(vec![next]).await?;
        let state = |row: &Refold| states.get(&row.key).cloned();
        for done in writer.write_refolded(&steps, state).map_err(failed)? {
            states.insert(done.key.clone(), done);
        }
    }
    refolder.close().await;
    writer.close()
}

fn write(writer: &mut Writer, folded: &[Folded], applied: u64) -> Result<(), Trouble> {
    let hosts = folded.iter().map(|Folded { state, changes, out_of_order }| Projected {
        state,
        changes,
        out_of_order,
    });
    write_hosts(writer, &hosts.collect::<Vec<_>>(), applied)
}
