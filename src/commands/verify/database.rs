//! The database: its tree, its projections, and what others hold of it.

use super::held::{Found, Held};
use super::report::{Report, listed};
use crate::commands::Failure;
use crate::commands::progress;
use crate::commands::remembered::{Block, Remembered};
use crate::config::VerifyArgs;
use crate::domain::checkpoint::Checkpoint;
use crate::domain::line::hex;
use crate::domain::names::HostKey;
use crate::domain::shown::{ShowPath as _, shown};
use crate::domain::tree::Hash;
use crate::files::{Hold, Location, Role, check_file, check_guards, check_only};
use crate::ledger::{Audit, Dictionary, Fault, audit, entry_hash};
use crate::projection::{Writer, catch_up, verify};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What is said of a schema that is not ours.
pub const GUARDS: &str = "the database's own guards are not as they were made: somebody has had their hand in the schema; stop the server, and `rebuild` makes the triggers what they were; anything else needs a backup";

/// A checkpoint, and where it comes from.
struct Known {
    checkpoint: Checkpoint,
    from: String,
}

/// Checks the tree and the projections, or of the two what is asked for; or only receipts.
pub async fn check(args: &VerifyArgs, held: &Held) -> Result<Report, Failure> {
    let location = Location::parse(&args.database.database_url)?;
    check_only(&location).await?;
    let dictionary = Arc::new(Dictionary::default());
    let mut report = Report::of("the history".to_owned());
    let only_receipts = held.has_receipts() && held.checkpoints.is_empty();
    let (tree, refold) = (args.tree || !held.checkpoints.is_empty(), args.refold);
    let (tree, refold) =
        if tree || refold || only_receipts { (tree, refold) } else { (true, true) };
    if !(only_receipts || args.tree || args.refold) {
        check_soundness(&location, &mut report).await?;
    }
    if tree {
        check_tree(&location, &dictionary, held, &mut report).await?;
    }
    if held.has_receipts() {
        check_receipts(&location, &dictionary, held, &mut report).await?;
    }
    if refold {
        check_projections(&location, &dictionary, &mut report).await?;
    }
    Ok(report)
}

async fn check_soundness(location: &Location, report: &mut Report) -> Result<(), Failure> {
    match check_guards(location).await {
        Ok(guards) if guards.said().is_empty() => {}
        Ok(guards) => report.others.push(GUARDS.to_owned() + &listed(&guards.said())),
        Err(error) if error.is_unreadable() => {
            report.others.push(format!("the schema cannot be read: {error}"));
        }
        Err(error) => return Err(error.into()),
    }
    let found = check_file(location).await?;
    if found.is_empty() {
        report.right("the file is sound".to_owned());
    } else {
        let path = location.path.shown();
        let what = format!("{path}: the file is damaged; see docs/operations.md");
        report.others.push(what + &listed(&found));
    }
    Ok(())
}

async fn check_tree(
    location: &Location,
    dictionary: &Arc<Dictionary>,
    held: &Held,
    report: &mut Report,
) -> Result<(), Failure> {
    let remembered = Remembered::read(location.remembered())?;
    check_signatures(&remembered, held, report);
    let beside = remembered.known().iter().map(|block| Known {
        checkpoint: block.checkpoint.clone(),
        from: format!("remembered on {}", block.time),
    });
    let given = held.checkpoints.iter().map(|(file, checkpoint)| Known {
        checkpoint: checkpoint.clone(),
        from: format!("{}, {}", file.shown(), held.signatures()),
    });
    let mut known: Vec<Known> = beside.chain(given).collect();
    known.sort_by_key(|known| known.checkpoint.size);
    let sizes: Vec<u64> = known.iter().map(|known| known.checkpoint.size).collect();
    let bar = progress::bar("hashing");
    let shown = |done, total| bar.show(done, total);
    let audited = audit(location, dictionary, &sizes, &shown).await;
    bar.finish();
    let audited = match audited {
        Err(error) if error.is_corrupt() => {
            report.others.push(format!("the history cannot be read: {error}"));
            return Ok(());
        }
        audited => audited?,
    };
    let Audit { origin, entries, root, .. } = &audited;
    let intact = audited.faults.is_empty();
    if intact {
        report.right(format!("history {origin}: {entries} entries, root {}", hex(&root.0)));
        report.right("every entry is what was recorded".to_owned());
    }
    compare(&audited, &known, report);
    report.faults.extend(audited.faults);
    Ok(())
}

