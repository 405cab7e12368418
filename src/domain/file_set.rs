//! Sets of files as segments and episodes compare them: sorted distinct paths, whatever the order they were
//! sent in and whatever else was said of them.

use super::files::{
    ContentDigest, FILE_BYTES, FileSetDigest, Files, SHORT_BYTES, set_digest, sorted, to_json,
};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// Sorted distinct paths; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct FileSet(Option<Arc<Set>>);

#[derive(Debug)]
struct Set {
    digest: FileSetDigest,
    paths: Paths,
}

/// Where the paths of a set are.
#[derive(Debug)]
enum Paths {
    /// Here: one behind the other, and where each ends.
    Here(Box<str>, Box<[u32]>),
    /// In the database: among the sets of files, or else in the content of this digest.
    Stored(Option<ContentDigest>),
}

impl FileSet {
    /// No files at all.
    pub const NONE: Self = Self(None);

    /// The set of the files that were named. It is where their list is.
    pub fn of(files: &Files) -> Self {
        match files {
            Files::Long(long) => match files.stored() {
                Some(content) => {
                    let (digest, paths) = (*long.set(), Paths::Stored(Some(content)));
                    Self(Some(Arc::new(Set { digest, paths })))
                }
                None => Self::new(files.paths().into_iter().map(Cow::into_owned).collect()),
            },
            Files::Short(list) => Self::new(list.iter().map(|file| file.path.clone()).collect()),
        }
    }

    /// The set of these paths.
    pub fn new(paths: Vec<String>) -> Self {
        if paths.is_empty() {
            return Self::NONE;
        }
        let paths = sorted(paths);
        let digest = set_digest(&paths);
        let ends = paths.iter().scan(0, |end, path| {
            *end += path.len() as u32;
            Some(*end)
        });
        let ends = ends.collect();
        let paths = Paths::Here(paths.concat().into(), ends);
        Self(Some(Arc::new(Set { digest, paths })))
    }

    /// All paths of some sets. None of them is elsewhere.
    pub fn union<'s>(sets: impl Iterator<Item = &'s Self>) -> Self {
        let mut sets: Vec<&Self> = sets.filter(|set| !set.is_empty()).collect();
        sets.sort_unstable_by_key(|set| set.digest());
        sets.dedup();
        match sets.as_slice() {
            [] => Self::NONE,
            [only] => (*only).clone(),
            sets => Self::new(sets.iter().flat_map(|set| set.paths()).map(str::to_owned).collect()),
        }
    }

    /// What is remembered of a set that is in the database: a short one as it is, of a long one the digest.
    #[must_use]
    pub fn kept(&self) -> Self {
        match self.0.as_deref() {
            Some(Set { digest, paths: Paths::Here(text, ends) })
                if text.len() + FILE_BYTES * ends.len() > SHORT_BYTES =>
            {
                Self(Some(Arc::new(Set { digest: *digest, paths: Paths::Stored(None) })))
            }
            _ => self.clone(),
        }
    }

    /// If the paths are not here: the set's digest and, if they may not be among the sets of files, the
    /// content that has them.
    pub fn stored(&self) -> Option<(FileSetDigest, Option<ContentDigest>)> {
        match self.0.as_deref()? {
            Set { digest, paths: Paths::Stored(content) } => Some((*digest, *content)),
            Set { paths: Paths::Here(..), .. } => None,
        }
    }

    /// Whether this is the set of the files that were named, without building that set in the usual
    /// case (the same files in the same order as before).
    pub fn is_of(&self, files: &Files) -> bool {
        match files {
            Files::Long(long) => self.digest() == Some(long.set()),
            Files::Short(list) if self.stored().is_none() => {
                list.iter().map(|file| &*file.path).eq(self.paths()) || *self == Self::of(files)
            }
            Files::Short(_) => *self == Self::of(files),
        }
    }

    /// The text of the paths, and where each ends. Nobody asks them of a set that is elsewhere: it is
    /// looked up first.
    fn here(&self) -> (&str, &[u32]) {
        match self.0.as_deref().map(|set| &set.paths) {
            None => ("", &[]),
            Some(Paths::Here(text, ends)) => (text, ends),
            Some(Paths::Stored(_)) => {
                debug_assert!(false, "the paths are in the database");
                ("", &[])
            }
        }
    }

    /// The paths, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let (text, ends) = self.here();
        let starts = std::iter::once(0).chain(ends.iter().copied());
        starts.zip(ends).map(|(start, end)| &text[start as usize..*end as usize])
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.here().1.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a path is one of them.
    pub fn contains(&self, path: &str) -> bool {
        let (text, ends) = self.here();
        let start = |at: usize| at.checked_sub(1).map_or(0, |before| ends[before]) as usize;
        let (mut from, mut to) = (0, ends.len());
        while from < to {
            let middle = from + (to - from) / 2;
            match text[start(middle)..ends[middle] as usize].cmp(path) {
                Ordering::Less => from = middle + 1,
                Ordering::Greater => to = middle,
                Ordering::Equal => return true,
            }
        }
        false
    }

    /// The paths as JSON.
    pub fn json(&self) -> String {
        to_json(&self.paths().collect::<Vec<_>>())
    }

    /// The key in the dictionary; `None` for no files.
    pub fn digest(&self) -> Option<&FileSetDigest> {
        self.0.as_ref().map(|set| &set.digest)
    }

    /// The paths joined by `, `; empty for none.
    pub fn text(&self) -> String {
        self.paths().collect::<Vec<_>>().join(", ")
    }
}

impl serde::Serialize for FileSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.paths())
    }
}

/// The paths of a set, joined by `, `. They are put together only while they are written.
#[derive(Debug, Clone, Copy)]
pub struct Joined<'a>(pub &'a FileSet);

impl fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text())
    }
}

impl serde::Serialize for Joined<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.text())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_knows_its_paths() {
        let paths = ["b", "", "a", "ü", "b"].map(str::to_owned);
        let set = FileSet::new(paths.to_vec());
        assert_eq!(set.paths().collect::<Vec<_>>(), ["", "a", "b", "ü"]);
        assert_eq!(
            (set.len(), set.text(), set.json()),
            (4, ", a, b, ü".into(), to_json(&["", "a", "b", "ü"]))
        );
        assert!(paths.iter().all(|path| set.contains(path)));
        assert!(!set.contains("aa") && !set.contains("x") && !FileSet::NONE.contains(""));
        assert_eq!(set.kept().stored(), None);
    }
}
