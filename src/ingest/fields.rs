//! Reading the fields of one report: each accessor takes its field out, checks it, and notes what
//! was wrong or repaired. What is left over at the end was unknown.

use super::json::{Json, Object};
use super::printed;
use crate::domain::content::Labels;
use crate::domain::files::{ChangedFile, FileDetail, Files};
use crate::domain::max_age::MAX_AGE_SECONDS;
use crate::domain::names::{HostKey, parse_name};
use crate::domain::report::Run;
use crate::domain::text::is_web_address;
use crate::domain::time::Timestamp;
use crate::domain::words::FileKind;
use std::sync::Arc;

/// Bytes a text field may have (`validation_message` excepted).
pub const TEXT_MAX_BYTES: usize = 4096;
/// Bytes kept of `validation_message`; the rest is cut with a warning.
pub const MESSAGE_MAX_BYTES: usize = 64 * 1024;
/// Files a report may name.
pub const FILES_MAX: usize = 10_000;
/// Bytes a file's path may have.
pub const PATH_MAX_BYTES: usize = 4096;
/// Labels a report may carry.
pub const LABELS_MAX: usize = 16;
/// Characters of a label's name, and of its value.
pub const LABEL_NAME_MAX_CHARS: usize = 63;
/// Characters of a label's value.
pub const LABEL_VALUE_MAX_CHARS: usize = 255;
/// The largest count a sender may declare.
pub const DECLARED_COUNT_MAX: u64 = 2_147_483_647;

/// One wrong field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The element's index, if the body was an array.
    pub index: Option<usize>,
    /// The field's name; empty for the element or body itself.
    pub field: String,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl FieldError {
    /// An error at a field of an element.
    pub fn at(index: Option<usize>, field: &str, message: impl Into<String>) -> Self {
        Self { index, field: field.to_owned(), message: message.into() }
    }

    /// So many more than are listed.
    pub fn rest(more: usize) -> Self {
        Self::at(None, "", format!("and {more} more errors"))
    }
}

/// The fields of one report that have not been read yet.
pub struct Fields<'a> {
    object: Object,
    index: Option<usize>,
    /// Whether null and `""` in optional fields deserve a warning (a sender's do, a file's do not).
    pub quiet: bool,
    errors: &'a mut Vec<FieldError>,
    warnings: &'a mut Vec<String>,
}

impl<'a> Fields<'a> {
    pub fn new(
        object: Object,
        index: Option<usize>,
        errors: &'a mut Vec<FieldError>,
        warnings: &'a mut Vec<String>,
    ) -> Self {
        Self { object, index, quiet: false, errors, warnings }
    }

    /// Notes what was not read as unknown; answers whether this report has errors.
    pub fn finish(self, errors_before: usize) -> bool {
        let Self { object, index, quiet, errors, warnings } = self;
        if !quiet {
            for (name, _) in object {
                let shown: String = name.chars().take(64).collect();
                warnings.push(located(index, &shown, "is not known here and was ignored"));
            }
        }
        errors.len() > errors_before
    }

    pub fn error(&mut self, field: &str, message: impl Into<String>) {
        self.errors.push(FieldError::at(self.index, field, message));
    }

    pub fn warn(&mut self, field: &str, message: &str) {
        if !self.quiet {
            self.warnings.push(located(self.index, field, message));
        }
    }

    /// A text that says nothing of what was meant by it.
    fn warn_of_object(&mut self, field: &str, text: &str) {
        let shown: String = text.chars().take(64).collect();
        let how = "is how a program prints an object, not what is in it (PowerShell: ConvertTo-Json \
                   -Depth 9); kept as sent";
        self.warn(field, &format!("{shown:?} {how}"));
    }

    /// Takes a field out as it is.
    pub fn take(&mut self, name: &str) -> Option<Json> {
        let at = self.object.iter().position(|(key, _)| key == name)?;
        Some(self.object.swap_remove(at).1)
    }

    /// Takes a field out that this kind of report does not use.
    pub fn ignore(&mut self, name: &str, why: &str) {
        if self.take(name).is_some() {
            self.warn(name, why);
        }
    }

    /// Takes an optional field out; null and `""` count as missing.
    fn optional(&mut self, name: &str) -> Option<Json> {
        match self.take(name)? {
            Json::Null => {
                self.warn(name, "is null, taken as missing");
                None
            }
            Json::Text(text) if text.is_empty() => {
                self.warn(name, "is empty, taken as missing");
                None
            }
            value => Some(value),
        }
    }

