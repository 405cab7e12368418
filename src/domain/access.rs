//! Who may do what (contract section 10): scopes, access tokens, and what needs none.
//!
//! The text of `TOKENS_FILE` is read in `config::tokens`, headers in `http::access`.

pub mod secret;

use super::time::Timestamp;
use secret::Digest;
use std::fmt;
use std::sync::Arc;

/// What one may be allowed to do. None of them holds another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Send reports and pushes.
    Report,
    /// Read what is recorded.
    Read,
    /// Read `/metrics`.
    Metrics,
    /// Retire and rename hosts.
    Admin,
}

impl Scope {
    /// In the order in which they are told.
    pub const ALL: [Self; 4] = [Self::Report, Self::Read, Self::Metrics, Self::Admin];

    /// As it is written.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Read => "read",
            Self::Metrics => "metrics",
            Self::Admin => "admin",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.word() == word)
    }
}

/// Why a request is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// It has no token, and needs one.
    Missing,
    /// Nobody has this token.
    Unknown,
    /// Nobody has it, and its checksum is wrong: it was mistyped, or cut.
    Mistyped,
    /// The token was good once.
    Expired,
    /// It has two tokens.
    Ambiguous,
    /// The token is not for this.
    Scope,
    /// The token is not for this group's reports.
    Group,
    /// A browser sent a write for a page of another site.
    OtherSite,
}

impl Denial {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Missing,
        Self::Unknown,
        Self::Mistyped,
        Self::Expired,
        Self::Ambiguous,
        Self::Scope,
        Self::Group,
        Self::OtherSite,
    ];

    /// As `/metrics` and the log call it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unknown => "unknown",
            Self::Mistyped => "mistyped",
            Self::Expired => "expired",
            Self::Ambiguous => "ambiguous",
            Self::Scope => "scope",
            Self::Group => "group",
            Self::OtherSite => "other_site",
        }
    }
}

/// What a token, or nobody in particular, may do.
#[derive(Debug, Clone)]
pub struct Grant {
    /// At least one.
    pub scopes: Vec<Scope>,
    /// The groups that may be reported for; none: all. They bind `report` and nothing else.
    pub groups: Option<Vec<wildmatch::WildMatch>>,
    /// From then on it is good for nothing.
    pub expires: Option<Timestamp>,
}

impl Grant {
    fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    fn holds(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    fn reports_for(&self, server_group: &str) -> bool {
        let bound = self.groups.as_deref();
        self.holds(Scope::Report)
            && bound.is_none_or(|globs| globs.iter().any(|glob| glob.matches(server_group)))
    }
}

/// For people: `report (groups rsyslog-*), read`.
impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.scopes.iter().enumerate() {
            write!(f, "{}{}", if at > 0 { ", " } else { "" }, scope.word())?;
            if let (Scope::Report, Some(groups)) = (scope, &self.groups) {
                let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
                write!(f, " (groups {})", groups.join(", "))?;
            }
        }
        self.expires.map_or(Ok(()), |expires| write!(f, "; until {expires}"))
    }
}

/// An access token, as far as we know it: not itself.
#[derive(Debug)]
pub struct Token {
    /// `reported_by` of what it hands in.
    pub name: Arc<str>,
    /// One, or two while it is being exchanged.
    pub digests: Vec<Digest>,
    /// What it may do.
    pub grant: Grant,
}

/// All tokens in force, and what needs none.
#[derive(Debug, Default)]
pub struct TokenSet {
    /// Names and digests are distinct.
    pub tokens: Vec<Arc<Token>>,
    /// What needs no token.
    pub anonymous: Option<Arc<Grant>>,
}

/// Whom a request comes from. It may do what its token may, and what needs none.
#[derive(Debug, Clone)]
pub struct Caller {
    token: Option<Arc<Token>>,
    anonymous: Option<Arc<Grant>>,
}

impl TokenSet {
    /// Judges the tokens that a request presents: distinct ones, none of them empty. Who presents one
    /// that is no good is not taken for nobody.
    pub fn caller(&self, presented: &[&str], now: Timestamp) -> Result<Caller, Denial> {
        let anonymous = self.anonymous.as_ref().filter(|grant| !grant.has_expired(now)).cloned();
        match presented {
            [] => Ok(Caller { token: None, anonymous }),
            [text] => match self.find(text) {
                None if secret::is_mistyped(text) => Err(Denial::Mistyped),
                None => Err(Denial::Unknown),
                Some(token) if token.grant.has_expired(now) => Err(Denial::Expired),
                Some(token) => Ok(Caller { token: Some(Arc::clone(token)), anonymous }),
            },
            _ => Err(Denial::Ambiguous),
        }
    }

    /// Compares with every digest there is, and with all of it: how long that takes tells nothing.
    fn find(&self, text: &str) -> Option<&Arc<Token>> {
        let digest = Digest::of(text)?;
        let mut found = None;
        for token in &self.tokens {
            for known in &token.digests {
                if known.is(&digest) {
                    found = Some(token);
                }
            }
        }
        found
    }
}

impl Caller {
    /// The token's name, if there is a token.
    pub fn name(&self) -> Option<&str> {
        self.token.as_ref().map(|token| &*token.name)
    }

    /// Whether it may do this, be it for some groups only.
    pub fn may(&self, scope: Scope) -> Result<(), Denial> {
        self.allowed(Denial::Scope, |grant| grant.holds(scope))
    }

    /// Whether it may report for this group.
    pub fn may_report_for(&self, server_group: &str) -> Result<(), Denial> {
        self.allowed(Denial::Group, |grant| grant.reports_for(server_group))
    }

    fn allowed(&self, denial: Denial, may: impl Fn(&Grant) -> bool) -> Result<(), Denial> {
        let own = self.token.as_ref().map(|token| &token.grant);
        match own.into_iter().chain(self.anonymous.as_deref()).any(may) {
            true => Ok(()),
            // Without a token nobody knows whether the right one is at hand.
            false if self.token.is_none() => Err(Denial::Missing),
            false => Err(denial),
        }
    }
}

#[cfg(test)]
mod tests;