/// Whether the remembered checkpoints are signed by the keys that were given. Of older ones the key may
/// have been another.
fn check_signatures(remembered: &Remembered, held: &Held, report: &mut Report) {
    let Some(keys) = &held.keys else { return };
    let signed = |block: &&Block| Checkpoint::read(&block.note, Some(keys)).is_ok();
    let all = remembered.known().len();
    let good = remembered.known().iter().filter(signed).count();
    let said =
        format!("{good} of {all} remembered checkpoints are signed by the key that was given");
    if good == all {
        report.right(said);
    } else if good == 0 && held.checkpoints.is_empty() {
        report.others.push(said);
    } else {
        report.notes.push(said);
    }
}

/// Compares the roots with checkpoints, which are in the order of their sizes.
fn compare(audited: &Audit, known: &[Known], report: &mut Report) {
    let (mut good, mut fits) = (0, Vec::new());
    for Known { checkpoint, from } in known {
        let Checkpoint { origin, size, root } = checkpoint;
        let mut fault = |first, last, what| report.wrong(Fault { first, last, what });
        if *origin != audited.origin {
            let (ours, what) = (&audited.origin, "a checkpoint is of another history");
            report
                .others
                .push(format!("{what} ({from}); this one is {ours}, that {}", shown(origin)));
        } else if *size > audited.entries {
            let what = format!("they are gone; a checkpoint of {size} entries knows them ({from})");
            fault(audited.entries + 1, *size, what);
        } else if audited.roots.get(size) == Some(root) {
            good = *size;
            fits.push(from);
        } else if audited.faults.first().is_none_or(|fault| fault.first > *size) {
            let what = format!("they are not those of a checkpoint of {size} entries ({from})");
            fault((good + 1).min(*size), *size, what);
        }
    }
    if let Some(newest) = fits.last() {
        let count = fits.len();
        let all = known.len();
        report.right(format!(
            "{count} of {all} checkpoints fit, the newest of {good} entries ({newest})"
        ));
    }
}

async fn check_receipts(
    location: &Location,
    dictionary: &Arc<Dictionary>,
    held: &Held,
    report: &mut Report,
) -> Result<(), Failure> {
    let origin = Writer::look(location, dictionary)?.origin;
    let mut hashes: HashMap<u64, Hash> = HashMap::new();
    let ours = held.receipts.iter().map(|witness| &witness.receipt);
    let ids: BTreeSet<u64> = ours.filter(|ours| *ours.origin == *origin).map(|r| r.id).collect();
    for id in ids {
        if let Some(hash) = entry_hash(location, dictionary, &origin, id).await? {
            hashes.insert(id, hash);
        }
    }
    held.check_receipts(&origin, report, |id| {
        hashes.get(&id).map_or(Found::Nothing, |hash| Found::Hash(*hash))
    });
    Ok(())
}

fn show_key(key: &HostKey) -> String {
    shown(&format!("{}/{}", key.server_group, key.host)).into_owned()
}

async fn check_projections(
    location: &Location,
    dictionary: &Arc<Dictionary>,
    report: &mut Report,
) -> Result<(), Failure> {
    // While a server runs, that is its own work.
    if let Ok(_hold) = Hold::take(location, Role::Prepare).await
        && check_guards(location).await.is_ok_and(|guards| guards.strange_triggers().is_empty())
    {
        // What cannot be projected is named below.
        let _ = catch_up(location, dictionary).await;
    }
    let bar = progress::bar("folding");
    let verdict = verify(location, dictionary, &|done, total| bar.show(done, total)).await;
    bar.finish();
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(error) if error.is_unreadable() => {
            report.others.push(format!("the history cannot be folded: {error}"));
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    if !verdict.pending.is_empty() {
        let pending: Vec<String> = verdict.pending.iter().map(show_key).collect();
        report.notes.push(format!(
            "{} hosts are just being folded anew, since something came late, and were not compared: {}",
            pending.len(),
            pending.join(", ")
        ));
    }
    let (entries, hosts) = (verdict.entries, verdict.hosts);
    let differences = verdict.differences.len();
    if differences == 0 {
        report.right(format!("{entries} entries of {hosts} hosts: all projections are right"));
        return Ok(());
    }
    // What is folded from an edited history is not made right by folding it anew.
    let what_to_do = if report.faults.is_empty() {
        "`gitops-status-server rebuild` writes them anew (stop the server first)"
    } else {
        "the history itself was changed, so do not rebuild them; see docs/operations.md"
    };
    let found = listed(&verdict.differences);
    report.others.push(format!(
        "{entries} entries of {hosts} hosts: {differences} projections are not what the history says; {what_to_do}{found}"
    ));
    Ok(())
}
