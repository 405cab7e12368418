//! One page of a walk.

use super::request::{Hosts, Order, PageRequest, Window};
use super::texts::page_sql;
use crate::domain::place::Place;
use crate::domain::time::Timestamp;
use crate::ledger::rows::{NarrowEntry, unpack};
use crate::projection::index::Index;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};

/// Where a walk by time begins: behind everything, or before it.
const END: Place = Place { time: Timestamp(i64::MAX), id: i64::MAX as u64 };
const BEGINNING: Place = Place { time: Timestamp(i64::MIN), id: 0 };

/// One page along one index; of hosts along each of its tables, merged.
pub async fn page(
    connection: &mut SqliteConnection,
    index: Index,
    request: &PageRequest,
    window: Window,
) -> Result<Vec<NarrowEntry>, sqlx::Error> {
    if !request.walks_by_host() {
        return walk(connection, page_sql(request), request, window).await;
    }
    let mut rows = Vec::new();
    for text in index.texts(&page_sql(request)) {
        rows.extend(walk(connection, text.0, request, window).await?);
    }
    rows.sort_unstable_by_key(|row| match request.order {
        Order::NewestFirst | Order::OldestFirst => (row.time, row.id),
        Order::ById | Order::ByIdDescending => (Timestamp(0), row.id),
    });
    if request.order.is_descending() {
        rows.reverse();
    }
    rows.truncate(request.limit);
    Ok(rows)
}

/// A walk along one table.
async fn walk(
    connection: &mut SqliteConnection,
    text: String,
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
    let query = sqlx::query(AssertSqlSafe(text)).bind(filters.to_string());
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
    Ok(unpack(packed.as_deref())?)
}

fn as_sql_id(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

pub fn id_list(ids: &[i64]) -> String {
    serde_json::to_string(ids).expect("integers are JSON")
}
