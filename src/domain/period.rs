//! Calendar periods, UTC: `2026`, `2026-Q3`, `2026-07`; and `last-quarter`, `this-month` … for
//! dashboards, which mean another one every time.

use super::time::Timestamp;
use chrono::{Datelike, NaiveDate};
use std::fmt;

/// A calendar year, quarter or month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    year: i32,
    /// From 1.
    first_month: u32,
    months: u32,
}

/// Why a text is not a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not a period; allowed: a year (2026), a quarter (2026-Q3), a month (2026-07), from 1970 to 9999, and this- or last- with year, quarter or month (last-quarter)"
)]
pub struct PeriodError;

impl Period {
    /// Parses a period; `now` tells which quarter is the last.
    pub fn parse(text: &str, now: Timestamp) -> Result<Self, PeriodError> {
        let text = text.trim();
        let months = |unit: &str| match unit {
            "year" => Ok(12),
            "quarter" => Ok(3),
            "month" => Ok(1),
            _ => Err(PeriodError),
        };
        if let Some(unit) = text.strip_prefix("this-") {
            return Ok(Self::holding(now, months(unit)?));
        }
        if let Some(unit) = text.strip_prefix("last-") {
            let months = months(unit)?;
            return Ok(Self::holding(Timestamp(Self::holding(now, months).from().0 - 1), months));
        }
        let number = |digits: &str| -> Result<u32, PeriodError> {
            let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| all_digits).ok_or(PeriodError)
        };
        let (year, part) = match text.split_once('-') {
            Some((year, part)) => (year, Some(part)),
            None => (text, None),
        };
        let year = if year.len() == 4 { number(year)? as i32 } else { return Err(PeriodError) };
        let (first_month, months) = match part {
            None => (1, 12),
            Some(part) => match (part.strip_prefix(['Q', 'q']), part.len()) {
                (Some(quarter), 2) => match number(quarter)? {
                    quarter @ 1..=4 => (quarter * 3 - 2, 3),
                    _ => return Err(PeriodError),
                },
                (None, 2) => match number(part)? {
                    month @ 1..=12 => (month, 1),
                    _ => return Err(PeriodError),
                },
                _ => return Err(PeriodError),
            },
        };
        if year < 1970 {
            return Err(PeriodError);
        }
        Ok(Self { year, first_month, months })
    }

    /// The year, quarter or month that a time lies in.
    fn holding(time: Timestamp, months: u32) -> Self {
        let day = time.calendar();
        Self { year: day.year(), first_month: day.month0() / months * months + 1, months }
    }

    /// Its first instant.
    pub fn from(self) -> Timestamp {
        start_of(self.year, self.first_month)
    }

    /// The first instant behind it.
    pub fn to(self) -> Timestamp {
        let month = self.first_month + self.months;
        if month > 12 { start_of(self.year + 1, month - 12) } else { start_of(self.year, month) }
    }
}

fn start_of(year: i32, month: u32) -> Timestamp {
    let day = NaiveDate::from_ymd_opt(year, month, 1).expect("chrono knows the years to 10000");
    Timestamp(day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros())
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, first_month, months } = self;
        match months {
            12 => write!(f, "{year:04}"),
            3 => write!(f, "{year:04}-Q{}", first_month.div_ceil(3)),
            _ => write!(f, "{year:04}-{first_month:02}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_the_calendars() {
        let now = Timestamp::parse("2026-02-03T04:05:06Z").unwrap();
        for (text, shown, from, to) in [
            ("2026", "2026", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("2026-q1", "2026-Q1", "2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z"),
            (" 2026-Q4 ", "2026-Q4", "2026-10-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("2024-02", "2024-02", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
            ("this-quarter", "2026-Q1", "2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z"),
            ("last-quarter", "2025-Q4", "2025-10-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            ("this-month", "2026-02", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"),
            ("last-month", "2026-01", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
            ("last-year", "2025", "2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            ("9999-12", "9999-12", "9999-12-01T00:00:00Z", "+10000"),
        ] {
            let period = Period::parse(text, now).unwrap();
            assert_eq!(period.to_string(), shown);
            assert_eq!(period.from().to_string(), from);
            if to != "+10000" {
                assert_eq!(period.to().to_string(), to);
            }
        }
    }

    #[test]
    fn what_is_no_period_is_refused() {
        for text in [
            "",
            "26",
            "2026-Q0",
            "2026-Q5",
            "2026-13",
            "2026-00",
            "2026-7",
            "2026-07-01",
            "1969",
            "last-week",
        ] {
            assert_eq!(Period::parse(text, Timestamp(0)), Err(PeriodError), "{text}");
        }
        for text in ["Q3-2026", "2026Q3", "+026", "2026-+1", "2026-Q", "２０２６", "2026-Q३"]
        {
            assert_eq!(Period::parse(text, Timestamp(0)), Err(PeriodError), "{text}");
        }
    }
}
