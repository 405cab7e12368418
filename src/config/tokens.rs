//! `TOKENS_FILE`: the names of access tokens, the hashes of their texts, and what each may do. TOML,
//! a table for each:
//!
//! ```toml
//! [ci-rsyslog]
//! sha256 = "…"                  # or a list of two, while a token is being exchanged
//! groups = ["rsyslog-*"]        # without it: all groups
//! expires = 2027-06-30
//! scopes = ["report"]           # last: see below
//!
//! [anonymous]                   # what needs no token
//! scopes = ["read"]
//! ```
//!
//! An entry without `scopes` is an error, and the other keys only narrow what they allow. So where
//! `scopes` stand last, a file that is cut short never allows more than the whole one.
//!
//! Errors are one line that names the place and says what to do. They repeat no value that could be a
//! token or a hash of one.

use crate::domain::access::secret::{Digest, PREFIX};
use crate::domain::access::{Grant, Scope, Token, TokenSet};
use crate::domain::names::NAME_MAX_CHARS;
use crate::domain::time::Timestamp;
use std::collections::HashMap;
use std::fmt::{Display, Write};
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Bytes that the file may have.
pub const FILE_MAX_BYTES: usize = 1 << 20;
/// Entries that it may have: every request with a token is compared with all of them.
pub const TOKENS_MAX: usize = 1000;
/// Characters of a token's name.
const TOKEN_NAME_MAX_CHARS: usize = 64;
/// Patterns of one entry.
const GROUPS_MAX: usize = 100;
/// Hashes of one entry: the token of today and the one of tomorrow.
const DIGESTS_MAX: usize = 2;
/// The entry that says what needs no token.
const ANONYMOUS: &str = "anonymous";
/// What an entry may hold.
const KEYS: [&str; 4] = ["sha256", "scopes", "groups", "expires"];

type Value<'i> = Spanned<DeValue<'i>>;

/// Reads the file's text.
pub fn parse(text: &[u8]) -> Result<TokenSet, String> {
    if text.len() > FILE_MAX_BYTES {
        return Err(format!("has more than {FILE_MAX_BYTES} bytes"));
    }
    let text = std::str::from_utf8(text).map_err(|_| "is not UTF-8".to_owned())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let table = DeTable::parse(text).map_err(|error| not_toml(text, &error))?;
    let mut set = TokenSet::default();
    let mut owners = HashMap::new();
    for (name, entry) in table.get_ref() {
        let place = Place { text, name: name.get_ref(), at: name.span().start };
        let DeValue::Table(entry) = entry.get_ref() else {
            let what = "is no entry: that is [NAME] on a line of its own, and its keys below";
            return Err(at_line(text, place.at, &format!("{} {what}", shown(place.name))));
        };
        place.only_known(entry)?;
        if place.name == ANONYMOUS {
            set.anonymous = Some(Arc::new(place.anonymous(entry)?));
            continue;
        }
        let token = place.token(entry)?;
        for digest in &token.digests {
            if let Some(other) = owners.insert(digest.clone(), place.name) {
                let whose = if other == place.name { "it".into() } else { shown(other) };
                return Err(place.wrong(place.at, &format!("sha256: {whose} has the same hash")));
            }
        }
        set.tokens.push(Arc::new(token));
    }
    if set.tokens.is_empty() && set.anonymous.is_none() {
        return Err("has no entry, which would shut everybody out; add one with \
                    `gitops-status-server token new`, or unset TOKENS_FILE to run open"
            .into());
    }
    if set.tokens.len() > TOKENS_MAX {
        return Err(format!("has {} entries; at most {TOKENS_MAX} fit", set.tokens.len()));
    }
    Ok(set)
}

/// A name that a token may have.
pub fn parse_token_name(name: &str) -> Result<String, String> {
    let sign = |c: char| c.is_ascii_alphanumeric() || "._@/-".contains(c);
    if name == ANONYMOUS {
        return Err(format!("'{ANONYMOUS}' is the entry for what needs no token"));
    }
    if name.contains(PREFIX) {
        return Err("looks like a token; a name is not secret, it stands in the history".into());
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric())
        || !name.chars().all(sign)
        || name.len() > TOKEN_NAME_MAX_CHARS
    {
        return Err(format!(
            "a name has 1 to {TOKEN_NAME_MAX_CHARS} letters, digits and signs of . _ @ / - and \
             begins with a letter or digit"
        ));
    }
    Ok(name.to_owned())
}

