//! What a report says, apart from who, when and in which run: the part that repeats, and is
//! therefore stored once and found again by its digest.

use super::file_set::FileSet;
pub use super::files::ContentDigest;
use super::files::Files;
use super::time::Timestamp;
use super::words::{Source, Status, ValidationStatus};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Labels by name, ordered as canonical JSON orders keys (by UTF-16 code units).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Labels(Vec<(String, String)>);

impl Labels {
    /// Orders the labels; names must be distinct. `None` for no labels at all.
    pub fn new(mut labels: Vec<(String, String)>) -> Option<Self> {
        labels.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
        (!labels.is_empty()).then_some(Self(labels))
    }

    /// `name=value` pairs joined by `, `, for tables.
    pub fn text(&self) -> String {
        let pairs: Vec<String> = self.0.iter().map(|(k, v)| format!("{k}={v}")).collect();
        pairs.join(", ")
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// What was said. A missing field is `None` and stays `None`: inheritance happens in the fold only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
#[expect(missing_docs, reason = "the fields carry the contract's names and meanings, section 6")]
pub struct Content {
    pub status: Option<Status>,
    pub changed_files: Option<Files>,
    pub declared_count: Option<u32>,
    /// Seconds this word is good for; `None` only for acts of people (and before stamping).
    pub max_age: Option<u32>,
    /// Whether the sender gave `max_age`; else it was stamped from our settings.
    pub max_age_sent: bool,
    pub project_name: Option<String>,
    pub repo_name: Option<String>,
    pub server_type: Option<String>,
    pub environment: Option<String>,
    pub validation_status: Option<ValidationStatus>,
    pub validation_message: Option<String>,
    pub commit_sha: Option<String>,
    pub branch: Option<String>,
    pub updated_by: Option<String>,
    pub last_pipeline_run: Option<Timestamp>,
    pub last_cron_check: Option<Timestamp>,
    pub labels: Option<Labels>,
    pub reason: Option<String>,
    /// One flat JSON object, canonical, as text.
    pub detail: Option<String>,
}

impl Content {
    /// The digest under which this content is stored. Its form is internal: a change of it costs
    /// some repeated rows, nothing else.
    pub fn digest(&self) -> ContentDigest {
        if let Some(digest) = self.changed_files.as_ref().and_then(Files::stored) {
            return digest;
        }
        let mut bytes = Vec::with_capacity(1024);
        serde_json::to_writer(&mut bytes, self).expect("a content has only string keys");
        let full = Sha256::digest(&bytes);
        let mut digest = ContentDigest::default();
        digest.copy_from_slice(&full[..16]);
        digest
    }

    /// Fills in `max_age` where the sender gave none.
    pub fn stamp_max_age(&mut self, seconds: u32) {
        if !self.max_age_sent {
            self.max_age = Some(seconds);
        }
    }

    /// Whether the sender of both said the same, whatever we stamped.
    pub fn same_as_sent(&self, other: &Self) -> bool {
        if self.max_age_sent {
            return self == other;
        }
        let mut other = other.clone();
        if !other.max_age_sent {
            other.max_age = self.max_age;
        }
        *self == other
    }

    /// What is remembered of it once it is in the database: all of it, but for a long list of files.
    /// `digest`: its own.
    pub fn kept(self: &Arc<Self>, digest: ContentDigest) -> Arc<Self> {
        let Some(files) = self.changed_files.as_ref().and_then(|files| files.kept(digest)) else {
            return self.clone();
        };
        // Everything but the list, which is not cloned either: it is shared.
        Arc::new(Self { changed_files: Some(files), ..(**self).clone() })
    }

    /// How many files are in force after this content, if it speaks of files.
    pub fn files_count(&self) -> usize {
        self.changed_files.as_ref().map_or(0, Files::len)
    }

    /// The set of files in force after this content, if it speaks of files.
    pub fn file_set(&self) -> FileSet {
        self.changed_files.as_ref().map_or(FileSet::NONE, FileSet::of)
    }

    /// Whether that is this set.
    pub fn has_set(&self, set: &FileSet) -> bool {
        match &self.changed_files {
            Some(files) => set.is_of(files),
            None => *set == FileSet::NONE,
        }
    }

    /// Whether a report of this source with this content speaks of files: it names them, or it is
    /// a whole deployment state, or it says `synced`.
    pub fn speaks_of_files(&self, source: Source) -> bool {
        self.changed_files.is_some()
            || source.is_deployment()
            || self.status == Some(Status::Synced)
    }

    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        let files = self.changed_files.as_ref().map_or(0, Files::weight);
        600 + files + self.validation_message.as_ref().map_or(0, String::len)
    }

    /// Whether two contents put the same set of files in force (sorted distinct paths).
    pub fn same_files(&self, other: &Self) -> bool {
        match (&self.changed_files, &other.changed_files) {
            (Some(a), Some(b)) => same_set(a, b),
            (a, b) => [a, b].into_iter().flatten().all(Files::is_empty),
        }
    }
}

/// Whether both lists name the same set of files; the same paths in the same order usually do.
fn same_set(a: &Files, b: &Files) -> bool {
    match (a, b) {
        (Files::Short(a), Files::Short(b))
            if a.iter().map(|file| &file.path).eq(b.iter().map(|file| &file.path)) =>
        {
            true
        }
        (Files::Long(a), Files::Long(b)) => a.set() == b.set(),
        _ => FileSet::of(a).is_of(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_ordered_by_utf16() {
        // U+FF5E sorts behind U+1F600 in UTF-16 (surrogates begin at D800), before it in UTF-8.
        let labels =
            Labels::new(vec![("\u{ff5e}".into(), "1".into()), ("\u{1f600}".into(), "2".into())]);
        assert_eq!(
            serde_json::to_string(&labels).unwrap(),
            "{\"\u{1f600}\":\"2\",\"\u{ff5e}\":\"1\"}"
        );
        assert_eq!(Labels::new(vec![]), None);
    }

    #[test]
    fn a_stamped_max_age_does_not_tell_two_reports_apart() {
        let stamped = |seconds| Content { max_age: Some(seconds), ..Content::default() };
        let sent = |seconds| Content { max_age_sent: true, ..stamped(seconds) };
        assert!(stamped(1).same_as_sent(&stamped(2)));
        assert!(!stamped(1).same_as_sent(&sent(1)));
        assert!(!sent(1).same_as_sent(&sent(2)));
        assert_ne!(stamped(1).digest(), stamped(2).digest());
    }
}
