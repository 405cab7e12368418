//! Writing text format 0.0.4.

use crate::domain::time::{SECOND, Timestamp};
use std::fmt::Write;

/// A body being written.
#[derive(Debug, Default)]
pub struct Text {
    body: String,
    /// The family that samples belong to.
    family: &'static str,
}

/// Labels, written once and used for many samples.
pub struct Labels(String);

impl Labels {
    /// Writes `name="value"` pairs, values escaped.
    pub fn new(pairs: &[(&str, &str)]) -> Self {
        let mut text = String::new();
        for (name, value) in pairs {
            if !text.is_empty() {
                text.push(',');
            }
            push_pair(&mut text, name, value);
        }
        Self(text)
    }
}

fn push_pair(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push_str("=\"");
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text.push('"');
}

impl Text {
    /// Begins a family; `help` is one plain line.
    pub fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        let _ = write!(self.body, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// A sample without labels.
    pub fn value(&mut self, value: f64) {
        let _ = writeln!(self.body, "{} {value}", self.family);
    }

    /// A sample with labels.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        let labels = Labels::new(labels);
        let _ = writeln!(self.body, "{}{{{}}} {value}", self.family, labels.0);
    }

    /// A sample with labels that were written before, and perhaps one more, whose value needs no
    /// escaping.
    pub fn labelled(&mut self, labels: &Labels, more: Option<(&str, &str)>, value: i64) {
        self.open(labels, more);
        let _ = writeln!(self.body, "{value}");
    }

    /// The same with a time as Unix seconds.
    pub fn time(&mut self, labels: &Labels, more: Option<(&str, &str)>, time: Timestamp) {
        self.open(labels, more);
        let (seconds, rest) = (time.0.div_euclid(SECOND), time.0.rem_euclid(SECOND));
        let _ = if rest == 0 {
            writeln!(self.body, "{seconds}")
        } else {
            writeln!(self.body, "{seconds}.{rest:06}")
        };
    }

    fn open(&mut self, labels: &Labels, more: Option<(&str, &str)>) {
        self.body.push_str(self.family);
        self.body.push('{');
        self.body.push_str(&labels.0);
        if let Some((name, value)) = more {
            self.body.push(',');
            self.body.push_str(name);
            self.body.push_str("=\"");
            self.body.push_str(value);
            self.body.push('"');
        }
        self.body.push_str("} ");
    }

    /// Text that is in the format already.
    pub fn append(&mut self, written: &str) {
        self.body.push_str(written);
    }

    /// What was written.
    pub fn as_bytes(&self) -> &[u8] {
        self.body.as_bytes()
    }

    /// What was written, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.body.into_bytes()
    }
}