/// A scope's word.
pub fn parse_scope(word: &str) -> Result<Scope, String> {
    Scope::parse(word)
        .ok_or_else(|| format!("there are {}", Scope::ALL.map(Scope::word).join(", ")))
}

/// A pattern of groups.
pub fn parse_group(pattern: &str) -> Result<String, String> {
    let long = pattern.chars().count() > NAME_MAX_CHARS;
    if pattern.trim() != pattern || pattern.is_empty() || long || pattern.contains(char::is_control)
    {
        return Err(format!(
            "a pattern has 1 to {NAME_MAX_CHARS} characters, * stands for any of them, ? for one"
        ));
    }
    Ok(pattern.to_owned())
}

/// An entry as it stands in the file.
struct Place<'a> {
    text: &'a str,
    name: &'a str,
    at: usize,
}

impl Place<'_> {
    fn wrong(&self, at: usize, what: &dyn Display) -> String {
        at_line(self.text, at, &format!("entry {}: {what}", shown(self.name)))
    }

    fn only_known(&self, entry: &DeTable<'_>) -> Result<(), String> {
        let unknown = entry.keys().find(|key| !KEYS.contains(&&**key.get_ref()));
        let Some(key) = unknown else { return Ok(()) };
        let key_name = shown(key.get_ref());
        let dotted = match entry.get(&**key.get_ref()).map(Spanned::get_ref) {
            Some(DeValue::Table(_)) => "; a name with a dot stands in quotes: [\"a.b\"]",
            _ => "",
        };
        let known = KEYS.join(", ");
        Err(self.wrong(
            key.span().start,
            &format!("{key_name} is not known; there are {known}{dotted}"),
        ))
    }

    fn anonymous(&self, entry: &DeTable<'_>) -> Result<Grant, String> {
        match entry.get("sha256") {
            Some(value) => {
                let what = "sha256: this entry says what needs no token, so it has none";
                Err(self.wrong(value.span().start, &what))
            }
            None => self.grant(entry),
        }
    }

    fn token(&self, entry: &DeTable<'_>) -> Result<Token, String> {
        let name = parse_token_name(self.name).map_err(|why| self.wrong(self.at, &why))?;
        let Some(value) = entry.get("sha256") else {
            let what = "sha256 is missing: the hash that `gitops-status-server token hash` prints";
            return Err(self.wrong(self.at, &what));
        };
        let single = value.get_ref().is_str().then_some(std::slice::from_ref(value));
        let list = single.or_else(|| Some(value.get_ref().as_array()?));
        let list = list.filter(|list| (1..=DIGESTS_MAX).contains(&list.len()));
        let digest = |value: &Value<'_>| Digest::parse(value.get_ref().as_str()?);
        let digests = list.and_then(|list| list.iter().map(digest).collect::<Option<Vec<_>>>());
        let digests = digests.ok_or_else(|| {
            let what = "sha256: must be 64 hex digits, or a list of two such; \
                        `gitops-status-server token hash` makes them of a token";
            self.wrong(value.span().start, &what)
        })?;
        Ok(Token { name: name.into(), digests, grant: self.grant(entry)? })
    }

    fn grant(&self, entry: &DeTable<'_>) -> Result<Grant, String> {
        let scopes = self.list(entry, "scopes", Scope::ALL.len(), parse_scope)?;
        let Some(scopes) = scopes else {
            let words = Scope::ALL.map(Scope::word).join(", ");
            return Err(self.wrong(self.at, &format!("scopes are missing: a list of {words}")));
        };
        let groups = self.list(entry, "groups", GROUPS_MAX, parse_group)?;
        if let (Some(_), Some(value)) = (&groups, entry.get("groups"))
            && !scopes.contains(&Scope::Report)
        {
            let what = "groups: they bind the scope report only, which this entry does not have";
            return Err(self.wrong(value.span().start, &what));
        }
        let globs = |groups: Vec<String>| {
            groups.iter().map(|group| wildmatch::WildMatch::new(group)).collect()
        };
        let expires = entry.get("expires").map(|value| self.expires(value)).transpose()?;
        Ok(Grant { scopes, groups: groups.map(globs), expires })
    }

    /// A list of texts, each read by `parse`.
    fn list<T>(
        &self,
        entry: &DeTable<'_>,
        key: &str,
        most: usize,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<Vec<T>>, String> {
        let Some(value) = entry.get(key) else { return Ok(None) };
        let list = value.get_ref().as_array().filter(|list| (1..=most).contains(&list.len()));
        let list = list.ok_or_else(|| {
            let what = format!("{key}: must be a list of 1 to {most} texts: [\"…\"]");
            self.wrong(value.span().start, &what)
        })?;
        let parsed = list.iter().map(|item| {
            let text = item.get_ref().as_str();
            let parsed = text.ok_or_else(|| "must be a text".to_owned()).and_then(&parse);
            parsed.map_err(|why| {
                let given =
                    text.map_or_else(String::new, |text| format!("{} is none; ", shown(text)));
                self.wrong(item.span().start, &format!("{key}: {given}{why}"))
            })
        });
        parsed.collect::<Result<_, _>>().map(Some)
    }

    fn expires(&self, value: &Value<'_>) -> Result<Timestamp, String> {
        let text = match value.get_ref() {
            DeValue::Datetime(time) => Some(time.to_string()),
            DeValue::String(text) => Some(text.to_string()),
            _ => None,
        };
        text.as_deref().and_then(parse_moment).ok_or_else(|| {
            let what = "expires: must be a date (its beginning counts, UTC) or a time, like \
                        2027-06-30 or 2027-06-30T12:00:00Z";
            self.wrong(value.span().start, &what)
        })
    }
}

