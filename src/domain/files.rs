//! The files that differ, each as it was sent.
//! A long list need not be in memory: of one that is in the database, number and digests are enough to
//! fold, and where it is.

use super::words::FileKind;
use serde::de::{Deserialize, Error, IgnoredAny, MapAccess, Visitor};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// First half of the SHA-256 of a content: its key in the dictionary.
pub type ContentDigest = [u8; 16];

/// First half of the SHA-256 of a set's JSON: its key in the dictionary.
pub type FileSetDigest = [u8; 16];

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

/// Bytes of memory up to which a list stays as it was taken apart. A longer one is kept as one text
/// while it is on its way, and where it is only remembered as what is known of it.
pub(super) const SHORT_BYTES: usize = 16 << 10;
/// What an element of a list takes in memory beside its path, about.
pub(super) const FILE_BYTES: usize = 80;

/// The files that a report names, in the order they were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// At most 16 KiB in memory.
    Short(Vec<ChangedFile>),
    /// More.
    Long(Arc<LongList>),
}

/// A list of files that is long.
#[derive(Debug)]
pub struct LongList {
    count: usize,
    /// First half of the SHA-256 of the JSON.
    digest: [u8; 16],
    set: FileSetDigest,
    text: Text,
}

/// Where a long list is.
#[derive(Debug)]
enum Text {
    /// Here, as JSON.
    Here(Box<str>),
    /// In the database, in the content of this digest.
    Stored(ContentDigest),
}

impl PartialEq for LongList {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for LongList {}

impl Files {
    /// Takes over a list.
    pub fn new(list: Vec<ChangedFile>) -> Self {
        if weight(list.iter().map(|file| &file.path)) <= SHORT_BYTES {
            return Self::Short(list);
        }
        let json = to_json(&list);
        let count = list.len();
        let set = set_digest(&sorted(list.into_iter().map(|file| file.path).collect()));
        let digest = half_of_sha256(json.as_bytes());
        let text = Text::Here(json.into_boxed_str());
        Self::Long(Arc::new(LongList { count, digest, set, text }))
    }

    /// How many are named.
    pub fn len(&self) -> usize {
        match self {
            Self::Short(list) => list.len(),
            Self::Long(long) => long.count,
        }
    }

    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The content of the database that has the list, if it is not here.
    pub fn stored(&self) -> Option<ContentDigest> {
        match self {
            Self::Long(long) => match long.text {
                Text::Stored(content) => Some(content),
                Text::Here(_) => None,
            },
            Self::Short(_) => None,
        }
    }

    /// What is remembered of a long list once the content of this digest is in the database; `None` for
    /// a short one.
    pub fn kept(&self, content: ContentDigest) -> Option<Self> {
        let Self::Long(long) = self else { return None };
        let LongList { count, digest, set, .. } = **long;
        let text = Text::Stored(content);
        Some(Self::Long(Arc::new(LongList { count, digest, set, text })))
    }

    /// The list as JSON.
    pub fn json(&self) -> Cow<'_, str> {
        match self {
            Self::Short(list) => to_json(list).into(),
            Self::Long(long) => long.here().into(),
        }
    }

    /// The paths as sent.
    pub fn paths(&self) -> Vec<Cow<'_, str>> {
        match self {
            Self::Short(list) => list.iter().map(|file| file.path.as_str().into()).collect(),
            Self::Long(long) => {
                let list: Vec<PathOnly<'_>> = serde_json::from_str(long.here()).unwrap_or_default();
                list.into_iter().map(|path| path.0).collect()
            }
        }
    }

    /// The paths joined by `, `; empty for none.
    pub fn text(&self) -> String {
        self.paths().join(", ")
    }

    /// Bytes of its paths, about.
    pub fn path_bytes(&self) -> usize {
        match self {
            Self::Short(list) => list.iter().map(|file| file.path.len()).sum(),
            Self::Long(long) => match &long.text {
                Text::Here(json) => json.len(),
                Text::Stored(_) => 0,
            },
        }
    }

    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        match self {
            Self::Short(list) => weight(list.iter().map(|file| &file.path)),
            Self::Long(_) => FILE_BYTES + self.path_bytes(),
        }
    }
}

impl LongList {
    /// The key of its set.
    pub fn set(&self) -> &FileSetDigest {
        &self.set
    }

    /// The list. Nobody asks it of one that is elsewhere: it is looked up first.
    fn here(&self) -> &str {
        match &self.text {
            Text::Here(json) => json,
            Text::Stored(_) => {
                debug_assert!(false, "the list is in the database");
                "[]"
            }
        }
    }
}

impl Default for Files {
    fn default() -> Self {
        Self::Short(Vec::new())
    }
}

