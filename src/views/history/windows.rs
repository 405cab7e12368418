//! Pages of some of many hosts, window by window along time.

use super::page::{id_list, page as one_page};
use super::request::{PageRequest, Window};
use crate::domain::time::{MINUTE, Timestamp};
use crate::ledger::rows::NarrowEntry;
use crate::projection::index::Index;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

/// The nearest row of some hosts, seen from a place: where the next window begins.
const NEAREST_BELOW: &str = "SELECT max((SELECT max(e.time) FROM host_entry e \
     WHERE e.host_id = g.value AND e.time <= $2)) FROM json_each($1) g";
const NEAREST_ABOVE: &str = "SELECT min((SELECT min(e.time) FROM host_entry e \
     WHERE e.host_id = g.value AND e.time >= $2)) FROM json_each($1) g";

/// A page of some hosts' entries, window by window along the order.
pub async fn page(
    connection: &mut SqliteConnection,
    index: Index,
    request: &PageRequest,
    hosts: &[i64],
    density: i64,
) -> Result<Vec<NarrowEntry>, sqlx::Error> {
    let down = request.order.is_descending();
    let (from, to) = (
        request.window.from.map_or(i64::MIN, |time| time.0),
        request.window.to.map_or(i64::MAX, |time| time.0),
    );
    let mut position = match request.after {
        Some(place) => place.time.0,
        None if down => i64::MAX,
        None => i64::MIN,
    };
    position = if down { position.min(to.saturating_sub(1)) } else { position.max(from) };
    let mut width = density.max(1).saturating_mul(2 * request.limit as i64).max(MINUTE);
    let mut rows = Vec::new();
    let hosts = id_list(hosts);
    loop {
        // Leap over stretches in which none of these hosts spoke.
        let nearest = if down { NEAREST_BELOW } else { NEAREST_ABOVE };
        let mut start = None::<i64>;
        for text in index.texts(nearest) {
            let query = sqlx::query(text).bind(&hosts).bind(position);
            let found = query.fetch_one(&mut *connection).await?.try_get::<Option<i64>, _>(0)?;
            start = match (start, found) {
                (Some(a), Some(b)) => Some(if down { a.max(b) } else { a.min(b) }),
                (a, b) => a.or(b),
            };
        }
        let Some(start) = start else { return Ok(rows) };
        let (low, high) = if down {
            (start.saturating_sub(width).max(from), start.saturating_add(1).min(to))
        } else {
            (start.max(from), start.saturating_add(width).min(to))
        };
        if low >= high {
            return Ok(rows);
        }
        let window =
            Window { from: Some(Timestamp(low)), to: Some(Timestamp(high)), ..request.window };
        let rest = PageRequest { limit: request.limit - rows.len(), ..request.clone() };
        rows.extend(one_page(connection, index, &rest, window).await?);
        if rows.len() >= request.limit {
            return Ok(rows);
        }
        position = if down { low.saturating_sub(1) } else { high };
        if (down && position < from) || (!down && position >= to) {
            return Ok(rows);
        }
        width = width.saturating_mul(4);
    }
}
