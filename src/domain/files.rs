//! A set of files as segments and episodes compare it: sorted distinct paths, whatever the order
//! they were sent in and whatever else was said of them.

use super::content::Content;
use sha2::{Digest, Sha256};
use std::sync::Arc;

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

    /// The files a content names.
    pub fn of(content: &Content) -> Self {
        Self::new(content.files().iter().map(|file| file.path.clone()).collect())
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

    /// Whether this is the set of the files a content names, without building that set in the usual
    /// case (the same files in the same order as before).
    pub fn is_of(&self, content: &Content) -> bool {
        let files = content.files();
        files.iter().map(|file| &file.path).eq(self.paths()) || *self == Self::of(content)
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