    /// An optional text of at most [`TEXT_MAX_BYTES`].
    pub fn text(&mut self, name: &str) -> Option<String> {
        let text = self.any_text(name)?;
        if text.len() > TEXT_MAX_BYTES {
            self.error(name, format!("must have at most {TEXT_MAX_BYTES} bytes"));
            return None;
        }
        Some(text)
    }

    /// An optional text that is cut where it is too long.
    pub fn cut_text(&mut self, name: &str, max_bytes: usize) -> Option<String> {
        let mut text = self.any_text(name)?;
        if text.len() > max_bytes {
            let end = (0..=max_bytes).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
            text.truncate(end);
            self.warn(name, &format!("was cut to {max_bytes} bytes"));
        }
        Some(text)
    }

    fn any_text(&mut self, name: &str) -> Option<String> {
        match self.optional(name)? {
            Json::Text(text) => {
                if printed::is_object(&text) {
                    self.warn_of_object(name, &text);
                }
                Some(text)
            }
            other => {
                self.error(name, format!("must be a string, not {other}"));
                None
            }
        }
    }

    /// The names of group and host, both required.
    pub fn key(&mut self, group_field: &str, host_field: &str) -> Option<HostKey> {
        let group = self.name(group_field);
        let host = self.name(host_field);
        Some(HostKey::new(&group?, &host?))
    }

    fn name(&mut self, field: &str) -> Option<String> {
        let problem = match self.take(field) {
            None | Some(Json::Null) => "is required".to_owned(),
            Some(Json::Text(text)) => match parse_name(&text) {
                Ok(name) => {
                    if printed::is_object(name) {
                        self.warn_of_object(field, name);
                    }
                    return Some(name.to_owned());
                }
                Err(problem) => problem.to_owned(),
            },
            Some(other) => format!("must be a string, not {other}"),
        };
        self.error(field, problem);
        None
    }

    /// An optional word out of a list, in any case; `exact` is the spelling that draws no warning.
    pub fn word<T: Copy>(&mut self, name: &str, words: &[&str], values: &[T]) -> Option<T> {
        let text = self.any_text(name)?;
        if let Some(at) = words.iter().position(|word| *word == text) {
            return Some(values[at]);
        }
        if let Some(at) = words.iter().position(|word| word.eq_ignore_ascii_case(&text)) {
            self.warn(name, &format!("was read as {}", words[at]));
            return Some(values[at]);
        }
        self.error(name, format!("must be one of {}", words.join(", ")));
        None
    }

    /// A word that must be there.
    pub fn required_word<T: Copy>(
        &mut self,
        name: &str,
        words: &[&str],
        values: &[T],
    ) -> Option<T> {
        let missing = match self.object.iter().find(|(key, _)| key == name) {
            None | Some((_, Json::Null)) => true,
            Some((_, Json::Text(text))) => text.is_empty(),
            Some(_) => false,
        };
        if missing {
            self.take(name);
            self.error(name, format!("is required: one of {}", words.join(", ")));
            return None;
        }
        self.word(name, words, values)
    }

    /// An optional time.
    pub fn time(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.any_text(name)?;
        match Timestamp::parse(&text) {
            Ok(time) => Some(time),
            Err(error) => {
                self.error(name, error.to_string());
                None
            }
        }
    }

    /// `max_age` in seconds, if sent.
    pub fn max_age(&mut self) -> Option<u32> {
        let range = u64::from(*MAX_AGE_SECONDS.start())..=u64::from(*MAX_AGE_SECONDS.end());
        self.integer("max_age", &range).map(|seconds| seconds as u32)
    }

    /// A count the sender declares beside its list.
    pub fn declared_count(&mut self, name: &str) -> Option<u32> {
        self.integer(name, &(0..=DECLARED_COUNT_MAX)).map(|count| count as u32)
    }

    fn integer(&mut self, name: &str, range: &std::ops::RangeInclusive<u64>) -> Option<u64> {
        let value = self.optional(name)?;
        if let Json::Number(number) = &value
            && let Some(integer) = number.as_u64()
            && range.contains(&integer)
        {
            return Some(integer);
        }
        self.error(name, format!("must be an integer from {} to {}", range.start(), range.end()));
        None
    }

    /// The list of files: strings, or objects of `path` (or `name`), `kind`, `sha256`.
    pub fn files(&mut self, name: &str) -> Option<Files> {
        let list = match self.optional(name)? {
            Json::List(list) => list,
            other => {
                self.error(name, format!("must be a list of paths, not {other}"));
                return None;
            }
        };
        if list.len() > FILES_MAX {
            self.error(name, format!("names {} files; at most {FILES_MAX} fit", list.len()));
            return None;
        }
        let (count, mut files) = (list.len(), Vec::with_capacity(list.len()));
        for (at, element) in list.into_iter().enumerate() {
            match self.file(name, at, element) {
                Ok(file) => {
                    if printed::is_no_path(&file.path) {
                        self.warn_of_object(&format!("{name}[{at}]"), &file.path);
                    }
                    files.push(file);
                }
                Err(message) => self.error(&format!("{name}[{at}]"), message),
            }
        }
        (files.len() == count).then(|| Files::new(files))
    }

