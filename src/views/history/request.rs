//! What a page is asked for.

use crate::domain::place::Place;
use crate::domain::time::Timestamp;
use crate::views::readers::Width;

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

    /// Whether the walk goes by id.
    pub const fn by_id(self) -> bool {
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
    /// Whether any looks at what was said.
    pub fn on_content(&self) -> bool {
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

/// Rows that a walk along one index has found at once, with one more that tells whether more follow.
const FEW_ROWS: usize = 1_001;

impl PageRequest {
    /// How much there is to look at: little where the walk along one index takes almost every row that
    /// it passes, and soon has as many as are wanted. `as_of`: the newest id that the walk shows.
    pub fn width(&self, as_of: u64) -> Width {
        let Window { from, to, from_id, to_id } = self.window;
        let along = match (&self.hosts, self.order.by_id()) {
            (Hosts::All, true) => from.is_none() && to.is_none(),
            (Hosts::All | Hosts::One(_), false) => from_id.is_none() && to_id >= Some(as_of),
            _ => false,
        };
        let every = self.filters == Filters::default();
        if along && every && self.limit <= FEW_ROWS { Width::Small } else { Width::Wide }
    }
}
