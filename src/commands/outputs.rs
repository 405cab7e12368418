//! Files that commands write: never onto the database or what belongs to it, never through a link that
//! somebody has laid, and never over what was put aside before.

use super::Failure;
use super::inputs::what_it_is;
use super::say::for_terminal;
use crate::domain::shown::ShowPath as _;
use crate::files::{Location, PRIVATE, RESTORING, beside, folder_of, followed, sync_folder};
use rustix::fs::OFlags;
use std::fs::{File, Metadata};
use std::io::{BufWriter, ErrorKind, IsTerminal, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What the owner of a file may always do.
const OWNER: u32 = 0o600;

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
/// What is written goes through FILE.part, beside the file that a link leads to.
pub fn check(location: &Location, key: Option<&Path>, file: &Path) -> Result<(), Failure> {
    let own = OWN.iter().map(|suffix| location.beside(suffix)).chain(key.map(Path::to_owned));
    let end = followed(file);
    let targets = [file.to_owned(), beside(&end, ".part"), end];
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

/// What a name leads to, links followed, that something is to be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A plain file, or none yet: it is made under another name, and takes this one when it is complete.
    File(PathBuf),
    /// A pipe or a device, `/dev/stdout` for one: it is written into, and stays what it is.
    Stream(PathBuf),
}

impl Target {
    /// Finds out what is there. A folder, a socket and a disk are refused.
    pub fn of(path: &Path) -> Result<Self, Failure> {
        let kind = match std::fs::metadata(path) {
            Ok(there) => there.file_type(),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Self::File(followed(path)));
            }
            Err(error) => return Err(format!("{}: {error}", path.shown()).into()),
        };
        if kind.is_fifo() || kind.is_char_device() || kind.is_file() && is_descriptor(path) {
            return Ok(Self::Stream(path.to_owned()));
        }
        if kind.is_file() {
            return Ok(Self::File(followed(path)));
        }
        let what = what_it_is(kind);
        Err(format!("{}: this is {what}, and cannot be written; name a file", path.shown()).into())
    }

    /// The file; what is none is refused, since it would have to be replaced.
    pub fn file(self) -> Result<PathBuf, Failure> {
        match self {
            Self::File(path) => Ok(path),
            Self::Stream(path) => {
                let path = path.shown();
                Err(format!("{path}: this is a pipe or a device, which no file replaces").into())
            }
        }
    }
}

/// Whether a name stands for what this process has open already (`/dev/stdout`, `/dev/fd/3`): a file
/// behind it is its shell's, and goes on where that is.
fn is_descriptor(path: &Path) -> bool {
    let folder = |path: &Path| std::fs::canonicalize(folder_of(path)).unwrap_or_default();
    let link = std::fs::read_link(path).map(|to| folder_of(path).join(to));
    folder(path).starts_with("/proc") || link.is_ok_and(|link| folder(&link).starts_with("/proc"))
}

/// Something that is being written.
pub struct Output {
    file: BufWriter<File>,
    /// Whether somebody looks at it: what senders wrote is escaped then.
    terminal: bool,
    /// What errors name.
    name: String,
    /// The name it has until it is complete, and the one it has then.
    names: Option<(PathBuf, PathBuf)>,
}

impl Output {
    /// Begins it. A new file is for those who may read the database; one that is replaced lets nobody
    /// in who was not.
    pub fn begin(target: &Target, location: &Location) -> Result<Self, Failure> {
        let (file, name, names) = match target {
            Target::Stream(path) => {
                let file = File::options().append(true).open(path);
                (file.map_err(|error| format!("{}: {error}", path.shown()))?, path, None)
            }
            Target::File(path) => {
                let part = beside(path, ".part");
                let mode_of = |path| std::fs::metadata(path).map(|file| file.permissions().mode());
                let of_both = [mode_of(&location.path), mode_of(path)].into_iter().flatten();
                let file = open_part(&part, of_both.fold(PRIVATE, |all, mode| all & mode) | OWNER)?;
                file.set_len(0).map_err(|error| format!("{}: {error}", part.shown()))?;
                (file, path, Some((part, path.clone())))
            }
        };
        let name = names.as_ref().map_or(name, |(part, _)| part).shown();
        Ok(Self { terminal: file.is_terminal(), file: BufWriter::new(file), name, names })
    }

    /// Writes more of it.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = if self.terminal {
            self.file.write_all(for_terminal(bytes).as_bytes())
        } else {
            self.file.write_all(bytes)
        };
        written.map_err(|error| format!("{}: {error}", self.name).into())
    }

    /// Writes a line of JSON.
    pub fn write_json(&mut self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let written = serde_json::to_writer(&mut self.file, value);
        written.map_err(|error| format!("{}: {error}", self.name))?;
        self.write(b"\n")
    }

    /// Gives it its name.
    pub fn complete(self) -> Result<(), Failure> {
        let Self { file, name, names, .. } = self;
        let completed = || -> std::io::Result<()> {
            let file = file.into_inner()?;
            let Some((part, path)) = names else { return Ok(()) };
            file.sync_all()?;
            std::fs::rename(part, path)
        };
        completed().map_err(|error| format!("{name}: {error}").into())
    }
}

/// Opens the file under which something is made until it is complete; what another run has left in it
/// is still there. `mode`: who may read it, whoever made it first.
pub fn open_part(part: &Path, mode: u32) -> Result<File, Failure> {
    let folder = folder_of(part);
    if !folder.is_dir() {
        return Err(format!("{}: there is no such folder to write into", folder.shown()).into());
    }
    let named = |error: std::io::Error| format!("{}: {error}", part.shown());
    let is_ours = |there: &Metadata| there.is_file() && there.nlink() == 1;
    let refused =
        || format!("{}: is there already, and no file of its own; remove it", part.shown());
    if std::fs::symlink_metadata(part).is_ok_and(|there| !is_ours(&there)) {
        return Err(refused().into());
    }
    let mut options = File::options();
    // What has come there since is not followed, and not waited for.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    options.create(true).truncate(false).write(true).mode(mode).custom_flags(flags);
    let file = options.open(part).map_err(named)?;
    let there = file.metadata().map_err(named)?;
    if !is_ours(&there) {
        return Err(refused().into());
    }
    let mut permissions = there.permissions();
    permissions.set_mode(permissions.mode() & mode);
    file.set_permissions(permissions).map_err(named)?;
    Ok(file)
}

/// Replaces a file whole, or leaves it as it was; of a link, the file that it leads to.
pub fn replace(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let path = followed(path);
    if let Ok(there) = std::fs::metadata(&path)
        && !there.is_file()
    {
        let what = what_it_is(there.file_type());
        let problem = format!("is {what}, and not a file");
        return Err(std::io::Error::new(ErrorKind::InvalidInput, problem));
    }
    let fresh = beside(&path, ".new");
    // What an interrupted run has left, or somebody else has made.
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = File::options();
    let mut file = options.write(true).create_new(true).mode(mode).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, &path)?;
    sync_folder(&path)
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