/// A date or a time; nothing relative, for it would move.
pub fn parse_moment(text: &str) -> Option<Timestamp> {
    let absolute = text.len() >= 10 && text.contains('-') && !text.starts_with("now");
    absolute.then(|| Timestamp::parse_bound(text, Timestamp::default()).ok())?
}

/// An entry's text, as `token new` prints it: `scopes` last, so that no beginning of it allows more.
pub fn entry(
    name: &str,
    digest: &Digest,
    scopes: &[Scope],
    groups: &[String],
    expires: Option<Timestamp>,
) -> String {
    let bare = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    let name = if bare { name.to_owned() } else { quoted(name) };
    let list = |texts: Vec<String>| format!("[{}]", texts.join(", "));
    let scopes = list(scopes.iter().map(|scope| quoted(scope.word())).collect());
    let mut text = format!("[{name}]\nsha256 = {}\n", quoted(&digest.hex()));
    if !groups.is_empty() {
        let groups = list(groups.iter().map(|group| quoted(group)).collect());
        let _ = writeln!(text, "groups = {groups}");
    }
    if let Some(expires) = expires {
        let _ = writeln!(text, "expires = {expires}");
    }
    let _ = writeln!(text, "scopes = {scopes}");
    text
}

/// A basic string of TOML; without control characters, those of JSON are such.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn not_toml(text: &str, error: &toml::de::Error) -> String {
    let at = error.span().map_or(0, |span| span.start);
    let why = error.message().lines().next().unwrap_or_default();
    let what = if why.starts_with("duplicate key") {
        let key = error.span().and_then(|span| text.get(span)).unwrap_or_default();
        format!("{} stands there twice; take one away, or give it another name", shown(key))
    } else {
        format!("is not TOML: {why}")
    };
    let end = text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |end| at + end);
    let above = text.get(..end).unwrap_or_default().lines().rev();
    let entry = above.map(str::trim).find(|line| line.starts_with('['));
    let entry = entry.map(|line| line.trim_matches(['[', ']', '"', ' ']));
    let entry = entry.map_or_else(String::new, |name| format!("entry {}: ", shown(name)));
    at_line(text, at, &format!("{entry}{what}"))
}

fn at_line(text: &str, at: usize, what: &str) -> String {
    let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
    format!("line {line}: {what}")
}

/// Something of the file in an error: short, on one line, and never what may be a token or a hash.
fn shown(text: &str) -> String {
    if text.len() > 48 || text.contains(PREFIX) {
        return "(a long text)".into();
    }
    format!("{text:?}")
}

#[cfg(test)]
mod tests;
