//! The text of each shape of a page.
//!
//! Parameters: $1 JSON of the filters, $2 host(s), $3/$4 the place to go on from, $5/$6 bounds in time,
//! $7/$8 bounds in id, $9 limit. The place is among the bounds already (SQLite enters an index by one lower
//! and one upper bound, and must not enter at the window's edge and walk to the place); what is left to
//! tell apart are rows of the very same time. `k` is the table that is walked: the history itself, or one of
//! its indexes.

use super::request::{Filters, Hosts, Order, PageRequest};
use crate::ledger::rows::PACKED_COLUMNS;

const BOUNDS: &str = "k.time BETWEEN $5 AND $6 AND k.seq BETWEEN $7 AND $8";
/// The same for what the index of times does not have yet.
const BOUNDS_OF_REST: &str = "k.time BETWEEN $5 AND $6 \
     AND k.seq BETWEEN max($7, (SELECT timed + 1 FROM head)) AND $8";
/// The same for walks by id; `+` keeps SQLite from entering an index of time and sorting.
const BOUNDS_BY_ID: &str = "+k.time BETWEEN $5 AND $6 AND k.seq BETWEEN $7 AND $8";
/// By id, of hosts with few entries: `+` keeps SQLite from walking by all others.
const BOUNDS_OF_FEW: &str = "+k.time BETWEEN $5 AND $6 AND +k.seq BETWEEN $7 AND $8";
const BEFORE_PLACE: &str = "(k.time < $3 OR k.seq < $4)";
const BEHIND_PLACE: &str = "(k.time > $3 OR k.seq > $4)";
/// The history walked by itself.
const ALONE: &str = "drift_history h";
/// The history by way of the index of its hosts: see `projection::index`.
const BY_HOST: &str = "host_entry e CROSS JOIN drift_history h ON h.seq = e.seq";
/// The index of times, by itself and with the history.
const TIMES: &str = "time_entry e";
const BY_TIME: &str = "time_entry e CROSS JOIN drift_history h ON h.seq = e.seq";
const BY_SOURCE: &str = "h.source IN (SELECT value FROM json_each($1, '$.source'))";
const BY_KIND: &str = "h.kind IN (SELECT value FROM json_each($1, '$.kind'))";
const BY_RUN: &str = "h.run_id IN (SELECT r.id FROM json_each($1, '$.run_id') w \
     JOIN run r ON r.run_id = w.value)";
/// One of four: looked up row by row, it is soon found; by the dictionary all of that would be read.
const BY_STATUS: &str = "(SELECT c.status FROM content c WHERE c.id = h.content_id) \
     IN (SELECT value FROM json_each($1, '$.status'))";
const BY_CONTENT: &str = "h.content_id IN (SELECT c.id FROM content c WHERE \
     ($1->'commit_sha' = '[]' OR c.commit_sha IN (SELECT value FROM json_each($1, '$.commit_sha'))) AND \
     ($1->'branch' = '[]' OR c.branch IN (SELECT value FROM json_each($1, '$.branch'))) AND \
     ($1->'updated_by' = '[]' OR c.updated_by IN (SELECT value FROM json_each($1, '$.updated_by'))) AND \
     ($1->'file' = '[]' OR EXISTS (SELECT 1 FROM json_each(c.changed_files) f, json_each($1, '$.file') w \
        WHERE CASE f.type WHEN 'object' THEN f.value->>'path' ELSE f.value END = w.value \
        OR (substr(w.value, -1) = '*' AND substr(CASE f.type WHEN 'object' THEN f.value->>'path' \
            ELSE f.value END, 1, length(w.value) - 1) = substr(w.value, 1, length(w.value) - 1)))))";
const CHANGES: &str = "h.transition <> 0";

impl PageRequest {
    /// Whether the walk enters the index of hosts; changes have one of their own.
    pub fn walks_by_host(&self) -> bool {
        self.hosts != Hosts::All && !self.filters.changes_only && (self.few || !self.order.by_id())
    }

    /// Whether the walk enters the index of times; changes have one of their own.
    fn walks_by_time(&self) -> bool {
        self.hosts == Hosts::All && !self.filters.changes_only && !self.order.by_id()
    }

