//! Points in time: integer microseconds UTC, how senders write them, how we write them.
//!
//! Source of the input formats: contract section 3 ("Times in") and section 6 (`from`, `to`).

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc};
use std::fmt;

/// Microseconds since 1970-01-01T00:00:00Z. Displays as RFC 3339 UTC with `Z`; a fraction only if
/// it is not zero, without trailing zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

/// Microseconds in a second.
pub const SECOND: i64 = 1_000_000;
/// Microseconds in a minute.
pub const MINUTE: i64 = 60 * SECOND;
/// The last microsecond of the year 9999, the end of what is accepted.
const LATEST: i64 = 253_402_300_799_999_999;

/// Why a text is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// The shape is not one of the accepted ones.
    #[error("is not a time; write it like 2026-04-26T10:30:00Z or 2026-04-26 10:30:00 +03:00")]
    Shape,
    /// The shape is right, but there is no such day or hour.
    #[error("is not a date and time that exists")]
    NoSuchTime,
    /// Outside the years 1970 to 9999 (UTC).
    #[error("lies outside the years 1970 to 9999")]
    OutOfRange,
    /// A Grafana macro arrived unexpanded.
    #[error(
        "still holds a dashboard macro (${{…}}): Grafana did not expand it; use ${{__from}} or ${{__timeFrom}} in a panel query"
    )]
    Macro,
    /// Not one of the forms `from` and `to` take.
    #[error(
        "is not a time; allowed: RFC 3339, a date (2026-04-26), 10-digit seconds, 13-digit milliseconds, now, now-90d (s, m, h, d, w)"
    )]
    Bound,
}

impl Timestamp {
    /// Parses a sender's time: RFC 3339 with 0 to 9 fraction digits (cut to microseconds), `T`, `t`
    /// or a blank between date and time, any offset (`Z`, `+03:00`, `+0300`, `+03`), also after a
    /// blank; without an offset it is UTC. A leap second counts as the second after it.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let text = text.trim();
        // Every accepted form is ASCII; below, texts are cut at byte positions.
        if !text.is_ascii() {
            return Err(TimeError::Shape);
        }
        let (clock, offset) = split_offset(text)?;
        let (date, time) = clock.split_at_checked(10).ok_or(TimeError::Shape)?;
        let day = parse_date(date)?;
        let time = time.strip_prefix(['T', 't', ' ']).ok_or(TimeError::Shape)?;
        let (hms, fraction) = match time.split_once('.') {
            Some((hms, fraction)) => (hms, parse_fraction(fraction)?),
            None => (time, 0),
        };
        let (time, leap) = parse_clock(hms)?;
        let local = NaiveDateTime::new(day, time);
        let micros = local.and_utc().timestamp_micros() + leap + fraction - offset;
        Self::checked(micros)
    }

    /// Parses what `from` and `to` take: a sender's time, a date, 10-digit seconds, 13-digit
    /// milliseconds, `now`, or `now-90d`.
    pub fn parse_bound(text: &str, now: Timestamp) -> Result<Self, TimeError> {
        let text = text.trim();
        if text.contains("${") {
            return Err(TimeError::Macro);
        }
        if !text.is_ascii() {
            return Err(TimeError::Bound);
        }
        if let Some(rest) = text.strip_prefix("now") {
            return parse_relative(rest, now);
        }
        if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
            let number: i64 = text.parse().map_err(|_| TimeError::Bound)?;
            return match text.len() {
                10 => Self::checked(number * SECOND),
                13 => Self::checked(number * 1000),
                _ => Err(TimeError::Bound),
            };
        }
        if text.len() == 10 {
            let day = parse_date(text).map_err(|e| bound_error(&e))?;
            return Self::checked(day.and_time(NaiveTime::MIN).and_utc().timestamp_micros());
        }
        Self::parse(text).map_err(|e| bound_error(&e))
    }

    /// Unix seconds, kept to microseconds; `None` outside the years 1970 to 9999.
    pub fn from_unix_seconds(seconds: f64) -> Option<Self> {
        let micros = (seconds * SECOND as f64).round();
        (0.0..=LATEST as f64).contains(&micros).then_some(Self(micros as i64))
    }

    fn checked(micros: i64) -> Result<Self, TimeError> {
        if (0..=LATEST).contains(&micros) { Ok(Self(micros)) } else { Err(TimeError::OutOfRange) }
    }

    /// This time as a calendar date and time, UTC.
    pub fn calendar(self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::microseconds(self.0)
    }
}

fn bound_error(error: &TimeError) -> TimeError {
    match error {
        TimeError::Shape => TimeError::Bound,
        other => other.clone(),
    }
}

/// Room for `9999-12-31T23:59:59.999999Z`.
type TextBuffer = [u8; 27];

