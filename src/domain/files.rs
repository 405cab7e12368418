//! The files that differ: each as it was sent, and their set as segments and episodes compare it
//! (sorted distinct paths, whatever the order they were sent in and whatever else was said of them).

use super::words::FileKind;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// A file that differs: a bare path, or with what more the sender knew.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChangedFile {
    /// The path (or name) as sent.
    pub path: String,
    /// How it differs and its SHA-256 (64 lowercase hex digits), if the sender said either.
    pub detail: Option<FileDetail>,
}

/// What a sender may know of a file beyond its path. At least one of the two is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileDetail {
    /// How it differs.
    pub kind: Option<FileKind>,
    /// SHA-256 of its contents, 64 lowercase hex digits.
    pub sha256: Option<String>,
}

impl serde::Serialize for ChangedFile {
    /// The form of the line: a string, or an object of exactly `kind`, `path`, `sha256`.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let Some(detail) = &self.detail else { return serializer.serialize_str(&self.path) };
        let mut object = serializer.serialize_struct("ChangedFile", 3)?;
        object.serialize_field("kind", &detail.kind)?;
        object.serialize_field("path", &self.path)?;
        object.serialize_field("sha256", &detail.sha256)?;
        object.end()
    }
}

/// First half of the SHA-256 of a set's JSON: its key in the dictionary.
pub type FileSetDigest = [u8; 16];

/// Sorted distinct paths; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct FileSet(Option<Arc<Paths>>);

#[derive(Debug)]
struct Paths {
    digest: FileSetDigest,
    paths: Vec<String>,
}

impl FileSet {
    /// No files at all.
    pub const NONE: Self = Self(None);

    /// The set of the files that were named.
    pub fn of(files: &[ChangedFile]) -> Self {
        Self::new(files.iter().map(|file| file.path.clone()).collect())
    }

    /// The set of these paths.
    pub fn new(mut paths: Vec<String>) -> Self {
        if paths.is_empty() {
            return Self::NONE;
        }
        paths.sort_unstable();
        paths.dedup();
        let json = serde_json::to_vec(&paths).expect("strings are JSON");
        let mut digest = FileSetDigest::default();
        digest.copy_from_slice(&Sha256::digest(&json)[..16]);
        Self(Some(Arc::new(Paths { digest, paths })))
    }

    /// Whether this is the set of the files that were named, without building that set in the usual
    /// case (the same files in the same order as before).
    pub fn is_of(&self, files: &[ChangedFile]) -> bool {
        files.iter().map(|file| &file.path).eq(self.paths()) || *self == Self::of(files)
    }

    /// The paths, sorted.
    pub fn paths(&self) -> &[String] {
        self.0.as_ref().map_or(&[], |paths| &paths.paths)
    }

    /// The key in the dictionary; `None` for no files.
    pub fn digest(&self) -> Option<&FileSetDigest> {
        self.0.as_ref().map(|paths| &paths.digest)
    }

    /// The paths joined by `, `; empty for none.
    pub fn text(&self) -> String {
        self.paths().join(", ")
    }
}

impl PartialEq for FileSet {
    fn eq(&self, other: &Self) -> bool {
        self.digest() == other.digest()
    }
}

impl Eq for FileSet {}

impl std::hash::Hash for FileSet {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.digest().hash(state);
    }
}