    /// Whether the walk takes all entries of its hosts, and sorts them by id.
    fn sorts_by_id(&self) -> bool {
        self.few && self.hosts != Hosts::All && self.order.by_id()
    }
}

/// The text of a page: one packed text built inside SQLite.
pub fn page_sql(request: &PageRequest) -> String {
    let walk = if request.walks_by_time() { walk_by_time(request) } else { walk(request) };
    format!("SELECT group_concat(row, ';') FROM ({walk})")
}

/// A walk along one index, or along the history itself.
fn walk(request: &PageRequest) -> String {
    let (by_id, by_host) = (request.order.by_id(), request.walks_by_host());
    let bounds = match (by_id, request.sorts_by_id()) {
        (false, _) => BOUNDS,
        (true, false) => BOUNDS_BY_ID,
        (true, true) => BOUNDS_OF_FEW,
    };
    let source = if by_host { BY_HOST } else { ALONE };
    let from = match request.hosts {
        Hosts::Some(_) if !by_id => format!("json_each($2) g CROSS JOIN {source}"),
        _ => source.to_owned(),
    };
    let walk = format!("WHERE {} {}", conditions(request, bounds), order(request));
    let walk = walk.replace("k.", if by_host { "e." } else { "h." });
    format!("SELECT {PACKED_COLUMNS} AS row FROM {from} {walk}")
}

/// A walk along the index of times, merged with the newest entries, which it does not have yet.
fn walk_by_time(request: &PageRequest) -> String {
    let index = if request.filters == Filters::default() { TIMES } else { BY_TIME };
    let indexed = conditions(request, BOUNDS).replace("k.", "e.");
    let rest = conditions(request, BOUNDS_OF_REST).replace("k.", "h.");
    let order = order(request);
    let (merged, order) = (order.replace("k.", ""), order.replace("k.", "e."));
    format!(
        "SELECT {PACKED_COLUMNS} AS row FROM (SELECT e.time, e.seq FROM {index} WHERE {indexed} \
         UNION ALL SELECT h.time, h.seq FROM {ALONE} WHERE {rest} {merged}) e \
         CROSS JOIN {ALONE} ON h.seq = e.seq {order}"
    )
}

/// Which rows of `k` a walk takes.
fn conditions(request: &PageRequest, bounds: &'static str) -> String {
    let mut conditions = vec![bounds];
    let beside = request.order.by_id() && !request.sorts_by_id();
    conditions.extend(match request.hosts {
        Hosts::All => None,
        Hosts::One(_) if beside => Some("+k.host_id = $2"),
        Hosts::One(_) => Some("k.host_id = $2"),
        Hosts::Some(_) if beside => Some("+k.host_id IN (SELECT value FROM json_each($2))"),
        Hosts::Some(_) if request.order.by_id() => {
            Some("k.host_id IN (SELECT value FROM json_each($2))")
        }
        Hosts::Some(_) => Some("k.host_id = g.value"),
    });
    let filters = &request.filters;
    for (active, condition) in [
        (!filters.source.is_empty(), BY_SOURCE),
        (!filters.kind.is_empty(), BY_KIND),
        (!filters.run_id.is_empty(), BY_RUN),
        (!filters.status.is_empty(), BY_STATUS),
        (filters.on_content(), BY_CONTENT),
        (filters.changes_only, CHANGES),
    ] {
        if active {
            conditions.push(condition);
        }
    }
    conditions.extend(match request.order {
        Order::NewestFirst => Some(BEFORE_PLACE),
        Order::OldestFirst => Some(BEHIND_PLACE),
        Order::ById | Order::ByIdDescending => None,
    });
    conditions.join(" AND ")
}

/// In which order a walk goes, and how far.
fn order(request: &PageRequest) -> &'static str {
    match (request.order, request.sorts_by_id()) {
        (Order::NewestFirst, _) => "ORDER BY k.time DESC, k.seq DESC LIMIT $9",
        (Order::OldestFirst, _) => "ORDER BY k.time, k.seq LIMIT $9",
        (Order::ById, true) => "ORDER BY +k.seq LIMIT $9",
        (Order::ById, false) => "ORDER BY k.seq LIMIT $9",
        (Order::ByIdDescending, true) => "ORDER BY +k.seq DESC LIMIT $9",
        (Order::ByIdDescending, false) => "ORDER BY k.seq DESC LIMIT $9",
    }
}