    fn file(&mut self, list: &str, at: usize, element: Json) -> Result<ChangedFile, String> {
        let object = match element {
            Json::Text(path) => return Ok(ChangedFile { path: checked_path(path)?, detail: None }),
            Json::Object(object) => object,
            other => return Err(format!("must be a path or an object, not {other}")),
        };
        let (mut path, mut name, mut kind, mut sha256) = (None, None, None, None);
        for (key, value) in object {
            match (key.as_str(), value) {
                ("path", Json::Text(text)) => path = Some(text),
                ("name", Json::Text(text)) => name = Some(text),
                ("kind", Json::Text(word)) if !word.is_empty() => {
                    let lower = word.to_ascii_lowercase();
                    kind = Some(FileKind::from_word(&lower).ok_or_else(|| {
                        format!("kind must be one of {}", FileKind::WORDS.join(", "))
                    })?);
                }
                ("sha256", Json::Text(digest)) if !digest.is_empty() => {
                    if digest.len() != 64 || !digest.bytes().all(|b| b.is_ascii_hexdigit()) {
                        return Err("sha256 must have 64 hex digits".into());
                    }
                    sha256 = Some(digest.to_ascii_lowercase());
                }
                ("kind" | "sha256" | "path" | "name", Json::Null)
                | ("kind" | "sha256", Json::Text(_)) => {}
                (known @ ("path" | "name" | "kind" | "sha256"), other) => {
                    return Err(format!("{known} must be a string, not {other}"));
                }
                (unknown, _) => {
                    let shown: String = unknown.chars().take(64).collect();
                    let field = format!("{list}[{at}].{shown}");
                    self.warn(&field, "is not known here and was ignored");
                }
            }
        }
        let path = checked_path(path.or(name).ok_or("must have a path (or a name)")?)?;
        let detail = (kind.is_some() || sha256.is_some()).then_some(FileDetail { kind, sha256 });
        Ok(ChangedFile { path, detail })
    }

    /// Labels by name.
    pub fn labels(&mut self) -> Option<Labels> {
        let object = match self.optional("labels")? {
            Json::Object(object) => object,
            other => {
                self.error("labels", format!("must be an object of strings, not {other}"));
                return None;
            }
        };
        if object.len() > LABELS_MAX {
            self.error(
                "labels",
                format!("holds {} labels; at most {LABELS_MAX} fit", object.len()),
            );
            return None;
        }
        let (count, mut labels) = (object.len(), Vec::with_capacity(object.len()));
        for (name, value) in object {
            let shown: String = name.chars().take(LABEL_NAME_MAX_CHARS).collect();
            if !(1..=LABEL_NAME_MAX_CHARS).contains(&name.chars().count()) {
                self.error("labels", format!("the name {shown:?} must have 1 to 63 characters"));
                continue;
            }
            match value {
                Json::Text(value)
                    if (1..=LABEL_VALUE_MAX_CHARS).contains(&value.chars().count()) =>
                {
                    if printed::is_object(&value) {
                        self.warn_of_object(&format!("labels.{shown}"), &value);
                    }
                    labels.push((name, value));
                }
                Json::Text(_) => {
                    self.error("labels", format!("{shown:?} must have 1 to 255 characters"));
                }
                other => self.error("labels", format!("{shown:?} must be a string, not {other}")),
            }
        }
        if labels.len() == count { Labels::new(labels) } else { None }
    }

    /// `run_id` and `run_url`.
    pub fn run(&mut self) -> Option<Arc<Run>> {
        let run = Run { run_id: self.text("run_id"), run_url: self.text("run_url") };
        if run.run_url.as_deref().is_some_and(|url| !is_web_address(url)) {
            self.warn(
                "run_url",
                "is no http or https address, so that nothing leads there; kept as sent",
            );
        }
        (run != Run::default()).then(|| Arc::new(run))
    }
}

fn checked_path(path: String) -> Result<String, String> {
    match path.len() {
        0 => Err("must not be empty".into()),
        1..=PATH_MAX_BYTES => Ok(path),
        _ => Err(format!("must have at most {PATH_MAX_BYTES} bytes")),
    }
}

fn located(index: Option<usize>, field: &str, message: &str) -> String {
    match index {
        Some(index) => format!("[{index}] {field} {message}"),
        None => format!("{field} {message}"),
    }
}
