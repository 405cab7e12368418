//! The parameters of `/history`, and of the command `export`.

use crate::board::{Board, Inner};
use crate::domain::cursor::{Cursor, FilterDigest, filter_digest};
use crate::domain::report::{Kind, Source, Status};
use crate::domain::time::Timestamp;
use crate::http::host_filter::HostFilter;
use crate::http::params::Params;
use crate::views::{Filters, Hosts, Order, PageRequest, Window};
use actix_web::http::header::HeaderValue;

/// Every parameter there is.
pub const PARAMETERS: &[&str] = &[
    "server_group",
    "host",
    "environment",
    "server_type",
    "repo_name",
    "project_name",
    "status",
    "source",
    "kind",
    "commit_sha",
    "branch",
    "updated_by",
    "run_id",
    "file",
    "from",
    "to",
    "changes_only",
    "order",
    "sort",
    "after_id",
    "from_id",
    "to_id",
    "limit",
    "cursor",
    "format",
    "raw",
];
/// Rows of a page if the request does not say.
const LIMIT_DEFAULT: usize = 100;
/// Rows of a page at most.
const LIMIT_MAX: u64 = 10_000;

/// What a stream is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Pages of items.
    Json,
    /// A stream of items.
    Csv,
    /// A stream of canonical lines.
    Ndjson,
}

impl Format {
    /// The parameter `format`, else what `Accept` prefers, else JSON.
    pub fn of(params: &mut Params, accept: Option<&HeaderValue>) -> Self {
        const WORDS: [&str; 3] = ["json", "csv", "ndjson"];
        const FORMATS: [Format; 3] = [Format::Json, Format::Csv, Format::Ndjson];
        match params.words("format", &WORDS).as_slice() {
            [] => accept.and_then(|value| value.to_str().ok()).map_or(Self::Json, Self::preferred),
            [position] => FORMATS[*position],
            _ => {
                params.error("format", "may be given once");
                Self::Json
            }
        }
    }

    fn preferred(accept: &str) -> Self {
        let mut best = (0.0, Self::Json);
        for choice in accept.split(',') {
            let mut parts = choice.split(';').map(str::trim);
            let format = match parts.next().unwrap_or_default() {
                "text/csv" => Self::Csv,
                "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Self::Ndjson,
                "application/json" | "application/*" | "*/*" => Self::Json,
                _ => continue,
            };
            let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
            let quality = quality.unwrap_or(1.0);
            if quality > best.0 {
                best = (quality, format);
            }
        }
        best.1
    }

    /// The media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    /// What a browser saves it as.
    pub const fn disposition(self) -> &'static str {
        match self {
            Self::Json => "inline",
            Self::Csv => "attachment; filename=\"drift-history.csv\"",
            Self::Ndjson => "attachment; filename=\"drift-history.ndjson\"",
        }
    }
}

/// A question to the history, understood.
#[derive(Debug, Clone)]
pub struct HistoryQuery {
    /// What to ask the store for.
    pub request: PageRequest,
    /// The newest id this walk shows.
    pub as_of: u64,
    /// The newest id there is.
    pub position: u64,
    /// Digest of filters and order, for the cursor.
    pub digest: FilterDigest,
    /// Rows at most, if the request says so.
    pub limit: Option<usize>,
    /// Whether CSV cells go out unguarded.
    pub raw: bool,
    /// Microseconds between two entries of these hosts, on average.
    pub density: i64,
}

impl HistoryQuery {
    /// Rows of one page.
    pub fn page_limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT_DEFAULT)
    }

    /// Reads the parameters; what is wrong is noted in them (see [`Params::check`]).
    pub fn of(params: &mut Params, hosts: &HostFilter, now: Timestamp, board: &Board) -> Self {
        params.only(PARAMETERS);
        let filters = filters(params);
        let order = order(params);
        let limit = params.number("limit", 1..=LIMIT_MAX).map(|limit| limit as usize);
        let raw = params.flag("raw").unwrap_or(false);
        let mut window = window(params, now);
        // Where the walk is, how long a page is and how it is written are no filters; which host a
        // path names is one.
        let text = params.canonical(&["cursor", "limit", "format", "raw"]);
        let digest = filter_digest(&format!("{text} {hosts:?}"));
        let (hosts, density, few, mut as_of) = {
            let board = board.read();
            let resolved = resolve(hosts, &board);
            (resolved.hosts, resolved.density, resolved.few, board.size)
        };
        let (mut after, position) = (None, as_of);
        if let Some(cursor) = params.one("cursor") {
            match Cursor::decode(&cursor) {
                Err(error) => params.error("cursor", error.to_string()),
                Ok(cursor) if cursor.filters != digest => params.error(
                    "cursor",
                    "belongs to other filters or another order; begin again without it",
                ),
                Ok(cursor) => {
                    after = Some(cursor.after);
                    as_of = cursor.as_of;
                    (window.from, window.to) = (cursor.from, cursor.to);
                }
            }
        }
        window.to_id = Some(window.to_id.map_or(as_of, |to_id| to_id.min(as_of)));
        let limit_now = limit.unwrap_or(LIMIT_DEFAULT);
        let request = PageRequest { hosts, few, filters, window, order, after, limit: limit_now };
        Self { request, as_of, position, digest, limit, raw, density }
    }
}

