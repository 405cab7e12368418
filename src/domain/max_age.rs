//! How long a report's word is good for when the report does not say: `STALE_AFTER` and
//! `STALE_AFTER_GROUPS`. Stamped into each entry as it arrives, so that a later change of a setting
//! changes no history.

use std::time::Duration;

/// Shortest and longest `max_age` in seconds (one second, ten years of 365 days).
pub const MAX_AGE_SECONDS: std::ops::RangeInclusive<u32> = 1..=315_360_000;

/// The settings that decide the `max_age` of a report that brings none.
#[derive(Debug, Clone)]
pub struct StaleAfter {
    default_seconds: u32,
    /// In the order written; the first pattern that matches the group decides.
    groups: Vec<(wildmatch::WildMatch, u32)>,
}

impl StaleAfter {
    /// Parses `26h` and `rsyslog-*=10m,stacks=26h` (`*` any run of characters, `?` any one).
    /// Errors are one line that names the part at fault.
    pub fn parse(default: &str, groups: &str) -> Result<Self, String> {
        let default_seconds =
            parse_seconds(default).map_err(|why| format!("STALE_AFTER: {why}"))?;
        let groups = groups
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| {
                let (pattern, age) = part.split_once('=').ok_or_else(|| {
                    format!("STALE_AFTER_GROUPS: '{part}' is not GROUP=DURATION, like stacks=26h")
                })?;
                let seconds =
                    parse_seconds(age).map_err(|why| format!("STALE_AFTER_GROUPS: {why}"))?;
                Ok((wildmatch::WildMatch::new(pattern.trim()), seconds))
            })
            .collect::<Result<_, String>>()?;
        Ok(Self { default_seconds, groups })
    }

    /// The `max_age` in seconds for a report of this group that brings none.
    pub fn seconds_for(&self, server_group: &str) -> u32 {
        let group = self.groups.iter().find(|(pattern, _)| pattern.matches(server_group));
        group.map_or(self.default_seconds, |(_, seconds)| *seconds)
    }
}

fn parse_seconds(text: &str) -> Result<u32, String> {
    let duration: Duration = humantime::parse_duration(text.trim())
        .map_err(|_| format!("'{}' is not a duration; write 26h, 10m or 90s", text.trim()))?;
    u32::try_from(duration.as_secs())
        .ok()
        .filter(|seconds| MAX_AGE_SECONDS.contains(seconds))
        .ok_or_else(|| format!("'{}' is not between 1 second and 10 years", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_matching_group_decides() {
        let ages = StaleAfter::parse("26h", "rsyslog-*=10m, stacks=2days,*-prod=1h").unwrap();
        assert_eq!(ages.seconds_for("rsyslog-prod"), 600);
        assert_eq!(ages.seconds_for("stacks"), 172_800);
        assert_eq!(ages.seconds_for("nginx-prod"), 3600);
        assert_eq!(ages.seconds_for("nginx"), 93_600);
    }

    #[test]
    fn a_wrong_setting_is_named() {
        for (default, groups) in
            [("", ""), ("26", ""), ("0s", ""), ("11y", ""), ("1h", "a"), ("1h", "a=b")]
        {
            let error = StaleAfter::parse(default, groups).unwrap_err();
            assert!(error.starts_with("STALE_AFTER"), "{error}");
        }
    }
}
