//! Files that commands write: never onto the database or what belongs to it, never through a link that
//! somebody has laid, and never over what was put aside before.

use super::Failure;
use crate::domain::shown::ShowPath as _;
use crate::store::{Location, RESTORING, beside, folder_of};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What stands behind the database's name in those of its own files.
const OWN: &[&str] = &[
    "",
    "-wal",
    "-shm",
    "-journal",
    ".lock",
    ".key",
    ".key.new",
    ".checkpoints",
    RESTORING,
    ".new",
];

/// Refuses to write where the database or something of its own is; `key`: where its key may be, too.
/// What is written goes through FILE.part.
pub fn check(location: &Location, key: Option<&Path>, file: &Path) -> Result<(), Failure> {
    let own = OWN.iter().map(|suffix| location.beside(suffix)).chain(key.map(Path::to_owned));
    let targets = [file.to_owned(), beside(file, ".part")];
    for own in own {
        if targets.iter().any(|target| is_same(&own, target)) {
            let (file, own) = (file.shown(), own.shown());
            return Err(format!(
                "{file}: this would replace {own}, which the server needs; name another file"
            )
            .into());
        }
    }
    Ok(())
}

/// Whether two paths are one place, or lead to one file.
pub fn is_same(a: &Path, b: &Path) -> bool {
    let place = |path: &Path| {
        let folder = std::fs::canonicalize(folder_of(path)).ok()?;
        Some(folder.join(path.file_name()?))
    };
    let file = |path: &Path| std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    (place(a).is_some() && place(a) == place(b)) || (file(a).is_some() && file(a) == file(b))
}

/// Opens the file under which something is made until it is complete; what another run has left in it
/// is still there. `mode`: who may read it, whoever made it first.
pub fn open_part(part: &Path, mode: u32) -> Result<File, Failure> {
    let folder = folder_of(part);
    if !folder.is_dir() {
        return Err(format!("{}: there is no such folder to write into", folder.shown()).into());
    }
    let named = |error: std::io::Error| format!("{}: {error}", part.shown());
    if std::fs::symlink_metadata(part).is_ok_and(|there| !there.is_file()) {
        return Err(format!("{}: is there already, and is no file; remove it", part.shown()).into());
    }
    let mut options = File::options();
    let file = options.create(true).truncate(false).write(true).mode(mode).open(part);
    let file = file.map_err(named)?;
    let mut permissions = file.metadata().map_err(named)?.permissions();
    permissions.set_mode(permissions.mode() & mode);
    file.set_permissions(permissions).map_err(named)?;
    Ok(file)
}

/// A name that nothing has yet: this one, or with a number behind it.
pub fn unused(path: &Path) -> PathBuf {
    let is_free = |path: &Path| {
        let there = std::fs::symlink_metadata(path);
        there.is_err_and(|error| error.kind() == ErrorKind::NotFound)
    };
    let numbered = (2..).map(|n| beside(path, &format!("-{n}")));
    let found = std::iter::once(path.to_owned()).chain(numbered).find(|path| is_free(path));
    found.expect("numbers do not end")
}
