//! Bytes in, domain reports out: pipeline, cron and v1 bodies, and v1/v2 status files.
//!
//! Tolerant in, and never silent about it: whatever was repaired or ignored becomes a warning,
//! whatever cannot be understood becomes an error that names the field. All errors of a body are
//! found at once. No SQL, no HTTP types.

pub mod acts;
mod cron;
mod exposition;
mod fields;
pub mod json;
mod legacy;
mod pipeline;
mod printed;
pub mod push;
pub mod status_file;

pub use fields::{
    FILES_MAX, FieldError, LABEL_NAME_MAX_CHARS, LABEL_VALUE_MAX_CHARS, LABELS_MAX,
    MESSAGE_MAX_BYTES, PATH_MAX_BYTES, TEXT_MAX_BYTES,
};

use crate::domain::max_age::StaleAfter;
use crate::domain::report::{Report, Source};
use fields::Fields;
use json::Json;

/// Reports one body may hold.
pub const ARRAY_MAX_REPORTS: usize = 1000;
/// Warnings listed in one answer; the rest is counted.
pub const WARNINGS_MAX: usize = 100;
/// Field errors listed in one answer; the rest is counted.
pub const ERRORS_MAX: usize = 100;

/// A body, understood.
#[derive(Debug)]
pub struct Parsed {
    /// The reports in the order sent; at least one.
    pub reports: Vec<Report>,
    /// Whether the body was an array (the answer is plural then).
    pub array: bool,
    /// What was repaired or ignored.
    pub warnings: Vec<String>,
}

/// A body, refused.
#[derive(Debug)]
pub enum Refusal {
    /// Not JSON as we take it: where and why.
    Json(String),
    /// Wrong fields, all of them, and what the body is about as far as it can be read.
    Fields {
        /// Every wrong field (at most [`ERRORS_MAX`]).
        errors: Vec<FieldError>,
        /// For each refused element: its server group and host, where readable.
        subjects: Vec<(Option<String>, Option<String>)>,
        /// How many elements the body has, all of them refused.
        reports: usize,
    },
}

/// Parses a body sent to the route of `source`; `max_age` is stamped where missing.
pub fn parse_body(source: Source, body: &[u8], ages: &StaleAfter) -> Result<Parsed, Refusal> {
    let (elements, array) = match json::parse(body).map_err(Refusal::Json)? {
        Json::Object(object) => (vec![Json::Object(object)], false),
        Json::List(list) => (list, true),
        other => return Err(Refusal::body(format!("must be an object or an array, not {other}"))),
    };
    if elements.is_empty() {
        return Err(Refusal::body("the array holds no report".into()));
    }
    if elements.len() > ARRAY_MAX_REPORTS {
        let count = elements.len();
        return Err(Refusal::body(format!("the array holds {count} reports; at most 1000 fit")));
    }
    let count = elements.len();
    let mut reports = Vec::with_capacity(count);
    let (mut errors, mut warnings, mut subjects) = (Vec::new(), Vec::new(), Vec::new());
    for (index, element) in elements.into_iter().enumerate() {
        let index = array.then_some(index);
        let Json::Object(object) = element else {
            errors.push(FieldError::at(index, "", format!("must be an object, not {element}")));
            subjects.push((None, None));
            continue;
        };
        let subject = subject(source, &object);
        let errors_before = errors.len();
        let mut fields = Fields::new(object, index, &mut errors, &mut warnings);
        match parse_one(source, &mut fields, ages) {
            Some(report) if !fields.finish(errors_before) => reports.push(report),
            _ => subjects.push(subject),
        }
    }
    if errors.is_empty() {
        shorten_warnings(&mut warnings);
        return Ok(Parsed { reports, array, warnings });
    }
    shorten(&mut errors, ERRORS_MAX, FieldError::rest);
    Err(Refusal::Fields { errors, subjects, reports: count })
}

fn parse_one(source: Source, fields: &mut Fields, ages: &StaleAfter) -> Option<Report> {
    match source {
        Source::Pipeline => pipeline::parse(fields, ages),
        Source::Cron => cron::parse(fields, ages),
        Source::Legacy => legacy::parse(fields, ages),
        Source::Pushgateway | Source::Import => unreachable!("no JSON body has this source"),
    }
}

/// What a refused element is about, for the list of rejections.
fn subject(source: Source, object: &json::Object) -> (Option<String>, Option<String>) {
    let (group, host) =
        if source == Source::Legacy { ("repo", "server") } else { ("server_group", "host") };
    let text = |name| {
        object.iter().find(|(key, _)| key == name).and_then(|(_, value)| match value {
            Json::Text(text) => Some(text.trim().chars().take(255).collect::<String>()),
            _ => None,
        })
    };
    (text(group), text(host))
}

fn shorten_warnings(warnings: &mut Vec<String>) {
    shorten(warnings, WARNINGS_MAX, |more| format!("and {more} more warnings"));
}

fn shorten<T>(list: &mut Vec<T>, most: usize, rest: impl FnOnce(usize) -> T) {
    if list.len() > most {
        let more = list.len() - most;
        list.truncate(most);
        list.push(rest(more));
    }
}

impl Refusal {
    fn body(message: String) -> Self {
        let errors = vec![FieldError::at(None, "", message)];
        Self::Fields { errors, subjects: vec![(None, None)], reports: 1 }
    }
}

#[cfg(test)]
mod tests;
