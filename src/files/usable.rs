//! Whether there is a database at a place, and whether it can be used, without opening its file:
//! closing it would let go of SQLite's locks on it, for the whole process.

use crate::files::connect::{Location, OpenError};
use crate::files::place::{RESTORING, folder_of};
use rustix::fs::{Access, access};
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Whether there is a database at this place, which is then ours to read and write. A file that
/// cannot be one, or a place that cannot be written, is refused.
pub fn check_writable(location: &Location) -> Result<bool, OpenError> {
    let path = &location.path;
    let found = match std::fs::metadata(path) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(cause) => return Err(OpenError::Path { path: path.clone(), cause }),
    };
    if let Some(file) = &found {
        check_file(path, file)?;
    } else {
        check_absence(location)?;
    }
    let folder = folder_of(path);
    let places = [(folder, Access::WRITE_OK | Access::EXEC_OK), (path, RW)];
    for (place, rights) in places {
        // SQLite would open what it may not write for reading, and fail at the first report.
        if let Err(error) = access(place, rights)
            && error != rustix::io::Errno::NOENT
        {
            return Err(OpenError::NotWritable { path: place.to_owned(), cause: error.into() });
        }
    }
    Ok(found.is_some())
}

/// A file with a second name is refused: SQLite's log, the lock and the key go by the name, and what is
/// written under one of them is missing under the other, or overwritten.
pub fn check_names(location: &Location) -> Result<(), OpenError> {
    match std::fs::metadata(&location.path) {
        Ok(file) if file.is_file() && file.nlink() > 1 => {
            Err(OpenError::Linked { path: location.path.clone(), names: file.nlink() })
        }
        _ => Ok(()),
    }
}

const RW: Access = Access::READ_OK.union(Access::WRITE_OK);

/// The same for those who only read.
pub fn check_readable(location: &Location) -> Result<(), OpenError> {
    let path = &location.path;
    let missing = |cause| OpenError::Missing { path: path.clone(), cause };
    let file = std::fs::metadata(path).map_err(missing)?;
    check_file(path, &file)?;
    access(path, Access::READ_OK).map_err(|error| missing(error.into()))
}

fn check_file(path: &Path, file: &Metadata) -> Result<(), OpenError> {
    if !file.is_file() {
        return Err(OpenError::NotAFile(path.to_owned()));
    }
    if file.len() == 0 {
        return Err(OpenError::Empty(path.to_owned()));
    }
    Ok(())
}

/// Where there is no database, nothing may say that there was one.
fn check_absence(location: &Location) -> Result<(), OpenError> {
    if location.log_bytes() > 0 {
        return Err(OpenError::StrayLog(location.beside("-wal")));
    }
    let half = location.beside(RESTORING);
    if std::fs::metadata(&half).is_ok() {
        return Err(OpenError::HalfRestored { path: location.path.clone(), half });
    }
    if location.remembered().exists() {
        return Err(OpenError::StrayCheckpoints(location.remembered()));
    }
    Ok(())
}
