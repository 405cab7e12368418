//! How answers write the paths of files: taken out of a long list only while they are written.

use crate::domain::files::Files;
use serde::Serialize;
use utoipa::ToSchema;

/// Paths as a list.
#[derive(Debug)]
pub struct ListedPaths<'a>(pub Option<&'a Files>);

impl Serialize for ListedPaths<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.map_or_else(Vec::new, Files::paths).serialize(serializer)
    }
}

/// The same joined by a comma and a blank.
#[derive(Debug)]
pub struct JoinedPaths<'a>(pub Option<&'a Files>);

impl Serialize for JoinedPaths<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.map_or_else(String::new, Files::text))
    }
}

/// A file of the v1 object.
#[derive(Debug, Serialize, ToSchema)]
pub struct V1File<'a> {
    #[schema(example = "rsyslog.d/30-lab.conf")]
    pub name: &'a str,
}

/// The files of the v1 object.
#[derive(Debug)]
pub struct V1Files<'a>(pub Option<&'a Files>);

impl Serialize for V1Files<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let paths = self.0.map_or_else(Vec::new, Files::paths);
        serializer.collect_seq(paths.iter().map(|name| V1File { name }))
    }
}
