//! `backup FILE`: a copy of the database that has been looked through before it gets its name.

use super::outputs::Target;
use super::verify::{GUARDS, listed};
use super::{Failure, keys, outputs, progress, say};
use crate::config::BackupArgs;
use crate::domain::shown::ShowPath as _;
use crate::files::{CopyError, Location, beside, check_only, copy_to, free_bytes, sync_folder};
use crate::ledger::Dictionary;
use crate::projection::{Findings, catch_up, check_whole};
use indicatif::{HumanBytes, HumanCount, HumanDuration};
use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Copies, syncs, verifies, and only then names the file.
pub async fn run(args: BackupArgs) -> Result<(), Failure> {
    let location = Location::parse(&args.database.database_url)?;
    check_only(&location).await?;
    let file = check_target(&location, &args)?;
    let begun = Instant::now();
    let part = beside(&file, ".part");
    let taken = take(&part)?;
    let log_before = location.log_bytes();
    let copied = copy(&location, &part, args.min_free_bytes.0).await;
    let log_grown = location.log_bytes().saturating_sub(log_before);
    if copied.is_err() {
        let _ = std::fs::remove_file(&part);
        copied?;
    }
    let named = |error: std::io::Error| format!("{}: {error}", part.shown());
    let copy = Location { path: part.clone() };
    // What the copy was amid is ended, as far as it can be; else it is at the next start.
    let _ = catch_up(&copy, &Arc::new(Dictionary::default())).await;
    taken.sync_all().map_err(named)?;
    let bar = progress::steps("verifying");
    let findings = check_whole(&copy, &|done, total| bar.show(done, total)).await;
    bar.finish();
    // It may be evidence: an older one is not replaced.
    let unverified = || outputs::unused(&beside(&file, ".unverified"));
    let (findings, name) = match findings {
        Ok(findings) if findings.are_good() => (Ok(findings), file.clone()),
        Ok(findings) => (Err(what_is_wrong(&findings)), unverified()),
        Err(error) => (Err(Some(error.to_string())), unverified()),
    };
    std::fs::rename(&part, &name).map_err(named)?;
    sync_folder(&name).map_err(named)?;
    match findings {
        Ok(findings) => tell(&name, &findings, begun, log_grown),
        Err(wrong) => {
            let (name, wrong) = (name.shown(), wrong.unwrap_or_default());
            Err(format!("{name}: the copy is complete, but not right: {wrong}").into())
        }
    }
}

/// The file to write, at the end of a link, say. Refuses what must not be replaced.
fn check_target(location: &Location, args: &BackupArgs) -> Result<PathBuf, Failure> {
    outputs::check(location, Some(&keys::path(&args.key, location)), &args.file)?;
    let file = Target::of(&args.file)?.file()?;
    if file.exists() && !args.force {
        let file = args.file.shown();
        return Err(format!("{file}: is there already; choose another name, or --force").into());
    }
    Ok(file)
}

/// Takes the name under which the copy is made, empty and for us alone: what another backup has left
/// there is thrown away, one that is being made is not.
fn take(part: &Path) -> Result<File, Failure> {
    let named = |error: std::io::Error| format!("{}: {error}", part.shown());
    loop {
        // Whoever may read the history decides who may read its copies.
        let file = outputs::open_part(part, 0o600)?;
        if file.try_lock().is_err() {
            return Err(format!("{}: another backup is writing it", part.shown()).into());
        }
        // Between opening and locking, another backup may have given it its name.
        let (ours, there) = (file.metadata().map_err(named)?, std::fs::metadata(part));
        if there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            file.set_len(0).map_err(named)?;
            return Ok(file);
        }
    }
}

/// Copies, and gives up before a disk is full: the server needs the room more.
async fn copy(location: &Location, part: &Path, min_free: u64) -> Result<(), Failure> {
    let size = std::fs::metadata(&location.path)?.len();
    if let Some(free) = free_bytes(part).filter(|free| *free < size.saturating_add(min_free)) {
        let (part, size, free) = (part.shown(), HumanBytes(size), HumanBytes(free));
        let rest = HumanBytes(min_free);
        return Err(format!(
            "{part}: {free} are free; the copy takes {size}, and {rest} must stay free (MIN_FREE_BYTES)"
        )
        .into());
    }
    let bar = progress::bytes("copying");
    let (shown, database, target) = (bar.clone(), location.path.clone(), part.to_owned());
    let watch = move |written: u64| {
        shown.show(written, size.max(written));
        let has_room = |path| free_bytes(path).is_none_or(|free| free >= min_free);
        has_room(&database) && has_room(&target)
    };
    let copied = copy_to(location, part, Box::new(watch)).await;
    bar.finish();
    match copied {
        Ok(()) => Ok(()),
        Err(CopyError::Ended) => Err(format!(
            "{}: given up, because less than {} were left on the disk (MIN_FREE_BYTES)",
            part.shown(),
            HumanBytes(min_free)
        )
        .into()),
        Err(CopyError::Failed(error)) if error.is_corrupt() => Err(format!(
            "{}: the file is damaged, and SQLite cannot copy it ({error}); stop the server, and copy it and its -wal as they are",
            location.path.shown()
        )
        .into()),
        Err(error) => Err(format!("{}: {error}", part.shown()).into()),
    }
}

fn tell(name: &Path, findings: &Findings, begun: Instant, log: u64) -> Result<(), Failure> {
    let bytes = HumanBytes(std::fs::metadata(name)?.len());
    let mut text = format!("{}: {bytes}, ", name.shown());
    text += &contents(findings);
    let _ = writeln!(text, "; verified, in {}", HumanDuration(begun.elapsed()));
    if log > 0 {
        let log = HumanBytes(log);
        let _ =
            writeln!(text, "the database's log grew by {log} meanwhile; the server folds it back");
    }
    say::text(&text)
}

/// What is in a database, in one sentence.
pub(super) fn contents(findings: &Findings) -> String {
    let Some(head) = &findings.head else { return "no entries".to_owned() };
    let (entries, hosts) = (HumanCount(head.entries), HumanCount(findings.hosts as u64));
    let newest = head.newest.map_or(String::new(), |time| format!(", the newest of {time}"));
    format!("{entries} entries of {hosts} hosts{newest}")
}

/// What is wrong with a database and what to do about it, the worst first; `None` if nothing is.
pub(super) fn what_is_wrong(findings: &Findings) -> Option<String> {
    let Findings { unsound, guards, faults, differences, .. } = findings;
    let see = "see \"When verify fails\" in docs/operations.md";
    if !unsound.is_empty() {
        return Some(format!("the file is damaged; {see}{}", listed(unsound)));
    }
    if let Some(first) = faults.first() {
        let first = first.first;
        let what = "the history is not what was recorded, first at entry";
        return Some(format!("{what} {first}; {see}{}", listed(faults)));
    }
    if !guards.is_empty() {
        return Some(format!("{GUARDS}; {see}{}", listed(guards)));
    }
    let wrong = Some(differences.len()).filter(|wrong| *wrong > 0)?;
    Some(format!(
        "{wrong} projections are not what the history says; `gitops-status-server rebuild` writes them anew (stop the server first){}",
        listed(differences)
    ))
}
