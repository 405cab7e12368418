//! Questions about raw history: pages by time or by id, of all hosts, one host, or some.
//!
//! Each shape walks one index and stops after `limit` rows, so that a page costs the same at any
//! depth. That of times lacks the newest few hundred entries: they are looked at besides. For some of
//! many hosts the walk goes window by window: one index seek per host and window, and windows are
//! sized by how often these hosts report.

mod texts;
mod windows;

pub(super) use texts::BY_HOST;

use super::readers::{ReadError, Readers};
use super::rows::{NarrowEntry, PACKED_COLUMNS, unpack};
use crate::domain::line::Entry;
use crate::domain::place::Place;
use crate::domain::time::Timestamp;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};
use texts::page_sql;

/// Which hosts a page is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// All of them.
    All,
    /// One.
    One(i64),
    /// Some; possibly none.
    Some(Vec<i64>),
}

/// The order of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By (time, id), newest first.
    NewestFirst,
    /// By (time, id), oldest first.
    OldestFirst,
    /// By id, lowest first.
    ById,
    /// By id, highest first.
    ByIdDescending,
}

impl Order {
    /// Whether the walk goes towards the past.
    pub const fn is_descending(self) -> bool {
        matches!(self, Self::NewestFirst | Self::ByIdDescending)
    }

    const fn by_id(self) -> bool {
        matches!(self, Self::ById | Self::ByIdDescending)
    }
}

/// Filters on the report; an empty list is no filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the contract's names, section 6; enumerations by their codes")]
pub struct Filters {
    pub status: Vec<i64>,
    pub source: Vec<i64>,
    pub kind: Vec<i64>,
    pub commit_sha: Vec<String>,
    pub branch: Vec<String>,
    pub updated_by: Vec<String>,
    pub run_id: Vec<String>,
    /// Exact paths, or prefixes ending in `*`.
    pub file: Vec<String>,
    pub changes_only: bool,
}

impl Filters {
    fn on_content(&self) -> bool {
        !(self.commit_sha.is_empty()
            && self.branch.is_empty()
            && self.updated_by.is_empty()
            && self.file.is_empty())
    }
}

/// Which part of the history a walk covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// Earliest time, inclusive.
    pub from: Option<Timestamp>,
    /// Latest time, exclusive.
    pub to: Option<Timestamp>,
    /// Lowest id, inclusive.
    pub from_id: Option<u64>,
    /// Highest id, inclusive.
    pub to_id: Option<u64>,
}

/// One page of a walk.
#[derive(Debug, Clone)]
pub struct PageRequest {
    /// Whose entries.
    pub hosts: Hosts,
    /// Whether these hosts (not all) have so few entries that a walk by id takes them all and sorts
    /// them, rather than walking by the others.
    pub few: bool,
    /// Which of them.
    pub filters: Filters,
    /// Within which bounds.
    pub window: Window,
    /// In which order.
    pub order: Order,
    /// The last row of the page before.
    pub after: Option<Place>,
    /// Rows at most.
    pub limit: usize,
}

/// What a page holds.
#[derive(Debug)]
pub struct Page {
    /// The entries in the order asked for.
    pub entries: Vec<Entry>,
    /// Whether more would have fitted the limit, but not the bytes.
    pub cut: bool,
}

/// Entries resolved before it is known how much one weighs.
const FIRST_STEP: usize = 4;

/// Where a walk by time begins: behind everything, or before it.
const END: Place = Place { time: Timestamp(i64::MAX), id: i64::MAX as u64 };
const BEGINNING: Place = Place { time: Timestamp(i64::MIN), id: 0 };

impl Readers {
    /// One page of entries in the order asked for, at most `bytes` of them (about; at least one
    /// entry). `density` is how many microseconds pass, on average, between two entries of the hosts
    /// asked for; it only sizes windows. `patient`: the answer has begun, and may take longer.
    pub async fn page(
        &self,
        request: &PageRequest,
        density: i64,
        bytes: usize,
        patient: bool,
    ) -> Result<Page, ReadError> {
        if request.walks_by_host() {
            let hosts = match &request.hosts {
                Hosts::One(host) => std::slice::from_ref(host),
                Hosts::Some(hosts) => hosts,
                Hosts::All => &[],
            };
            self.settle(Some(hosts), request.window.to_id.unwrap_or(u64::MAX)).await?;
        }
        let reader = if patient { self.acquire_longer().await } else { self.acquire().await };
        reader?
            .ask(async |connection| {
                let bounded = self.bounded(connection, request).await?;
                let request = bounded.as_ref().unwrap_or(request);
                let rows = match &request.hosts {
                    Hosts::Some(hosts) if hosts.is_empty() => Vec::new(),
                    Hosts::Some(hosts) if !request.order.by_id() => {
                        windows::page(connection, request, hosts, density).await?
                    }
                    _ => page(connection, request, request.window).await?,
                };
                self.resolve(connection, &rows, bytes).await
            })
            .await
    }

