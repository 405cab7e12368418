//! One server for each database: the lock file beside it, held for as long as a process needs the
//! database for itself. It is let go with the process, however that ends; the file stays.

use crate::files::connect::{Location, OpenError};
use crate::files::inode::InodeLock;
use crate::files::place::{PRIVATE, close_to_others, folder_of, give_to_owner_of};
use crate::files::usable::{check_names, check_writable};
use rustix::fs::OFlags;
use std::fs::{File, TryLockError};
use std::io::{Error, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long one waits for somebody who holds the lock only for a moment.
const PASSING: Duration = Duration::from_secs(10);
/// How long the lock on the file itself may outlive that on the lock file, when a process ends.
const ENDING: Duration = Duration::from_secs(1);
/// How often one looks meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// What the database is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Serving, for the life of the process.
    Serve,
    /// Writing the projections anew.
    Rebuild,
    /// Putting another database in its place.
    Restore,
    /// Putting aside what is remembered of it.
    AcceptRollback,
    /// Creating it or bringing it up to date, which others may wait for.
    Prepare,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Rebuild => "rebuild",
            Self::Restore => "restore",
            Self::AcceptRollback => "accept-rollback",
            Self::Prepare => "prepare",
        }
    }
}

/// The lock, held until this is dropped.
#[derive(Debug)]
pub struct Hold {
    file: File,
    /// The lock on the database file, if there is one.
    database: Option<InodeLock>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.database = None;
        // So that nobody reads our name in it while the next one writes its own.
        let _ = self.file.set_len(0);
    }
}

impl Hold {
    /// Takes the lock, or says who has it. The database's folder is created; nothing is touched at a
    /// place that cannot be used.
    pub async fn take(location: &Location, role: Role) -> Result<Self, OpenError> {
        let folder = folder_of(&location.path);
        let no_folder = |cause| OpenError::Folder { path: folder.to_owned(), cause };
        std::fs::create_dir_all(folder).map_err(no_folder)?;
        if !matches!(role, Role::Restore | Role::AcceptRollback) {
            check_writable(location)?;
        }
        if role != Role::AcceptRollback {
            check_names(location)?;
        }
        let path = location.beside(".lock");
        let failed = |cause| OpenError::Path { path: path.clone(), cause };
        let mut file = open(&path).map_err(failed)?;
        give_to_owner_of(folder, &path);
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(cause)) => return Err(failed(cause)),
                Err(TryLockError::WouldBlock) => {}
            }
            let holder = holder(&path);
            if !is_passing(&holder) || begun.elapsed() > PASSING {
                let path = location.path.clone();
                let serves = holder.starts_with(Role::Serve.word());
                return Err(OpenError::Held { path, holder: shown(&holder), serves });
            }
            tokio::time::sleep(LOOK).await;
        }
        // Without room on the disk the name is missing; the lock holds all the same.
        let _ = file.set_len(0);
        let machine = rustix::system::uname();
        let machine = machine.nodename().to_string_lossy();
        let (word, id) = (role.word(), std::process::id());
        let _ = file.write_all(format!("{word} {id} {machine}\n").as_bytes());
        let mut hold = Self { file, database: None };
        if location.path.is_file() {
            hold.cover(location).await?;
        }
        Ok(hold)
    }

    /// Takes the lock on the database file, too, which was not there before.
    pub async fn cover(&mut self, location: &Location) -> Result<(), OpenError> {
        let path = &location.path;
        let begun = Instant::now();
        while self.database.is_none() {
            let taken = InodeLock::take(path);
            self.database = taken.map_err(|cause| OpenError::Path { path: path.clone(), cause })?;
            if self.database.is_none() && begun.elapsed() > ENDING {
                let holder =
                    "a process that knows it by another name, or whose lock file was removed"
                        .to_owned();
                return Err(OpenError::Held { path: path.clone(), holder, serves: false });
            }
            if self.database.is_none() {
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(())
    }
}

/// Opens the lock file, or makes it; what is no file is not waited for, and a link not followed.
fn open(path: &Path) -> std::io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let mut options = File::options();
    options.create(true).truncate(false).read(true).write(true).mode(PRIVATE).custom_flags(flags);
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "is no file; remove it"));
    }
    // Older versions have let others read it. To root's file nothing can be done, and need not.
    let _ = close_to_others(path);
    Ok(file)
}

/// What the lock file says of its holder.
fn holder(path: &Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(1024).read_to_string(&mut text));
    read.map_or(String::new(), |_| text.trim_end().to_owned())
}

/// Who has the lock but not yet said so is either just starting, or an older version creating it.
fn is_passing(holder: &str) -> bool {
    holder.is_empty() || holder.starts_with(Role::Prepare.word())
}

/// `serve 4711 web-1` for people.
fn shown(holder: &str) -> String {
    let mut words = holder.splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some(word), Some(id), Some(machine)) => format!("process {id} ({word}) on {machine}"),
        _ => "another process".to_owned(),
    }
}
