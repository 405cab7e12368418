//! Names of things that report: a server group, and a host inside it.
//!
//! A [`HostKey`] is valid by existing: 1 to 255 characters each after trimming, no control
//! characters, not `.` or `..`. Case matters; slashes and any script are fine.

use std::sync::Arc;

/// Characters a name may have at most.
pub const NAME_MAX_CHARS: usize = 255;

/// The identity of a host: the pair its reports carry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostKey {
    /// The group's name.
    pub server_group: Arc<str>,
    /// The host's name, unique within its group.
    pub host: Arc<str>,
}

impl HostKey {
    /// Builds a key from two names; each must already be a valid name (see [`parse_name`]).
    pub fn new(server_group: &str, host: &str) -> Self {
        Self { server_group: server_group.into(), host: host.into() }
    }
}

impl std::fmt::Display for HostKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.server_group, self.host)
    }
}

/// Trims a name and checks it; the error says what a name must be.
pub fn parse_name(text: &str) -> Result<&str, &'static str> {
    let name = text.trim();
    if name.is_empty() {
        return Err("must not be empty or blank");
    }
    if name.chars().nth(NAME_MAX_CHARS).is_some() {
        return Err("must have at most 255 characters");
    }
    if name.chars().any(char::is_control) {
        return Err("must not hold control characters (line breaks, tabs, NUL)");
    }
    if name == "." || name == ".." {
        return Err("must not be . or ..");
    }
    Ok(name)
}

/// Up to `most` known names that a person may have meant by `wanted`, best first: the same host
/// in another group, a short name for a full one (or the reverse), and small typing errors.
pub fn near<'a>(
    wanted: &HostKey,
    known: impl Iterator<Item = &'a HostKey>,
    most: usize,
) -> Vec<HostKey> {
    let mut scored: Vec<(u32, &HostKey)> =
        known.filter_map(|key| Some((distance(wanted, key)?, key))).collect();
    scored.sort();
    scored.into_iter().take(most).map(|(_, key)| key.clone()).collect()
}

/// How far a known key is from the wanted one; `None` when nobody would take it for the other.
fn distance(wanted: &HostKey, known: &HostKey) -> Option<u32> {
    let host = part_distance(&wanted.host, &known.host)?;
    let group = part_distance(&wanted.server_group, &known.server_group);
    match group {
        Some(group) => Some(host * 2 + group),
        // The right host in a wrong group is worth showing, a similar host there is not.
        None => (host <= 1).then_some(host + 10),
    }
}

fn part_distance(wanted: &str, known: &str) -> Option<u32> {
    if wanted == known {
        return Some(0);
    }
    let (a, b) = (wanted.to_lowercase(), known.to_lowercase());
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    if a == b || short(&a) == short(&b) {
        return Some(1);
    }
    let allowed = 1 + a.chars().count().min(b.chars().count()) / 4;
    let edits = strsim::osa_distance(&a, &b);
    if edits <= allowed {
        return Some(edits as u32 + 1);
    }
    (b.contains(&a) || a.contains(&b)).then_some(6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_checked() {
        assert_eq!(parse_name("  rsyslog-01 "), Ok("rsyslog-01"));
        assert_eq!(parse_name("stacks/prod/дом"), Ok("stacks/prod/дом"));
        assert_eq!(parse_name(&"ж".repeat(255)).map(str::len), Ok(510));
        for wrong in ["", "   ", ".", " .. ", "a\nb", "a\u{0}b", &"x".repeat(256)] {
            assert!(parse_name(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn near_names_are_those_a_person_would_have_meant() {
        let known: Vec<HostKey> = [
            ("rsyslog-prod", "rsyslog-01"),
            ("rsyslog-prod", "rsyslog-02"),
            ("rsyslog-test", "rsyslog-01"),
            ("nginx", "web-01.example.org"),
            ("splunk", "indexer"),
        ]
        .map(|(group, host)| HostKey::new(group, host))
        .into();
        let found = |group, host| {
            let near = near(&HostKey::new(group, host), known.iter(), 3);
            near.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found("nginx", "web-01"), "nginx/web-01.example.org");
        assert!(found("rsyslog-prd", "rsyslog-01").starts_with("rsyslog-prod/rsyslog-01"));
        assert!(found("rsyslog-prod", "RSYSLOG-02").starts_with("rsyslog-prod/rsyslog-02"));
        assert_eq!(found("kafka", "broker-9"), "");
    }
}