impl FromIterator<ChangedFile> for Files {
    fn from_iter<I: IntoIterator<Item = ChangedFile>>(list: I) -> Self {
        Self::new(list.into_iter().collect())
    }
}

impl serde::Serialize for Files {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Short(list) => list.serialize(serializer),
            Self::Long(long) => {
                let json: &serde_json::value::RawValue =
                    serde_json::from_str(long.here()).map_err(serde::ser::Error::custom)?;
                json.serialize(serializer)
            }
        }
    }
}

/// The path of an element of a list.
struct PathOnly<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for PathOnly<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Element;
        impl<'de> Visitor<'de> for Element {
            type Value = PathOnly<'de>;

            fn expecting(&self, form: &mut fmt::Formatter<'_>) -> fmt::Result {
                form.write_str("a path, or an object with one")
            }

            fn visit_borrowed_str<E>(self, path: &'de str) -> Result<Self::Value, E> {
                Ok(PathOnly(path.into()))
            }

            fn visit_str<E>(self, path: &str) -> Result<Self::Value, E> {
                Ok(PathOnly(path.to_owned().into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut path = None;
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    if key == "path" {
                        path = Some(map.next_value::<PathOnly<'de>>()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                path.ok_or_else(|| A::Error::missing_field("path"))
            }
        }
        deserializer.deserialize_any(Element)
    }
}

fn weight<'p>(paths: impl Iterator<Item = &'p String>) -> usize {
    paths.map(|path| path.len() + FILE_BYTES).sum()
}

pub(super) fn to_json<T: serde::Serialize + ?Sized>(list: &T) -> String {
    serde_json::to_string(list).expect("strings are JSON")
}

fn half_of_sha256(bytes: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&Sha256::digest(bytes)[..16]);
    half
}

/// Sorted distinct paths.
pub(super) fn sorted(mut paths: Vec<String>) -> Vec<String> {
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// The key of sorted distinct paths.
pub(super) fn set_digest(paths: &[String]) -> FileSetDigest {
    half_of_sha256(to_json(paths).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::file_set::FileSet;

    fn named(paths: impl Iterator<Item = String>) -> Vec<ChangedFile> {
        paths.map(|path| ChangedFile { path, detail: None }).collect()
    }

    fn same_set(a: &Files, b: &Files) -> bool {
        FileSet::of(a).is_of(b)
    }

    fn long() -> Vec<ChangedFile> {
        let mut list = named((0..300).rev().map(|at| format!("/etc/\"ü\" {at}\u{1f}")));
        let kind = Some(FileKind::Missing);
        list[3].detail = Some(FileDetail { kind, sha256: Some("0".repeat(64)) });
        list
    }

    #[test]
    fn a_long_list_is_what_it_was() {
        let (list, files) = (long(), Files::new(long()));
        assert!(matches!(files, Files::Long(_)));
        assert_eq!(files.len(), 300);
        assert_eq!(files.json(), to_json(&list));
        assert_eq!(to_json(&files), to_json(&list));
        let paths: Vec<&str> = list.iter().map(|file| &*file.path).collect();
        assert_eq!(files.paths(), paths);
        assert_eq!(files.text(), paths.join(", "));
    }

    #[test]
    fn of_a_long_list_that_is_stored_a_few_bytes_remain() {
        let files = Files::new(long());
        let kept = files.kept([7; 16]).unwrap();
        assert_eq!((kept.len(), kept.stored()), (300, Some([7; 16])));
        assert_eq!(kept, files);
        assert!(kept.weight() < 100 && files.weight() > 4_000);
        let set = FileSet::of(&kept);
        assert_eq!(set, FileSet::of(&files));
        assert!(set.is_of(&files) && set.is_of(&kept));
        assert_eq!(set.stored(), Some((*set.digest().unwrap(), Some([7; 16]))));
        assert_eq!(Files::new(named(std::iter::once("a".into()))).kept([7; 16]), None);
    }

    #[test]
    fn lists_that_differ_differ_however_long() {
        let (list, files) = (long(), Files::new(long()));
        let mut turned = list.clone();
        turned.reverse();
        let turned = Files::new(turned).kept([1; 16]).unwrap();
        assert!(turned != files && same_set(&turned, &files));
        let less = Files::new(list[1..].to_vec());
        assert!(less != files && !same_set(&less, &files));
        // A long list of one path is a short set.
        let same = Files::new(named(std::iter::repeat_n("a".into(), 500)));
        let one = Files::new(named(std::iter::once("a".into())));
        assert!(same != one && same_set(&same, &one) && same_set(&one, &same));
        assert!(FileSet::of(&one).is_of(&same));
    }
}
