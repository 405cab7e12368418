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
}
