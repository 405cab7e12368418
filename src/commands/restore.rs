//! `restore FILE`: a backup takes the database's place, after it has been looked through.
//!
//! The checkpoints remembered beside the database stay where they are: by them the next start notices
//! that the history has become shorter.

use super::backup::{contents, what_is_wrong};
use super::remembered::Remembered;
use super::{Failure, bring_up_to_date, keys, outputs, progress, say, system_clock};
use crate::config::RestoreArgs;
use crate::domain::checkpoint::Checkpoint;
use crate::domain::shown::ShowPath as _;
use crate::files::{
    Head, Hold, Location, OpenError, RESTORING, Role, beside, check_only, close_to_others,
    create_or_check, folder_of, give_to_owner_of, let_go, sync_folder,
};
use crate::ledger::{Dictionary, TreeHead, tree_head_of};
use crate::projection::{Findings, catch_up, check_whole};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Bytes copied between two looks at the bar.
const CHUNK: usize = 1 << 20;

/// Copies, brings up to date, verifies, and only then replaces.
pub async fn run(args: RestoreArgs) -> Result<(), Failure> {
    let location = Location::parse(&args.database.database_url)?;
    let path = &location.path;
    // A link's log lies beside the file that it leads to.
    let source = std::fs::canonicalize(&args.file);
    let file = &source.map_err(|error| format!("{}: {error}", args.file.shown()))?;
    let size = check_source(file, &location)?;
    // A device is put aside by nobody.
    if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(OpenError::NotAFile(path.clone()).into());
    }
    let hold = Hold::take(&location, Role::Restore).await?;
    let there = [path.clone(), beside(path, "-wal")];
    if let Some(there) = there.iter().find(|path| path.exists()).filter(|_| !args.replace) {
        let there = there.shown();
        return Err(format!("{there}: is there already; --replace keeps it under another name and puts the backup in its place").into());
    }
    let half = Location { path: beside(path, RESTORING) };
    remove(&half.path);
    let prepared = prepare(file, size, &half, &hold).await;
    let findings = match prepared {
        Ok(findings) => findings,
        Err(failure) => {
            remove(&half.path);
            // What is wrong is wrong with the backup, not with our copy of it.
            let said = failure.to_string();
            let (half, file) = (half.path.shown(), file.shown());
            return Err(format!("{}; nothing was changed", said.replace(&half, &file)).into());
        }
    };
    keep_owner(path, &half.path)?;
    let unnoticed = remember_end(&location, &findings, &args).await.err();
    let replaced = match put_aside(&location).await {
        Ok(replaced) => replaced,
        Err(failure) => {
            // If the old one is gone already, this one is all there is.
            if path.exists() {
                remove(&half.path);
            }
            return Err(failure);
        }
    };
    let named = |error: std::io::Error| format!("{}: {error}", path.shown());
    std::fs::rename(&half.path, path).map_err(named)?;
    sync_folder(path).map_err(named)?;
    tell(&location, &findings, replaced, unnoticed)
}

/// Remembers how far the database came that is replaced, if it came further than the backup: the server
/// itself does so once a minute, and may have died since. Nothing can be remembered of a wreck.
async fn remember_end(
    location: &Location,
    findings: &Findings,
    args: &RestoreArgs,
) -> Result<(), Failure> {
    let Some(new) = findings.head.as_ref() else { return Ok(()) };
    if !location.path.exists() || check_only(location).await.is_err() {
        return Ok(());
    }
    let TreeHead { origin, tree, .. } = tree_head_of(location).await?;
    if *origin != *new.origin || tree.size() <= new.entries {
        return Ok(());
    }
    let keys = keys::load(&keys::path(&args.key, location), &origin)?;
    let checkpoint = Checkpoint { origin, size: tree.size(), root: tree.root() };
    let mut remembered = Remembered::read(location.remembered())?;
    remembered.add(checkpoint, &keys, system_clock()()).await?;
    give_to_owner_of(&location.path, &location.remembered());
    Ok(())
}

/// The bytes of a backup that may be restored here.
fn check_source(file: &Path, location: &Location) -> Result<u64, Failure> {
    let named = |error: std::io::Error| format!("{}: {error}", file.shown());
    let (found, found_at) = (std::fs::metadata(file).map_err(named)?, file);
    if !found.is_file() || found.len() == 0 {
        return Err(format!("{}: no backup, but a folder or empty", file.shown()).into());
    }
    let file = file.shown();
    if outputs::is_same(&location.path, found_at) {
        return Err(format!("{file}: this is the database itself").into());
    }
    if outputs::is_same(&location.beside(RESTORING), found_at) {
        return Err(format!(
            "{file}: this is what an interrupted restore has left; restore the backup itself"
        )
        .into());
    }
    Ok(found.len())
}

