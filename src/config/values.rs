//! Types that single settings are parsed into.

use clap::ValueEnum;
use ipnet::IpNet;
use std::str::FromStr;
use url::Url;

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// A number of bytes: `1048576`, `512KiB`, `1MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// Bodies may be set to at most this many bytes: all in flight together have no more.
const BODY_BYTES_MAX: u64 = 16 << 20;

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match parse_bytes(text) {
            Some(bytes) if (1..=BODY_BYTES_MAX).contains(&bytes) => Ok(Self(bytes)),
            Some(_) => Err("must lie between 1 and 16MiB".into()),
            None => Err("is not a number of bytes; write 1048576, 512KiB or 1MiB".into()),
        }
    }
}

/// Room on a disk: a number of bytes, 0 included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room(pub u64);

impl FromStr for Room {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = "is not a number of bytes; write 67108864, 64MiB, 1GiB, or 0 for none";
        parse_bytes(text).map(Self).ok_or_else(|| wrong.into())
    }
}

fn parse_bytes(text: &str) -> Option<u64> {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("", 1)];
    units.into_iter().find_map(|(unit, factor): (&str, u64)| {
        text.trim().strip_suffix(unit)?.trim().parse::<u64>().ok()?.checked_mul(factor)
    })
}

/// A list of networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(pub Vec<IpNet>);

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let network = |part: &str| {
            let network = part.parse::<IpNet>().ok();
            let network = network.or_else(|| Some(part.parse::<std::net::IpAddr>().ok()?.into()));
            network.ok_or_else(|| format!("'{part}' is neither an address nor a network"))
        };
        parts.map(network).collect::<Result<_, _>>().map(Self)
    }
}

/// An address as people see it; empty for none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicUrl(pub Option<Url>);

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self(None));
        }
        let example = "is no address like https://status.example.org";
        let (scheme, rest) = text.split_once("://").ok_or(example)?;
        let is_web = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        // The parser would repair the rest.
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
        if !is_web || rest.starts_with('/') || rest.contains(odd) {
            return Err(example.into());
        }
        let url = Url::parse(text).map_err(|error| format!("{example}: {error}"))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err("must end with its path, without ? and #".into());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not hold a user or password".into());
        }
        Ok(Self(Some(url)))
    }
}

/// Words for yes and no.
pub(super) fn parse_bool(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" | "" => Ok(false),
        _ => Err("must be true or false".into()),
    }
}

/// `NAME=VALUE`.
pub(super) fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("is not NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_an_address_and_nothing_more() {
        let read = |text: &str| text.parse::<PublicUrl>();
        assert_eq!(read("  "), Ok(PublicUrl(None)));
        for (text, origin) in [
            ("https://status.example.org", "https://status.example.org"),
            (" HTTP://Status.example.org:80/gitops/ ", "http://status.example.org"),
            ("https://[::1]:8443", "https://[::1]:8443"),
        ] {
            let url = read(text).ok().and_then(|url| url.0);
            let read = url.map(|url| url.origin().ascii_serialization());
            assert_eq!(read.as_deref(), Some(origin), "{text}");
        }
        for wrong in [
            "status.example.org",
            "https:status.example.org",
            "ftp://status.example.org",
            "https://",
            "https:///path",
            "https://a b",
            "https://a\tb",
            "https:\\\\a",
            "https://a/?q",
            "https://a/#f",
            "https://u@a",
            "https://:p@a",
            "javascript://a",
        ] {
            let problem = read(wrong).expect_err(wrong);
            assert!(!problem.contains('\n'), "{problem}");
        }
    }
}
