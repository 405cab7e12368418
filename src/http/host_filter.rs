//! Filters on hosts, which many questions share.
//!
//! A URL has room for thousands of values, and there may be as many hosts: a host is looked up among
//! the values, not compared with each.

use super::params::Params;
use crate::domain::names::HostKey;
use crate::domain::review::Attributes;
use crate::domain::state::HostState;
use crate::views::{HostChoice, Width};
use foldhash::fast::RandomState;
use indexmap::IndexSet;
use std::fmt;

/// What a host's current row can be grouped and filtered by.
pub const HOST_FILTERS: [&str; 6] =
    ["server_group", "host", "environment", "server_type", "repo_name", "project_name"];

/// Filters on what a host is: each with the values of which one must be the host's.
#[derive(Debug, Default, Clone)]
pub struct HostFilter(Vec<(&'static str, Values)>);

/// The values of one filter, in order.
#[derive(Clone)]
struct Values(IndexSet<String, RandomState>);

impl Values {
    fn new(mut values: Vec<String>) -> Self {
        // The order in which alternatives are named means nothing.
        values.sort_unstable();
        Self(values.into_iter().collect())
    }
}

/// As a list: cursors hold a digest of it.
impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

impl HostFilter {
    /// Takes them out of the parameters.
    pub fn of(params: &Params) -> Self {
        let given = HOST_FILTERS.into_iter().map(|name| (name, params.all(name)));
        let given = given.filter(|(_, values)| !values.is_empty());
        Self(given.map(|(name, values)| (name, Values::new(values))).collect())
    }

    /// Narrows it further.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.0.push((name, Values::new(vec![value.to_owned()])));
        self
    }

    /// Whether it names groups or hosts.
    pub fn names_some(&self) -> bool {
        self.0.iter().any(|(name, _)| is_of_name(name))
    }

    /// Whether every host passes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a host passes.
    pub fn matches(&self, state: &HostState) -> bool {
        self.passes(|name| attribute(state, name))
    }

    /// Whether a host passes under one of its names.
    pub fn matches_name(&self, key: &HostKey, state: &HostState) -> bool {
        self.passes(|name| part_of_name(key, name).or_else(|| attribute(state, name)))
    }

    fn passes<'v>(&self, value_of: impl Fn(&str) -> Option<&'v str>) -> bool {
        passes(self.0.iter(), value_of)
    }
}

impl HostChoice for HostFilter {
    fn names(&self, key: &HostKey) -> bool {
        let named = self.0.iter().filter(|(name, _)| is_of_name(name));
        passes(named, |name| part_of_name(key, name))
    }

    fn passes(&self, found: &Attributes) -> bool {
        Self::passes(self, |name| match name {
            "repo_name" => found.repo_name.as_deref(),
            "environment" => found.environment.as_deref(),
            "server_type" => found.server_type.as_deref(),
            "project_name" => found.project_name.as_deref(),
            _ => part_of_name(&found.key, name),
        })
    }

    fn width(&self) -> Width {
        let one = |wanted| self.0.iter().any(|(name, of)| *name == wanted && of.0.len() == 1);
        if one("server_group") && one("host") { Width::Host } else { Width::Wide }
    }
}

/// Whether all of these filters have the host's value among theirs.
fn passes<'f, 'v>(
    mut filters: impl Iterator<Item = &'f (&'static str, Values)>,
    value_of: impl Fn(&str) -> Option<&'v str>,
) -> bool {
    filters.all(|(name, values)| value_of(name).is_some_and(|value| values.0.contains(value)))
}

fn is_of_name(filter: &str) -> bool {
    matches!(filter, "server_group" | "host")
}

fn part_of_name<'a>(key: &'a HostKey, filter: &str) -> Option<&'a str> {
    match filter {
        "server_group" => Some(&key.server_group),
        "host" => Some(&key.host),
        _ => None,
    }
}

/// One of [`HOST_FILTERS`] of a host's current row.
pub fn attribute<'a>(state: &'a HostState, name: &str) -> Option<&'a str> {
    let deployment = state.deployment.as_ref().map(|word| &*word.value);
    match name {
        "repo_name" => state.repo_name(),
        "environment" => deployment?.environment.as_deref(),
        "server_type" => deployment?.server_type.as_deref(),
        "project_name" => deployment?.project_name.as_deref(),
        _ => part_of_name(&state.key, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn filter(values: usize) -> HostFilter {
        let pair = |at| ("host".to_owned(), format!("host-{at:05}"));
        HostFilter::of(&Params::new((0..values).rev().map(pair).collect()))
    }

    /// How long it takes to tell hosts apart, none of which passes.
    fn telling(filter: &HostFilter) -> Duration {
        let hosts: Vec<_> = (0..5_000)
            .map(|at| Attributes::bare(HostKey::new("g", &format!("none-{at:05}"))))
            .collect();
        let begun = Instant::now();
        for host in &hosts {
            assert!(!filter.names(&host.key) && !HostChoice::passes(filter, host));
        }
        begun.elapsed()
    }

    /// A look-up hides its steps; how its time grows does not. One by one it would be 2,000 times as
    /// long.
    #[test]
    fn a_host_is_looked_up_among_thousands_of_values() {
        let best = |values| {
            let filter = filter(values);
            (0..5).map(|_| telling(&filter)).min().unwrap_or_default()
        };
        let (few, many) = (best(3), best(6_000));
        assert!(many < few * 50, "{few:?}, {many:?}");
    }

    #[test]
    fn values_are_alternatives_in_any_order_and_cursors_see_a_list() {
        let some = filter(2);
        assert!(some.names(&HostKey::new("g", "host-00001")) && some.names_some());
        assert!(!some.names(&HostKey::new("host-00001", "g")));
        assert_eq!(
            format!("{:?}", some.with("server_group", "g")),
            r#"HostFilter([("host", ["host-00000", "host-00001"]), ("server_group", ["g"])])"#
        );
    }
}
