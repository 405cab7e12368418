//! Questions about raw history: pages by time or by id, of all hosts, one host, or some.
//!
//! Each shape walks one index and stops after `limit` rows, so that a page costs the same at any
//! depth. That of times lacks the newest few hundred entries: they are looked at besides. For some of
//! many hosts the walk goes window by window: one index seek per host and window, and windows are
//! sized by how often these hosts report.

mod page;
mod request;
mod texts;
mod windows;

pub use request::{Filters, Hosts, Order, PageRequest, Window};

use super::readers::{ReadError, Readers, Width};
use crate::domain::line::Entry;
use crate::domain::report::Source;
use crate::domain::time::Timestamp;
use crate::files::columns::Columns;
use crate::files::trouble::Trouble;
use crate::ledger::batch::Rejection;
use crate::ledger::rows::NarrowEntry;
use crate::projection::index::Index;
use page::page;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};

/// What a page holds.
#[derive(Debug)]
pub struct Page {
    /// The entries in the order asked for.
    pub entries: Vec<Entry>,
    /// Whether more would have fitted the limit, but not the bytes.
    pub cut: bool,
}

impl Page {
    /// As many of the entries as are worth about so many bytes; at least one.
    #[must_use]
    pub fn within(mut self, bytes: usize) -> Self {
        let mut spent = 0;
        let fits = |entry: &&Entry| {
            spent += entry.weight();
            spent <= bytes
        };
        let few = self.entries.iter().take_while(fits).count().max(1);
        self.cut |= few < self.entries.len();
        self.entries.truncate(few);
        self
    }
}

/// Entries resolved before it is known how much one weighs.
const FIRST_STEP: usize = 4;

impl Readers {
    /// One page of entries in the order asked for, at most `bytes` of them (about; at least one
    /// entry). `density` is how many microseconds pass, on average, between two entries of the hosts
    /// asked for; it only sizes windows. `patient`: the answer has begun, and may take longer.
    pub async fn page(
        &self,
        request: &PageRequest,
        density: i64,
        bytes: usize,
        width: Width,
        patient: bool,
    ) -> Result<Page, ReadError> {
        let reader =
            if patient { self.acquire_longer(width).await } else { self.acquire(width).await };
        reader?
            .ask(async |connection| {
                let mut snapshot = connection.begin().await?;
                let hosts = match &request.hosts {
                    Hosts::One(host) => std::slice::from_ref(host),
                    Hosts::Some(hosts) => hosts,
                    Hosts::All => &[],
                };
                let index = if request.walks_by_host() {
                    Index::of(&mut snapshot, Some(hosts)).await?
                } else {
                    Index::PROJECTED
                };
                let rows = match &request.hosts {
                    Hosts::Some(hosts) if hosts.is_empty() => Vec::new(),
                    Hosts::Some(hosts) if !request.order.by_id() => {
                        windows::page(&mut snapshot, index, request, hosts, density).await?
                    }
                    _ => page(&mut snapshot, index, request, request.window).await?,
                };
                let page = self.resolve(&mut snapshot, &rows, bytes).await?;
                snapshot.commit().await?;
                Ok(page)
            })
            .await
    }

    /// Turns rows into entries until they are worth about `bytes`.
    async fn resolve(
        &self,
        connection: &mut SqliteConnection,
        rows: &[NarrowEntry],
        bytes: usize,
    ) -> Result<Page, sqlx::Error> {
        let mut entries: Vec<Entry> = Vec::with_capacity(rows.len());
        let (mut spent, mut step) = (0, FIRST_STEP);
        while entries.len() < rows.len() && (entries.is_empty() || spent < bytes) {
            let rest = &rows[entries.len()..];
            let found =
                self.dictionary().resolve(connection, &rest[..step.min(rest.len())]).await?;
            spent += found.iter().map(Entry::weight).sum::<usize>();
            entries.extend(found);
            // As many as are likely to fit, were they like those before; which they need not be.
            let each = spent / entries.len();
            step = (bytes.saturating_sub(spent) / each.max(1)).clamp(1, 8 * step);
        }
        let cut = entries.len() < rows.len();
        Ok(Page { entries, cut })
    }

    /// Reads the head: really asks the database.
    pub async fn size(&self) -> Result<u64, ReadError> {
        let mut reader = self.acquire_for_probe().await?;
        reader
            .ask(async |connection| {
                let row = sqlx::query("SELECT size FROM head").fetch_one(connection).await?;
                Ok(row.try_get::<i64, _>(0)? as u64)
            })
            .await
    }

    /// The newest refusals first: time, source code, group, host, reason.
    pub async fn rejections(&self, limit: usize) -> Result<Vec<Rejection>, ReadError> {
        let mut reader = self.acquire(Width::Small).await?;
        reader
            .ask(async |connection| {
                let query = sqlx::query(
                    "SELECT time, source, server_group, host, reason FROM rejection \
                     ORDER BY id DESC LIMIT $1",
                );
                let rows = query.bind(limit as i64).fetch_all(connection).await?;
                rows.iter().map(|row| Ok(rejection(row)?)).collect()
            })
            .await
    }
}

fn rejection(row: &dyn Columns) -> Result<Rejection, Trouble> {
    Ok(Rejection {
        time: Timestamp(row.number(0)?),
        source: Source::from_code(row.number(1)?).unwrap_or(Source::Pipeline),
        server_group: row.text(2)?,
        host: row.text(3)?,
        reason: row.text(4)?.unwrap_or_default().into(),
    })
}

#[cfg(test)]
mod tests;