impl Timestamp {
    /// Writes the text form; chrono's own formatter takes ten times as long, and exports write
    /// three times a row.
    fn write(self, buffer: &mut TextBuffer) -> &str {
        let calendar = self.calendar();
        *buffer = *b"0000-00-00T00:00:00.000000Z";
        put(&mut buffer[0..4], calendar.year() as u32);
        put(&mut buffer[5..7], calendar.month());
        put(&mut buffer[8..10], calendar.day());
        put(&mut buffer[11..13], calendar.hour());
        put(&mut buffer[14..16], calendar.minute());
        put(&mut buffer[17..19], calendar.second());
        put(&mut buffer[20..26], self.0.rem_euclid(SECOND) as u32);
        let mut end = 26;
        while buffer[end - 1] == b'0' && end > 20 {
            end -= 1;
        }
        if end == 20 {
            end = 19;
        }
        buffer[end] = b'Z';
        std::str::from_utf8(&buffer[..=end]).expect("digits are ASCII")
    }
}

/// Fills `digits` with a number, from the right.
fn put(digits: &mut [u8], mut number: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.write(&mut TextBuffer::default()))
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.write(&mut TextBuffer::default()))
    }
}

/// Splits the offset from the end; answers the clock part and the offset in microseconds.
fn split_offset(text: &str) -> Result<(&str, i64), TimeError> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Ok((clock.trim_end(), 0));
    }
    // The date itself holds '-', so look for a sign only behind it.
    let tail = text.get(10..).ok_or(TimeError::Shape)?;
    let Some(at) = tail.find(['+', '-']) else { return Ok((text, 0)) };
    let (clock, offset) = text.split_at(10 + at);
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let digits = &offset[1..];
    let (hours, minutes) = match digits.len() {
        2 => (digits, "00"),
        4 => digits.split_at(2),
        5 => digits.split_once(':').ok_or(TimeError::Shape)?,
        _ => return Err(TimeError::Shape),
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    if hours > 23 || minutes > 59 {
        return Err(TimeError::NoSuchTime);
    }
    let seconds = i64::from(hours) * 3600 + i64::from(minutes) * 60;
    Ok((clock.trim_end(), sign * seconds * SECOND))
}

fn parse_date(text: &str) -> Result<NaiveDate, TimeError> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return Err(TimeError::Shape);
    }
    let century = two_digits(&text[0..2])?;
    let year = century * 100 + two_digits(&text[2..4])?;
    let (month, day) = (two_digits(&text[5..7])?, two_digits(&text[8..10])?);
    NaiveDate::from_ymd_opt(year as i32, month, day).ok_or(TimeError::NoSuchTime)
}

/// `HH:MM:SS`; answers the time and what a leap second adds.
fn parse_clock(text: &str) -> Result<(NaiveTime, i64), TimeError> {
    let bytes = text.as_bytes();
    if bytes.len() != 8 || bytes[2] != b':' || bytes[5] != b':' {
        return Err(TimeError::Shape);
    }
    let hour = two_digits(text.get(0..2).ok_or(TimeError::Shape)?)?;
    let minute = two_digits(text.get(3..5).ok_or(TimeError::Shape)?)?;
    let second = two_digits(text.get(6..8).ok_or(TimeError::Shape)?)?;
    let (second, leap) = if second == 60 { (59, SECOND) } else { (second, 0) };
    let time = NaiveTime::from_hms_opt(hour, minute, second).ok_or(TimeError::NoSuchTime)?;
    Ok((time, leap))
}

/// One to nine digits after the point, as microseconds (further digits are cut).
fn parse_fraction(text: &str) -> Result<i64, TimeError> {
    if text.is_empty() || text.len() > 9 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(TimeError::Shape);
    }
    let padded = format!("{text:0<6}");
    padded[..6].parse().map_err(|_| TimeError::Shape)
}

fn two_digits(text: &str) -> Result<u32, TimeError> {
    if text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().map_err(|_| TimeError::Shape)
    } else {
        Err(TimeError::Shape)
    }
}

