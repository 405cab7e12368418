//! The push API of a Pushgateway (contract section 9): a grouping key in the path, and metrics of
//! which `drift_stack_state` becomes reports, one for each stack. Every other family is no history.
//!
//! What a Pushgateway refuses is refused with its words. Beyond that, a stack state must say
//! something we can write down: which stack, and 0, 1 or 2.

use super::exposition::quote::quote;
use super::exposition::{self, Family, FamilyKind, series};
use super::fields::{LABEL_NAME_MAX_CHARS, LABEL_VALUE_MAX_CHARS, LABELS_MAX};
use crate::domain::content::{Content, Labels};
use crate::domain::max_age::StaleAfter;
use crate::domain::names::{HostKey, parse_name};
use crate::domain::push::{Grouping, Push};
use crate::domain::report::{Kind, Report, Source, Status};
use crate::domain::text;
use crate::domain::time::Timestamp;
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;

/// The family that becomes history.
const STATE: &str = "drift_stack_state";
/// The family that says when the run was, in Unix seconds.
const LAST_RUN: &str = "drift_detection_last_run_timestamp";
/// Letters by which a name may differ from that of the family that becomes history, and be taken for it.
const NEAR_LETTERS: usize = 2;
/// Names near it that are told of one push, and characters of each.
const NEAR_MAX: usize = 5;
const NEAR_MAX_CHARS: usize = 64;
/// Stacks that one push may hold.
pub const STACKS_MAX: usize = 5000;
/// URL-safe base64, padding optional, unused bits ignored: as Go reads it.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));

/// A grouping key as it stands in the path: the job, and the labels behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupingKey {
    job: String,
    labels: BTreeMap<String, String>,
}

/// What a push is about.
#[derive(Debug)]
pub struct Pushed {
    /// A report for each stack it names; none if it has no stack states.
    pub reports: Vec<Report>,
    /// What else it says.
    pub push: Push,
    /// Names of metrics that were surely meant to be history, and are not: some of them, shortened.
    pub near_misses: Vec<String>,
}

impl GroupingKey {
    /// Reads the decoded parts of a path: what stands behind `/metrics/job/` (or `job@base64/`), and
    /// the parts behind that. The error is the sentence a Pushgateway answers with.
    pub fn parse(job: &str, is_base64: bool, parts: &[String]) -> Result<Self, String> {
        let job = if is_base64 {
            from_base64(job)
                .map_err(|why| format!("invalid base64 encoding in job name \"\": {why}"))?
        } else {
            job.to_owned()
        };
        text::check(&job)
            .map_err(|why| format!("the job's name {} {why}", quote(job.as_bytes())))?;
        let mut labels = BTreeMap::new();
        // One slash at the end of the job is nothing.
        if !matches!(parts, [only] if only.is_empty()) {
            for pair in parts.chunks(2) {
                let [name, value] = pair else {
                    let shown = parts.iter().fold(String::new(), |all, part| all + "/" + part);
                    let shown = quote(shown.as_bytes());
                    return Err(format!("odd number of components in label string {shown}"));
                };
                let plain = name.strip_suffix("@base64");
                let name_only = plain.unwrap_or(name);
                if !is_label_name(name_only) {
                    let shown = quote(name_only.as_bytes());
                    return Err(format!("improper label name {shown}"));
                }
                let value = match plain {
                    None => value.clone(),
                    Some(_) => from_base64(value).map_err(|why| {
                        let shown = quote(value.as_bytes());
                        format!("invalid base64 encoding for label {name_only}={shown}: {why}")
                    })?,
                };
                text::check(&value).map_err(|why| {
                    let (name, value) = (quote(name_only.as_bytes()), quote(value.as_bytes()));
                    format!("the label {name}={value} {why}")
                })?;
                labels.insert(name_only.to_owned(), value);
            }
        }
        if job.is_empty() {
            return Err("job name is required".into());
        }
        labels.remove("job");
        Ok(Self { job, labels })
    }

    /// The job.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// As a path, for people.
    fn path(&self) -> String {
        let mut path = format!("/metrics/job/{}", self.job);
        for (name, value) in &self.labels {
            let _ = write!(path, "/{name}/{value}");
        }
        path
    }

    /// The labels that the history can hold; empty ones say nothing.
    fn labels(&self) -> Result<Option<Labels>, String> {
        let said = self.labels.iter().filter(|(_, value)| !value.is_empty());
        let labels: Vec<(String, String)> =
            said.map(|(name, value)| (name.clone(), value.clone())).collect();
        if labels.len() > LABELS_MAX {
            return Err(format!(
                "the path has {} labels; at most {LABELS_MAX} fit into the history",
                labels.len()
            ));
        }
        let long = labels.iter().find(|(name, value)| {
            name.chars().count() > LABEL_NAME_MAX_CHARS
                || value.chars().count() > LABEL_VALUE_MAX_CHARS
        });
        match long {
            Some((name, _)) => Err(format!(
                "the label {} is too long for the history: its name may have \
                 {LABEL_NAME_MAX_CHARS} characters, its value {LABEL_VALUE_MAX_CHARS}",
                quote(name.as_bytes())
            )),
            None => Ok(Labels::new(labels)),
        }
    }

    fn pairs(&self) -> Vec<(String, String)> {
        let job = ("job".to_owned(), self.job.clone());
        let labels = self.labels.iter().map(|(name, value)| (name.clone(), value.clone()));
        labels.chain([job]).collect()
    }

