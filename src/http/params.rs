//! What stands in a URL: path segments with any name in them, and repeatable query parameters.

use super::position::AT_LEAST;
use super::problem::Problem;
use crate::domain::names::HostKey;
use crate::ingest::{ERRORS_MAX, FieldError};
use actix_web::HttpRequest;
use percent_encoding::percent_decode_str;

/// The segments of the path, decoded once. A segment that is not UTF-8 names nothing: 404.
pub fn segments(request: &HttpRequest) -> Result<Vec<String>, Problem> {
    let path = request.uri().path().trim_start_matches('/');
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/')
        .map(|segment| {
            let decoded = percent_decode_str(segment).decode_utf8();
            decoded.map(String::from).map_err(|_| Problem::no_such_path())
        })
        .collect()
}

/// Group and host out of a path with one segment before them.
pub fn host_key(request: &HttpRequest) -> Result<HostKey, Problem> {
    match segments(request)?.as_slice() {
        [_, group, host] => Ok(HostKey::new(group, host)),
        _ => Err(Problem::no_such_path()),
    }
}

/// The id at the end of the path: digits and nothing else. `None`: it is no id, or is too large for one.
pub fn id(request: &HttpRequest) -> Result<Option<u64>, Problem> {
    let text = segments(request)?.pop().unwrap_or_default();
    // A number may have a sign; an id has none.
    let id = text.parse().ok().filter(|_| !text.starts_with('+'));
    Ok(id.filter(|id| (1..=i64::MAX as u64).contains(id)))
}

/// Query parameters in the order sent. An empty value is no value.
#[derive(Debug, Clone, Default)]
pub struct Params {
    pairs: Vec<(String, String)>,
    /// A parameter that is taken, too, and read elsewhere.
    besides: Option<&'static str>,
    /// What was wrong so far, at most [`ERRORS_MAX`]; all of it is answered at once.
    errors: Vec<FieldError>,
    /// Errors beyond those.
    more_errors: usize,
}

impl Params {
    /// Reads a request's query, but for `at_least`, which has done its part (`position`).
    pub fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let query = request.query_string();
        if percent_decode_str(query).decode_utf8().is_err() {
            return Err(Problem::invalid_parameter("", "the query is not UTF-8"));
        }
        let pairs = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != AT_LEAST);
        let pairs = pairs.map(|(name, value)| (name.into_owned(), value.into_owned()));
        Ok(Self { besides: Some(AT_LEAST), ..Self::new(pairs.collect()) })
    }

    /// Parameters from elsewhere (the command line).
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        Self { pairs, ..Self::default() }
    }

    /// Every value of a repeatable parameter.
    pub fn all(&self, name: &str) -> Vec<String> {
        let named = self.pairs.iter().filter(|(key, _)| key == name);
        named.map(|(_, value)| value.clone()).collect()
    }

    /// The value of a parameter that may stand once.
    pub fn one(&mut self, name: &str) -> Option<String> {
        let mut values = self.all(name);
        if values.len() > 1 {
            self.error(name, "may be given once");
        }
        values.pop()
    }

    /// A parameter that is true or false (also 1 or 0).
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        match self.one(name)?.as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => {
                self.error(name, "must be true or false");
                None
            }
        }
    }

    /// A whole number within a range.
    pub fn number(&mut self, name: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let text = self.one(name)?;
        let number = text.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            let (low, high) = (range.start(), range.end());
            self.error(name, format!("must be a whole number from {low} to {high}"));
        }
        number
    }

    /// Values that must each be one of a list of words (in any case); answers their positions.
    pub fn words(&mut self, name: &str, words: &[&str]) -> Vec<usize> {
        let mut positions = Vec::new();
        let wrong = format!("must be one of {}", words.join(", "));
        for value in self.all(name) {
            match words.iter().position(|word| word.eq_ignore_ascii_case(&value)) {
                Some(position) => positions.push(position),
                None => self.error(name, &wrong),
            }
        }
        positions
    }

    /// The same of alternatives: each position once, however often a URL repeats it.
    pub fn any_of(&mut self, name: &str, words: &[&str]) -> Vec<usize> {
        let mut positions = self.words(name, words);
        positions.sort_unstable();
        positions.dedup();
        positions
    }

    /// Refuses parameters that are not in the list: a mistyped filter must not widen an answer.
    pub fn only(&mut self, known: &[&str]) {
        let unknown: Vec<String> = self
            .pairs
            .iter()
            .filter(|(name, _)| !known.contains(&name.as_str()))
            .map(|(name, _)| name.chars().take(64).collect())
            .collect();
        let known: Vec<&str> = known.iter().copied().chain(self.besides).collect();
        let there_are = format!("is not a parameter here; there are {}", known.join(", "));
        for name in unknown {
            self.error(&name, &there_are);
        }
    }

    /// Notes an error. A URL has room for thousands.
    pub fn error(&mut self, name: &str, message: impl Into<String>) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(FieldError::at(None, name, message));
        } else {
            self.more_errors += 1;
        }
    }

    /// The first error, if any: for the command line, which tells one.
    pub fn first_error(&self) -> Option<&FieldError> {
        self.errors.first()
    }

    /// All errors at once, if any.
    pub fn check(&mut self) -> Result<(), Problem> {
        if self.errors.is_empty() {
            return Ok(());
        }
        let mut errors = std::mem::take(&mut self.errors);
        if self.more_errors > 0 {
            errors.push(FieldError::rest(std::mem::take(&mut self.more_errors)));
        }
        Err(Problem::invalid_parameters(errors))
    }

    /// The parameters as one text: the same for the same set, whatever the order.
    pub fn canonical(&self, without: &[&str]) -> String {
        let kept = self.pairs.iter().filter(|(name, _)| !without.contains(&name.as_str()));
        let mut kept: Vec<_> = kept.collect();
        kept.sort();
        let mut text = form_urlencoded::Serializer::new(String::new());
        for (name, value) in kept {
            text.append_pair(name, value);
        }
        text.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_words_are_one_alternative() {
        let pair = |value: &str| ("status".to_owned(), value.to_owned());
        let values = ["failed", "synced", "FAILED", "failed"];
        let mut params = Params::new(values.map(pair).into());
        assert_eq!(params.any_of("status", &["synced", "failed"]), [0, 1]);
        assert_eq!(params.words("status", &["synced", "failed"]), [1, 0, 1, 1]);
        assert!(params.check().is_ok());
    }
}