/// What follows `now`: nothing, or `-` / `+`, digits and a unit.
fn parse_relative(rest: &str, now: Timestamp) -> Result<Timestamp, TimeError> {
    if rest.is_empty() {
        return Ok(now);
    }
    let sign = match rest.as_bytes()[0] {
        b'-' => -1,
        b'+' => 1,
        _ => return Err(TimeError::Bound),
    };
    let unit = match rest.as_bytes()[rest.len() - 1] {
        b's' => SECOND,
        b'm' => MINUTE,
        b'h' => 60 * MINUTE,
        b'd' => 24 * 60 * MINUTE,
        b'w' => 7 * 24 * 60 * MINUTE,
        _ => return Err(TimeError::Bound),
    };
    let digits = rest.get(1..rest.len() - 1).unwrap_or_default();
    if digits.is_empty() || digits.len() > 7 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(TimeError::Bound);
    }
    let count: i64 = digits.parse().map_err(|_| TimeError::Bound)?;
    // Before 1970 means "from the beginning"; after 9999 means "to the end".
    Ok(Timestamp(now.0.saturating_add(sign * count.saturating_mul(unit)).clamp(0, LATEST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Timestamp::parse(text).map_or_else(|e| format!("{e:?}"), |t| t.to_string())
    }

    #[test]
    fn every_promised_spelling_is_taken() {
        for (sent, shown_as) in [
            ("2026-04-26T10:30:00Z", "2026-04-26T10:30:00Z"),
            ("2026-04-26t10:30:00z", "2026-04-26T10:30:00Z"),
            ("2026-04-26 10:30:00", "2026-04-26T10:30:00Z"),
            ("2026-04-26T10:30:00", "2026-04-26T10:30:00Z"),
            ("2026-04-26 10:30:00Z", "2026-04-26T10:30:00Z"),
            ("2026-04-26T10:30:00+03:00", "2026-04-26T07:30:00Z"),
            ("2026-04-26 03:09:02 +03:00", "2026-04-26T00:09:02Z"),
            ("2026-04-26T10:30:00-0130", "2026-04-26T12:00:00Z"),
            ("2026-04-26T10:30:00+03", "2026-04-26T07:30:00Z"),
            ("2026-04-26T10:30:00.5Z", "2026-04-26T10:30:00.5Z"),
            ("2026-04-26T10:30:00.123456789Z", "2026-04-26T10:30:00.123456Z"),
            ("2026-04-26T10:30:00.100000Z", "2026-04-26T10:30:00.1Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
        ] {
            assert_eq!(shown(sent), shown_as, "{sent}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        for (sent, why) in [
            ("", "Shape"),
            ("2026-04-26", "Shape"),
            ("2026-04-26T10:30Z", "Shape"),
            ("2026-04-26T10:30:00.Z", "Shape"),
            ("2026-04-26T10:30:00.1234567890Z", "Shape"),
            ("1777200000", "Shape"),
            ("2026-04-26T10:30:00 UTC", "Shape"),
            ("2026-04-26T1é:30:00Z", "Shape"),
            ("aé6-04-26T10:30:00Z", "Shape"),
            ("2026-04-26T10:30:00+aéb", "Shape"),
            ("2026-02-30T10:30:00Z", "NoSuchTime"),
            ("2026-04-26T24:00:00Z", "NoSuchTime"),
            ("2026-04-26T10:30:00+24:00", "NoSuchTime"),
            ("1969-12-31T23:59:59Z", "OutOfRange"),
            ("1970-01-01T00:00:00+01:00", "OutOfRange"),
            ("9999-12-31T23:59:59-01:00", "OutOfRange"),
        ] {
            assert_eq!(shown(sent), why, "{sent}");
        }
    }

    #[test]
    fn bounds_take_what_dashboards_send() {
        let now = Timestamp::parse("2026-04-26T10:30:00Z").unwrap();
        for (sent, shown_as) in [
            ("2026-04-26T00:00:00.25Z", "2026-04-26T00:00:00.25Z"),
            ("2026-04-26", "2026-04-26T00:00:00Z"),
            ("1777161600", "2026-04-26T00:00:00Z"),
            ("1777161600250", "2026-04-26T00:00:00.25Z"),
            ("now", "2026-04-26T10:30:00Z"),
            ("now-90d", "2026-01-26T10:30:00Z"),
            ("now-1h", "2026-04-26T09:30:00Z"),
            ("now-9999999w", "1970-01-01T00:00:00Z"),
        ] {
            let bound = Timestamp::parse_bound(sent, now).map(|t| t.to_string());
            assert_eq!(bound.as_deref(), Ok(shown_as), "{sent}");
        }
        assert_eq!(Timestamp::parse_bound("${__from}", now), Err(TimeError::Macro));
        for wrong in
            ["177716160", "yesterday", "now-d", "now-90", "now90d", "now-1é", "aé6-04-26", ""]
        {
            assert_eq!(Timestamp::parse_bound(wrong, now), Err(TimeError::Bound), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(text in "\\PC{0,40}") {
            let _ = Timestamp::parse(&text);
            let _ = Timestamp::parse_bound(&text, Timestamp(0));
        }

        #[test]
        fn what_is_written_reads_back(micros in 0..=LATEST) {
            let time = Timestamp(micros);
            proptest::prop_assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
        }
    }
}