/// Makes a database of a copy of the backup, and looks through all of it.
async fn prepare(
    file: &Path,
    size: u64,
    half: &Location,
    hold: &Hold,
) -> Result<Findings, Failure> {
    copy(file, &half.path, size)?;
    // A file that was copied with its log is whole only with it.
    let log = beside(file, "-wal");
    if let Ok(found) = std::fs::metadata(&log)
        && found.len() > 0
    {
        copy(&log, &beside(&half.path, "-wal"), found.len())?;
    }
    create_or_check(half, hold).await?;
    bring_up_to_date(half, &std::sync::Arc::new(Dictionary::default())).await?;
    let bar = progress::steps("verifying");
    // What the backup was amid is ended, as far as it can be; else it is at the next start.
    let _ = catch_up(half, &std::sync::Arc::new(Dictionary::default())).await;
    let findings = check_whole(half, &|done, total| bar.show(done, total)).await?;
    bar.finish();
    if let Some(wrong) = what_is_wrong(&findings) {
        return Err(format!("{}: {wrong}", half.path.shown()).into());
    }
    // One file from here on, without a log.
    let_go(half).await?;
    Ok(findings)
}

fn copy(from: &Path, to: &Path, size: u64) -> Result<(), Failure> {
    let bar = progress::bytes("copying");
    let mut source = File::open(from).map_err(|error| format!("{}: {error}", from.shown()))?;
    let named = |error: std::io::Error| format!("{}: {error}", to.shown());
    let mut target = File::create_new(to).map_err(named)?;
    let (mut chunk, mut done) = (vec![0; CHUNK], 0);
    loop {
        let read = source.read(&mut chunk).map_err(|error| format!("{}: {error}", from.shown()))?;
        if read == 0 {
            break;
        }
        target.write_all(&chunk[..read]).map_err(named)?;
        done += read as u64;
        bar.show(done, size.max(done));
    }
    bar.finish();
    target.sync_all().map_err(named)?;
    Ok(())
}

/// The server must be able to write what an administrator has restored: owner and rights are those of
/// the old database, or the owner of the folder.
fn keep_owner(path: &Path, half: &Path) -> Result<(), Failure> {
    let named = |error: std::io::Error| format!("{}: {error}", half.shown());
    if let Ok(old) = std::fs::metadata(path) {
        std::fs::set_permissions(half, old.permissions()).map_err(named)?;
        give_to_owner_of(path, half);
    } else {
        close_to_others(half).map_err(named)?;
        give_to_owner_of(folder_of(path), half);
    }
    Ok(())
}

/// Gives the old database another name. From here to the end there is no database, which a start
/// notices by the half-restored file.
async fn put_aside(location: &Location) -> Result<Option<(PathBuf, Option<Head>)>, Failure> {
    let path = &location.path;
    let log = beside(path, "-wal");
    if !path.exists() && !log.exists() {
        return Ok(None);
    }
    // As one file if it is a database: a log without it is worth nothing. A wreck is not opened for
    // writing, SQLite would throw its log away.
    let head = match check_only(location).await {
        Ok(()) | Err(OpenError::Older { .. } | OpenError::Newer { .. }) => {
            match let_go(location).await {
                Err(error @ OpenError::InUse(_)) => return Err(error.into()),
                head => head.ok().flatten(),
            }
        }
        Err(_) => None,
    };
    let time = system_clock()().to_string().replace([':', '-'], "");
    let time = time.split(['.', 'Z']).next().unwrap_or_default();
    let aside = outputs::unused(&beside(path, &format!(".replaced-{time}Z")));
    for suffix in ["", "-wal", "-shm"] {
        let (from, to) = (beside(path, suffix), beside(&aside, suffix));
        match std::fs::rename(&from, &to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(format!("{}: {error}", from.shown()).into());
            }
            _ => {}
        }
    }
    Ok(Some((aside, head)))
}

fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(beside(path, suffix));
    }
}

fn tell(
    location: &Location,
    findings: &Findings,
    replaced: Option<(PathBuf, Option<Head>)>,
    unnoticed: Option<Failure>,
) -> Result<(), Failure> {
    let mut text = format!("{}: restored, {}\n", location.path.shown(), contents(findings));
    if let Some((aside, old)) = replaced {
        let aside = aside.shown();
        let _ = write!(text, "the database that was there is now {aside}");
        if let (Some(old), Some(new)) = (&old, &findings.head) {
            if old.origin != new.origin {
                text += "; it was another history, with receipts of another origin";
            } else if old.entries > new.entries {
                let (first, last) = (new.entries + 1, old.entries);
                let _ = write!(
                    text,
                    "; entries {first} to {last} are only there, and their ids will be given again"
                );
            }
        }
        text += "\n";
    }
    // A file that cannot be read stops the start, and says so there.
    let remembered = Remembered::read(location.remembered()).ok();
    let newest = remembered.as_ref().and_then(Remembered::newest);
    if let (Some(newest), Some(new)) = (newest, &findings.head)
        && (newest.size > new.entries || *newest.origin != *new.origin)
    {
        let size = newest.size;
        let _ = writeln!(
            text,
            "the server remembers {size} entries and will not start with this, unless `gitops-status-server accept-rollback` says that it is right"
        );
    }
    if let Some(failure) = unnoticed {
        let _ = writeln!(
            text,
            "how far the replaced database came could not be remembered ({failure}): the server may start without asking for `accept-rollback`"
        );
    }
    say::text(&text)
}
