//! What can be known of a path without opening its file: what lies beside it, what file system it is
//! on, how much room is left.
//!
//! The file itself is never opened here: closing it would let go of SQLite's locks on it, for the
//! whole process.

use crate::domain::shown::ShowPath as _;
use rustix::fs::statvfs;
use std::fs::File;
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