    /// Where nobody settles for us: the request up to what is settled, which the index of hosts has.
    async fn bounded(
        &self,
        connection: &mut SqliteConnection,
        request: &PageRequest,
    ) -> Result<Option<PageRequest>, sqlx::Error> {
        if self.has_settler() || !request.walks_by_host() {
            return Ok(None);
        }
        let row = sqlx::query("SELECT settled FROM head").fetch_one(connection).await?;
        let settled = row.try_get::<i64, _>(0)? as u64;
        let to_id = request.window.to_id.map_or(settled, |to_id| to_id.min(settled));
        let window = Window { to_id: Some(to_id), ..request.window };
        Ok(Some(PageRequest { window, ..request.clone() }))
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
    pub async fn rejections(&self, limit: usize) -> Result<Vec<super::Rejection>, ReadError> {
        let mut reader = self.acquire().await?;
        reader
            .ask(async |connection| {
                let query = sqlx::query(
                    "SELECT time, source, server_group, host, reason FROM rejection \
                     ORDER BY id DESC LIMIT $1",
                );
                let rows = query.bind(limit as i64).fetch_all(connection).await?;
                rows.iter().map(super::writer::rejection_from_row).collect()
            })
            .await
    }
}

/// One page along one index.
async fn page(
    connection: &mut SqliteConnection,
    request: &PageRequest,
    window: Window,
) -> Result<Vec<NarrowEntry>, sqlx::Error> {
    let filters = &request.filters;
    let filters = serde_json::json!({
        "status": filters.status, "source": filters.source, "kind": filters.kind,
        "commit_sha": filters.commit_sha, "branch": filters.branch,
        "updated_by": filters.updated_by, "run_id": filters.run_id, "file": filters.file,
    });
    let start = if request.order.is_descending() { END } else { BEGINNING };
    let after = request.after.unwrap_or(start);
    let mut low = window.from.map_or(i64::MIN, |time| time.0);
    let mut high = window.to.map_or(i64::MAX, |time| time.0.saturating_sub(1));
    let mut low_id = window.from_id.map_or(0, as_sql_id);
    let mut high_id = window.to_id.map_or(i64::MAX, as_sql_id);
    match request.order {
        Order::NewestFirst => high = high.min(after.time.0),
        Order::OldestFirst => low = low.max(after.time.0),
        Order::ById => low_id = low_id.max(as_sql_id(after.id.saturating_add(1))),
        Order::ByIdDescending => high_id = high_id.min(as_sql_id(after.id).saturating_sub(1)),
    }
    // The text is put together from constants.
    let query = sqlx::query(AssertSqlSafe(page_sql(request))).bind(filters.to_string());
    let query = match &request.hosts {
        Hosts::All => query.bind(None::<i64>),
        Hosts::One(host) => query.bind(*host),
        Hosts::Some(hosts) => query.bind(id_list(hosts)),
    };
    let query = query
        .bind(after.time.0)
        .bind(after.id as i64)
        .bind(low)
        .bind(high)
        .bind(low_id)
        .bind(high_id)
        .bind(request.limit as i64);
    let packed: Option<String> = query.fetch_one(connection).await?.try_get(0)?;
    unpack(packed.as_deref())
}

fn as_sql_id(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

fn id_list(ids: &[i64]) -> String {
    serde_json::to_string(ids).expect("integers are JSON")
}

/// The narrow rows of some ids, in the order of the ids.
pub(super) async fn entries_by_id(
    connection: &mut SqliteConnection,
    ids: &[u64],
) -> Result<Vec<NarrowEntry>, sqlx::Error> {
    let sql = format!(
        "SELECT group_concat(row, ';') FROM (SELECT {PACKED_COLUMNS} AS row FROM drift_history h \
         WHERE h.seq IN (SELECT value FROM json_each($1)) ORDER BY h.seq)"
    );
    let ids = serde_json::to_string(ids).expect("integers are JSON");
    // The text is put together from constants.
    let row = sqlx::query(AssertSqlSafe(sql)).bind(ids).fetch_one(connection).await?;
    unpack(row.try_get::<Option<String>, _>(0)?.as_deref())
}

#[cfg(test)]
mod tests;
