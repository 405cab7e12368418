//! Whether what is pushed can stand in a group: no timestamps, no series twice.

use super::quote::quote;
use super::{Family, FamilyKind, Sample};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Series that stand twice and are named in one answer, and about the bytes of it. (A Pushgateway names
/// all; each sentence repeats the whole grouping key.)
const LISTED_MAX: usize = 100;
const LISTED_MAX_BYTES: usize = 64 << 10;

/// Checks families that are pushed under a grouping key (`job` and the labels of the path), which
/// takes the place of labels of the same names. The error is the sentence a Pushgateway answers with.
pub fn check(families: &[Family], key: &[(String, String)]) -> Result<(), String> {
    let refuse = |why: &str| {
        Err(format!("pushed metrics are invalid or inconsistent with existing metrics: {why}"))
    };
    if families.iter().any(|family| family.samples.iter().any(|sample| sample.timestamped)) {
        return refuse("pushed metrics must not have timestamps");
    }
    let (mut twice, mut count, mut bytes) = (Vec::new(), 0, 0);
    for family in families {
        let Some(kind) = family.kind.and_then(plain) else { continue };
        let mut seen = BTreeSet::new();
        for sample in &family.samples {
            if seen.insert(own_labels(sample, key)) {
                continue;
            }
            count += 1;
            if twice.len() < LISTED_MAX && bytes < LISTED_MAX_BYTES {
                let name = quote(family.name.as_bytes());
                let shown = shown(&labels(sample, key), kind, sample.value);
                bytes += shown.len();
                twice.push(format!(
                    "collected metric {name} {shown} was collected before with the same name and \
                     label values"
                ));
            }
        }
    }
    match twice.as_slice() {
        [] => Ok(()),
        [one] if count == 1 => refuse(one),
        many => {
            let mut list = format!("{count} error(s) occurred:");
            for one in many {
                let _ = write!(list, "\n* {one}");
            }
            if count > many.len() {
                let _ = write!(list, "\n* and {} more", count - many.len());
            }
            refuse(&list)
        }
    }
}

/// The word of a family whose samples stand for themselves.
fn plain(kind: FamilyKind) -> Option<&'static str> {
    match kind {
        FamilyKind::Counter => Some("counter"),
        FamilyKind::Gauge => Some("gauge"),
        FamilyKind::Untyped => Some("untyped"),
        FamilyKind::Summary | FamilyKind::Histogram | FamilyKind::GaugeHistogram => None,
    }
}

/// What tells a sample from the others of its family: its labels, but for those that the key replaces.
/// `instance=""` is the same as none.
fn own_labels<'s>(sample: &'s Sample, key: &[(String, String)]) -> BTreeMap<&'s str, &'s str> {
    let own = sample.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    own.filter(|(name, value)| {
        let replaced = key.iter().any(|(known, _)| known == name);
        !replaced && (*name != "instance" || !value.is_empty())
    })
    .collect()
}

/// A sample's labels in its group, by name: `instance` is always among them.
fn labels(sample: &Sample, key: &[(String, String)]) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([("instance".to_owned(), String::new())]);
    labels.extend(sample.labels.iter().cloned());
    labels.extend(key.iter().cloned());
    labels
}

fn shown(labels: &BTreeMap<String, String>, kind: &str, value: f64) -> String {
    let mut text = String::from("{ ");
    for (name, value) in labels {
        let (name, value) = (quote(name.as_bytes()), quote(value.as_bytes()));
        let _ = write!(text, "label:<name:{name} value:{value} > ");
    }
    let _ = write!(text, "{kind}:<value:{} > }}", number(value));
    text
}

/// A number as the text form of protobuf has it: the shortest digits, with an exponent where Go would.
fn number(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() || value.is_infinite() {
        return value.to_string().to_lowercase();
    }
    if size == 0.0 || (1e-4..1e6).contains(&size) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) =
        exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}