fn filters(params: &mut Params) -> Filters {
    let mut codes = |name, words: &[&str]| -> Vec<i64> {
        params.any_of(name, words).into_iter().map(|position| position as i64).collect()
    };
    let status = codes("status", Status::WORDS);
    let source = codes("source", Source::WORDS);
    let kind = codes("kind", Kind::WORDS);
    Filters {
        status,
        source,
        kind,
        commit_sha: params.all("commit_sha"),
        branch: params.all("branch"),
        updated_by: params.all("updated_by"),
        run_id: params.all("run_id"),
        file: params.all("file"),
        changes_only: params.flag("changes_only").unwrap_or(false),
    }
}

fn order(params: &mut Params) -> Order {
    let mut word = |name, words: &[&str]| {
        let positions = params.words(name, words);
        if positions.len() > 1 {
            params.error(name, "may be given once");
        }
        positions.first().copied()
    };
    let descending = word("order", &["asc", "desc"]).map(|position| position == 1);
    let by_id = word("sort", &["time", "id"]) == Some(1);
    match (by_id, descending) {
        // Tails and copies read forward.
        (true, None | Some(false)) => Order::ById,
        (true, Some(true)) => Order::ByIdDescending,
        (false, None | Some(true)) => Order::NewestFirst,
        (false, Some(false)) => Order::OldestFirst,
    }
}

fn window(params: &mut Params, now: Timestamp) -> Window {
    let ids = 0..=i64::MAX as u64;
    let after_id = params.number("after_id", ids.clone());
    let from_id = params.number("from_id", ids.clone());
    let to_id = params.number("to_id", ids);
    let mut bound = |name| {
        let text = params.one(name)?;
        match Timestamp::parse_bound(&text, now) {
            Ok(time) => Some(time),
            Err(error) => {
                params.error(name, error.to_string());
                None
            }
        }
    };
    let (from, to) = (bound("from"), bound("to"));
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        params.error("from", "lies behind to");
    }
    let from_id = after_id.map(|id| id.saturating_add(1)).max(from_id);
    Window { from, to, from_id, to_id }
}

/// The hosts of a question.
struct Resolved {
    hosts: Hosts,
    /// How far apart their entries lie in time, in microseconds.
    density: i64,
    few: bool,
}

/// Entries of some hosts that are sorted rather than walked to.
const FEW_ENTRIES: u64 = 50_000;

/// The names that pass. Group and host are those a report was sent with, also a former name's; the
/// rest is what the host is now.
fn resolve(filter: &HostFilter, board: &Inner) -> Resolved {
    if filter.is_empty() {
        return Resolved { hosts: Hosts::All, density: 1, few: false };
    }
    let (mut ids, mut reports) = (Vec::new(), 0_u64);
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    let mut all = true;
    for (key, id, state) in board.names() {
        if !filter.matches_name(key, state) {
            all = false;
            continue;
        }
        ids.push(id);
        reports += state.reports;
        first = first.min(state.first_time.0);
        last = last.max(state.newest.place.time.0);
    }
    let density = last.saturating_sub(first) / (reports.max(1) as i64);
    let hosts = match ids.as_slice() {
        // One walk along the index of time beats many along the hosts'.
        [_, ..] if all => Hosts::All,
        [host] => Hosts::One(*host),
        _ => Hosts::Some(ids),
    };
    Resolved { hosts, density: density.max(1), few: reports <= FEW_ENTRIES }
}
