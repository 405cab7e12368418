//! Settling: writing what is kept by host, some hosts at a time.

use super::Writer;
use super::batch::CommitError;
use super::commit::{commit, not_stored, run};
use super::steps::{self, BEGIN};
use super::unsettled::Share;
use crate::domain::course::Change;
use crate::store::connect::{Location, without_waiting};
use crate::store::trouble::Trouble;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use std::collections::HashSet;

const PROGRESS: &str = "SELECT size, settlings FROM head";

/// How many entries there are, and how often something was settled.
pub(super) async fn progress(connection: &mut SqliteConnection) -> Result<(u64, i64), sqlx::Error> {
    let row = sqlx::query(PROGRESS).fetch_one(connection).await?;
    Ok((row.try_get::<i64, _>(0)? as u64, row.try_get(1)?))
}

/// How many entries there are, and up to which all are settled.
pub async fn settled_of(location: &Location) -> Result<(u64, u64), Trouble> {
    let mut connection = location.open_reader().await?;
    let row = sqlx::query("SELECT size, settled FROM head").fetch_one(&mut connection).await?;
    let (size, settled): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    connection.close().await?;
    Ok((size as u64, settled as u64))
}

/// What is settled along with each batch, so that nobody has to wait for much at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    /// Entries up to here shall be settled,
    pub overdue: u64,
    /// of at most so many hosts with a batch.
    pub hosts: usize,
}

/// How long settling waits for another process's write lock.
#[derive(Debug, Clone, Copy)]
pub enum Patience {
    /// As everything else does.
    Usual,
    /// Not at all: reports that come meanwhile would wait as well.
    None,
}

/// A host's part and the entry up to which it is settled with it.
pub(super) type Settling = (Share, u64);

impl Writer {
    /// Every entry up to this id is settled.
    pub fn settled_up_to(&self) -> u64 {
        self.unsettled.first().map_or(self.size, |first| first - 1)
    }

    /// Whether a host has unsettled entries.
    pub fn is_unsettled(&self, root: i64) -> bool {
        self.unsettled.of(root).is_some()
    }

    /// What is settled along with the batches from here on.
    pub fn settle_along(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// How many hosts have unsettled entries.
    pub fn unsettled_hosts(&self) -> usize {
        self.unsettled.hosts()
    }

    /// Hosts with unsettled entries up to an id, the oldest first.
    pub fn unsettled_up_to(&self, id: u64, at_most: usize) -> Vec<i64> {
        self.unsettled.up_to(id).take(at_most).collect()
    }

    /// The hosts of some names, be they former ones, that have unsettled entries.
    pub fn unsettled_of(&self, names: &[i64]) -> Vec<i64> {
        self.unsettled.hosts_of(names)
    }

    /// Settles hosts in a transaction of its own. `false`: another process has written since we
    /// looked, and nothing was done.
    pub async fn settle(&mut self, hosts: &[i64], patience: Patience) -> Result<bool, CommitError> {
        let shares: Vec<Settling> = hosts
            .iter()
            .filter_map(|root| Some((self.unsettled.of(*root)?.clone(), self.size)))
            .collect();
        if shares.is_empty() {
            return Ok(true);
        }
        // A lock held for the next commit is of no use if something else comes first.
        self.unlock();
        let done = self.settle_alone(&shares, patience).await;
        match done {
            Ok(true) => {
                self.settlings += 1;
                self.note_pages(0, 0, shares.len(), 0);
                self.unsettled.forget(hosts.iter().copied());
            }
            Ok(false) | Err(_) => self.let_go(),
        }
        done
    }

    /// Settles all there is.
    pub async fn settle_all(&mut self) -> Result<bool, CommitError> {
        let hosts = self.unsettled_up_to(self.size, usize::MAX);
        self.settle(&hosts, Patience::Usual).await
    }

    async fn settle_alone(
        &mut self,
        shares: &[Settling],
        patience: Patience,
    ) -> Result<bool, CommitError> {
        let known = (self.size, self.settlings);
        let settled = self.settled_after(shares, None, self.size);
        let connection = self.connection().await.map_err(not_stored)?;
        let begun = match patience {
            Patience::Usual => sqlx::query(BEGIN).execute(&mut *connection).await,
            Patience::None => sqlx::raw_sql(without_waiting(BEGIN)).execute(&mut *connection).await,
        };
        begun.map_err(not_stored)?;
        if progress(connection).await.map_err(not_stored)? != known {
            return Ok(false);
        }
        let written = run(connection, steps::settle(shares, settled)).await;
        written.map_err(not_stored)?;
        Self::write_settled_changes(connection, shares).await.map_err(not_stored)?;
        commit(connection).await?;
        Ok(true)
    }

    /// Up to where every entry is settled once these are, and a new one (`first_new`) is not, in a history
    /// of `size` entries.
    pub(super) fn settled_after(
        &self,
        shares: &[Settling],
        first_new: Option<u64>,
        size: u64,
    ) -> u64 {
        let settled: HashSet<i64> = shares.iter().map(|(share, _)| share.state.host_id).collect();
        let first = self.unsettled.first_without(&settled);
        let first = first.into_iter().chain(first_new).min();
        first.map_or(size, |first| first - 1)
    }

    /// Writes what the parts of some hosts added to their courses; within a transaction.
    pub(super) async fn write_settled_changes(
        connection: &mut SqliteConnection,
        shares: &[Settling],
    ) -> Result<(), sqlx::Error> {
        let changes = |(share, _): &Settling| -> Vec<(i64, Change)> {
            share.changes.iter().map(|change| (share.state.host_id, change.clone())).collect()
        };
        let changes: Vec<_> = shares.iter().flat_map(changes).collect();
        Self::write_changes(connection, &changes).await
    }
}
