//! What can be known of the database's place without opening its file: whether it can be used, what
//! it lies on, how much room is left.
//!
//! The file itself is never opened here: closing it would let go of SQLite's locks on it, for the
//! whole process.

use super::connect::{Location, OpenError};
use crate::domain::shown::ShowPath as _;
use rustix::fs::{Access, access, statvfs};
use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// A path with something appended to its name.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.to_owned().into_os_string();
    path.push(suffix);
    path.into()
}

/// The folder of a path.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// How many links may lead to one another.
const LINKS_MOST: usize = 40;

/// Where a link leads to, whether something is there already or not; any other path as it is.
pub fn followed(path: &Path) -> PathBuf {
    if !path.is_symlink() {
        return path.to_owned();
    }
    std::fs::canonicalize(path).unwrap_or_else(|_| {
        let next = |path: &PathBuf| Some(folder_of(path).join(std::fs::read_link(path).ok()?));
        let steps = std::iter::successors(Some(path.to_owned()), next);
        steps.take(LINKS_MOST).last().unwrap_or_else(|| path.to_owned())
    })
}

/// Syncs the folder of a path: only then its new name outlives a power cut.
pub fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

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

/// What a database is called until it is restored.
pub const RESTORING: &str = ".restoring";

/// Gives what an administrator has made to the owner of another file, if that is allowed (to root).
pub fn give_to_owner_of(other: &Path, made: &Path) {
    if let (Ok(owner), Ok(now)) = (std::fs::metadata(other), std::fs::metadata(made))
        && (owner.uid(), owner.gid()) != (now.uid(), now.gid())
    {
        let _ = chown(made, Some(owner.uid()), Some(owner.gid()));
    }
}

/// Who may do what with a database and all that shows what is in it: its owner reads and writes, its
/// group reads.
pub const PRIVATE: u32 = 0o640;

/// Takes from others what they may do with a new file.
pub fn close_to_others(made: &Path) -> std::io::Result<()> {
    let mut permissions = std::fs::metadata(made)?.permissions();
    permissions.set_mode(permissions.mode() & PRIVATE);
    std::fs::set_permissions(made, permissions)
}

/// Bytes that are free for us on the disk of a path; `None` if the system does not say.
pub fn free_bytes(path: &Path) -> Option<u64> {
    let disk = statvfs(folder_of(path)).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

/// What is wrong with keeping a database on the file system of this path, if anything.
pub fn warning(path: &Path) -> Option<String> {
    let (name, what) = unfit(path)?;
    let folder = folder_of(path).shown();
    Some(format!("{folder} is on {name}: {what}; put the database on a disk of this machine"))
}

/// Whether the file system of this path lies behind a network.
pub fn is_on_network(path: &Path) -> bool {
    unfit(path).is_some_and(|(_, what)| what == SHARED)
}

const SHARED: &str = "SQLite's locks and shared memory are not safe over a network";

#[cfg(target_os = "linux")]
fn unfit(path: &Path) -> Option<(&'static str, &'static str)> {
    const PASSING: &str = "the history goes with the container or at the next reboot";
    let kind = rustix::fs::statfs(folder_of(path)).ok()?.f_type;
    // Signed or not, 32 bits or 64: that depends on the machine. Numbers: statfs(2).
    Some(match kind as u32 {
        0x6969 => ("NFS", SHARED),
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => ("SMB", SHARED),
        0x0102_1997 => ("9p", SHARED),
        0x00C3_6400 => ("Ceph", SHARED),
        0x5346_414F => ("AFS", SHARED),
        0x0BD0_0BD0 => ("Lustre", SHARED),
        0x794C_7630 => ("an overlay, the inside of a container", PASSING),
        0x0102_1994 => ("tmpfs, in memory", PASSING),
        _ => return None,
    })
}

#[cfg(not(target_os = "linux"))]
fn unfit(_: &Path) -> Option<(&'static str, &'static str)> {
    None
}
