//! What the server knows of its own past when it starts, and what it leaves behind for the next start.

use super::remembered::Remembered;
use super::{Database, Failure, keys, outputs, say, system_clock};
use crate::config::{DatabaseArgs, KeyArgs};
use crate::domain::checkpoint::{Checkpoint, SigningKeys};
use crate::domain::shown::ShowPath as _;
use crate::domain::tree::Question;
use crate::files::{Hold, Location, Role};
use crate::ledger::{TreeHead, note_signed};
use crate::recorder::Clock;
use crate::views::Readers;
use std::sync::Arc;
use std::time::Duration;

/// How often the newest checkpoint is remembered, if there is a newer one.
const INTERVAL: Duration = Duration::from_mins(1);

/// Keys, and remembered checkpoints.
pub struct Trust {
    /// What checkpoints are signed with.
    pub keys: Arc<SigningKeys>,
    remembered: Remembered,
    readers: Arc<Readers>,
    clock: Clock,
    /// Whether the history could be compared with what is remembered. If not, nothing newer is
    /// remembered: it would hide what has not been compared.
    comparable: bool,
}

impl Trust {
    /// Reads (or makes) the keys, and compares the history with what is remembered of it.
    pub async fn open(
        database: &Database,
        location: &Location,
        key: &KeyArgs,
        clock: Clock,
    ) -> Result<Self, Failure> {
        let remembered = Remembered::read(location.remembered())?;
        let origin = database.recorder.origin();
        let readers = database.readers.clone();
        let head = readers.tree_head().await?;
        let comparable = match remembered.newest() {
            Some(newest) => compare(&readers, &head, newest, location).await?,
            None => true,
        };
        let fresh = remembered.known().is_empty() && !head.signed;
        let keys = keys::load_or_create(&keys::path(key, location), origin, fresh)?;
        if !head.signed {
            note_signed(location).await?;
        }
        let mut trust = Self { keys: Arc::new(keys), remembered, readers, clock, comparable };
        if comparable {
            trust.add(head).await?;
        }
        Ok(trust)
    }

    /// Remembers the newest checkpoint.
    pub async fn remember(&mut self) -> Result<(), Failure> {
        if !self.comparable {
            return Ok(());
        }
        let head = self.readers.tree_head().await?;
        self.add(head).await
    }

    async fn add(&mut self, head: TreeHead) -> Result<(), Failure> {
        let (size, root) = (head.tree.size(), head.tree.root());
        let checkpoint = Checkpoint { origin: head.origin, size, root };
        self.remembered.add(checkpoint, &self.keys, (self.clock)()).await?;
        Ok(())
    }

    /// Goes on remembering until it is dropped.
    pub async fn keep_remembering(&mut self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            if let Err(error) = self.remember().await {
                tracing::warn!(%error, "the newest checkpoint is not remembered");
            }
        }
    }
}

/// An error if the history does not go on where a remembered checkpoint was; `false` if that cannot be
/// told because an entry is damaged.
async fn compare(
    readers: &Readers,
    head: &TreeHead,
    newest: &Checkpoint,
    location: &Location,
) -> Result<bool, Failure> {
    let (path, size) = (location.path.shown(), head.tree.size());
    let file = location.remembered();
    let what_to_do = format!(
        "restore the newer database; or, if this one is right, run `gitops-status-server accept-rollback` (it keeps {} under another name)",
        file.shown()
    );
    if head.origin != newest.origin {
        let (now, then) = (&head.origin, &newest.origin);
        return Err(format!("{path}: this is the history {now}, but the checkpoints beside it are of {then}; {what_to_do}").into());
    }
    if size < newest.size {
        let then = newest.size;
        return Err(format!("{path}: the history has {size} entries, but it had {then}: an older copy, or its end is lost; {what_to_do}").into());
    }
    let then = newest.size;
    let root = if size == then {
        head.tree.root()
    } else {
        // The part of it that is not kept is hashed anew, which a damaged entry would falsify.
        let consequence = "whether the history goes on where it was cannot be told, and no newer checkpoint is remembered; run `verify`";
        match readers.damaged(&head.origin, then).await {
            Ok(None) => {}
            Ok(Some(id)) => {
                tracing::error!(
                    id,
                    "an entry is not what was recorded under its id: {consequence}"
                );
                return Ok(false);
            }
            Err(error) => {
                tracing::error!(%error, "the newest entries cannot be read: {consequence}");
                return Ok(false);
            }
        }
        readers.prove(&head.origin, Question::Root(then)).await?[0]
    };
    if root != newest.root {
        return Err(format!("{path}: the first {then} entries are not those that were there; run `gitops-status-server verify`, which names the first; then {what_to_do}").into());
    }
    Ok(true)
}

/// `accept-rollback`: puts the remembered checkpoints aside, so that the server starts with the history
/// as it is.
pub async fn run_accept_rollback(args: DatabaseArgs) -> Result<(), Failure> {
    let location = Location::parse(&args.database_url)?;
    let _hold = Hold::take(&location, Role::AcceptRollback).await?;
    let remembered = Remembered::read(location.remembered())?;
    let Some(newest) = remembered.newest() else {
        return Err(
            format!("{}: no checkpoint is remembered", location.remembered().shown()).into()
        );
    };
    let time = system_clock()().calendar().format("%Y%m%dT%H%M%SZ");
    let aside = outputs::unused(&location.beside(&format!(".checkpoints.until-{time}")));
    std::fs::rename(location.remembered(), &aside)?;
    say::aside(&format!(
        "{}: kept. Receipts and checkpoints of the {} entries it knew may contradict the history from now on; keep this file to show why",
        aside.shown(),
        newest.size
    ));
    Ok(())
}