    /// The push that says nothing but that a reason holds for stacks that are gone.
    fn push(&self, reason: String, ages: &StaleAfter) -> Result<Push, String> {
        let labels = self.labels()?;
        // As the hosts' group is called.
        let grouping = Grouping::new(self.job.trim(), labels.as_ref());
        let mut absence = Content {
            status: Some(Status::Unknown),
            reason: Some(reason),
            labels,
            ..Content::default()
        };
        absence.stamp_max_age(ages.seconds_for(&self.job));
        let absence_digest = absence.digest();
        let absence = Arc::new(absence);
        Ok(Push { grouping, run_at: None, deletes: false, absence, absence_digest })
    }

    /// What `DELETE` says.
    pub fn deletion(&self, ages: &StaleAfter) -> Result<Push, String> {
        let reason = format!("{} was deleted", self.path());
        Ok(Push { deletes: true, ..self.push(reason, ages)? })
    }

    /// What a body pushed under this key says.
    pub fn read(&self, body: &[u8], ages: &StaleAfter) -> Result<Pushed, String> {
        // Before the body is looked at: what is refused for its path must not cost more.
        self.labels()?;
        let families = exposition::parse(body)?;
        series::check(&families, &self.pairs())?;
        let of = |name: &str| families.iter().find(|family| family.name == name);
        let run_at = of(LAST_RUN).and_then(run_at);
        let stacks = of(STATE).map(|family| self.stacks(family)).transpose()?.unwrap_or_default();
        let mut reason = format!("missing from the push to {}", self.path());
        if let Some(time) = run_at {
            let _ = write!(reason, " of {time}");
        }
        let plural = if stacks.len() == 1 { "" } else { "s" };
        let _ = write!(reason, ", which holds {} other stack{plural}", stacks.len());
        let push = Push { run_at, ..self.push(reason, ages)? };
        let report = |(key, status)| {
            let labels = push.absence.labels.clone();
            let mut content = Content { status: Some(status), labels, ..Content::default() };
            content.stamp_max_age(ages.seconds_for(&self.job));
            let digest = content.digest();
            let (kind, source) = (Kind::Report, Source::Pushgateway);
            let content = Arc::new(content);
            let kept = content.clone();
            Report { key, kind, source, reported_at: run_at, content, kept, digest, run: None }
        };
        let reports = stacks.into_iter().map(report).collect();
        let near = families.iter().filter(|family| is_near_miss(&family.name)).take(NEAR_MAX);
        let near_misses = near.map(|family| family.name.chars().take(NEAR_MAX_CHARS).collect());
        Ok(Pushed { reports, push, near_misses: near_misses.collect() })
    }

    fn stacks(&self, family: &Family) -> Result<Vec<(HostKey, Status)>, String> {
        let job = parse_name(&self.job).map_err(|why| format!("the job's name {why}"))?;
        if !is_plain(family) {
            return Err(format!("{STATE} must be a gauge, not a histogram or a summary"));
        }
        if family.samples.len() > STACKS_MAX {
            let count = family.samples.len();
            return Err(format!("the push holds {count} stacks; at most {STACKS_MAX} fit"));
        }
        let (mut stacks, mut names) = (Vec::new(), HashSet::new());
        for sample in &family.samples {
            // A label in the path takes the place of the body's.
            let in_path = self.labels.get("stack").map(String::as_str);
            let Some(stack) = in_path.or_else(|| sample.label("stack")) else {
                return Err(format!("{STATE} without the label \"stack\" names no stack"));
            };
            let shown = quote(stack.as_bytes());
            let stack =
                parse_name(stack).map_err(|why| format!("the stack's name {shown} {why}"))?;
            let status = match sample.value {
                0.0 => Status::Synced,
                1.0 => Status::OutOfSync,
                2.0 => Status::Failed,
                other => {
                    return Err(format!(
                        "{STATE}{{stack={shown}}} is {other}; it must be 0 (clean), 1 (drift) or 2 (error)"
                    ));
                }
            };
            if !names.insert(stack.to_owned()) {
                return Err(format!(
                    "{STATE} names the stack {shown} twice; put what tells them apart into the path, \
                     like /metrics/job/{job}/env/prod"
                ));
            }
            stacks.push((HostKey::new(job, stack), status));
        }
        Ok(stacks)
    }
}

/// When the run was. What is no time (0 of a job that does not know, NaN, milliseconds) is not said:
/// then the time of arrival counts, and no state is lost for it.
fn run_at(family: &Family) -> Option<Timestamp> {
    let values = family.samples.iter().filter(|_| is_plain(family)).map(|sample| sample.value);
    let newest = values.fold(f64::NAN, f64::max);
    Timestamp::from_unix_seconds(newest).filter(|time| time.0 > 0)
}

/// Whether somebody took this for the name of the family that becomes history: a counter's name has
/// `_total` behind it, and libraries put names into other cases and prefixes before them.
fn is_near_miss(name: &str) -> bool {
    let letters = |name: &str| -> String {
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    if name == STATE {
        return false;
    }
    let (name, wanted) = (letters(name), letters(STATE));
    let near = || strsim::osa_distance(&name, &wanted) <= NEAR_LETTERS;
    name.contains(&wanted) || (name.len().abs_diff(wanted.len()) <= NEAR_LETTERS && near())
}

/// Whether each sample of a family stands for itself.
fn is_plain(family: &Family) -> bool {
    matches!(family.kind, Some(FamilyKind::Untyped | FamilyKind::Gauge | FamilyKind::Counter))
}

fn is_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with("__")
}

fn from_base64(text: &str) -> Result<String, String> {
    let trimmed = text.trim_end_matches('=');
    let wrong = |at: usize| format!("illegal base64 data at input byte {at}");
    let bytes = BASE64.decode(trimmed).map_err(|error| match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => {
            wrong(at)
        }
        // The group of four that is cut short.
        base64::DecodeError::InvalidLength(length) => wrong(length / 4 * 4),
        base64::DecodeError::InvalidPadding => wrong(trimmed.len()),
    })?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests;
