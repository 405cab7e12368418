//! The signing key's file: made at the first start, and renewed by `key rotate`.

use super::{Failure, inputs, outputs, say, wrong_setting};
use crate::config::{DatabaseArgs, KeyArgs, KeyCommand};
use crate::domain::checkpoint::SigningKeys;
use crate::domain::shown::ShowPath as _;
use crate::files::{Location, check_only, followed, sync_folder};
use crate::ledger::Dictionary;
use crate::projection::Writer;
use rand_core::OsRng;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Only the owner may read it.
const MODE: u32 = 0o600;
/// Bits that let others in.
const OTHERS: u32 = 0o077;

const HEAD: &str = "# Keys that sign this history's checkpoints, the newest first: a signing key, and its public key \
     behind it.\n# Keep this file secret, and back it up apart from the database.\n";

/// Where the key file is.
pub fn path(key: &KeyArgs, location: &Location) -> PathBuf {
    let set = key.signing_key_file.clone().filter(|path| !path.as_os_str().is_empty());
    followed(&set.unwrap_or_else(|| location.beside(".key")))
}

/// The keys of a history, made anew if there is no file and `fresh` says that there may be none.
pub fn load_or_create(path: &Path, origin: &str, fresh: bool) -> Result<SigningKeys, Failure> {
    let text = match inputs::read_set_text(path, inputs::NOTE_MOST) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && fresh => {
            let text = format!("{HEAD}{}", SigningKeys::generate(&mut OsRng, origin));
            write_new(path, &text)?;
            tracing::info!(file = %path.shown(), "made a key to sign checkpoints with; back it up apart from the database");
            text
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(format!(
                "{}: the signing key is missing, but checkpoints have been signed; put it back, or make a new one with `gitops-status-server key rotate --lost` and tell those who check signatures",
                path.shown()
            )
            .into());
        }
        Err(error) => return Err(unreadable(path, &error)),
    };
    warn_if_open(path);
    parse(path, &text, origin)
}

/// The keys in a file that must be there.
pub fn load(path: &Path, origin: &str) -> Result<SigningKeys, Failure> {
    parse(path, &read(path)?, origin)
}

fn read(path: &Path) -> Result<String, Failure> {
    inputs::read_set_text(path, inputs::NOTE_MOST).map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!(
            "{}: {error}; SIGNING_KEY_FILE names the key of this history; if it is lost: `key rotate --lost`",
            path.shown()
        )
        .into(),
        _ => unreadable(path, &error),
    })
}

/// What is no file is a wrong setting; what may not be read can be somebody's mistake with its rights.
fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let problem = format!("{}: {error}; is SIGNING_KEY_FILE right?", path.shown());
    match error.kind() {
        ErrorKind::InvalidInput => wrong_setting(format!("SIGNING_KEY_FILE {problem}")),
        _ => problem.into(),
    }
}

fn parse(path: &Path, text: &str, origin: &str) -> Result<SigningKeys, Failure> {
    let keys = SigningKeys::parse(text, origin);
    keys.map_err(|error| format!("{}: {error}; this history is {origin}", path.shown()).into())
}

fn warn_if_open(path: &Path) {
    let mode = std::fs::metadata(path).map_or(0, |file| file.permissions().mode());
    if mode & OTHERS != 0 {
        tracing::warn!(file = %path.shown(), "others may read the signing key; chmod 600 it");
    }
}

fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let written = || -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(MODE).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        sync_folder(path)
    };
    written().map_err(|error| {
        format!(
            "{}: {error}; the signing key must be kept, set SIGNING_KEY_FILE to where it can be",
            path.shown()
        )
        .into()
    })
}

/// `key show` and `key rotate`.
pub async fn run(command: KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::Show { database, key } => show(&database, &key).await,
        KeyCommand::Rotate { drop_old, lost, database, key } => {
            rotate(&database, &key, drop_old, lost).await
        }
    }
}

/// The public keys.
async fn show(database: &DatabaseArgs, key: &KeyArgs) -> Result<(), Failure> {
    let (path, origin) = place(database, key).await?;
    let keys = load(&path, &origin)?;
    let text = keys.public().join("\n") + "\n";
    say::text(&text)
}

/// A new key in front of the others, which go on signing; `drop_old`: in place of them;
/// `lost`: there are none any more.
async fn rotate(
    database: &DatabaseArgs,
    key: &KeyArgs,
    drop_old: bool,
    lost: bool,
) -> Result<(), Failure> {
    let (path, origin) = place(database, key).await?;
    let old = if lost {
        if path.exists() {
            return Err(format!("{}: the key is there; leave out --lost", path.shown()).into());
        }
        String::new()
    } else {
        load(&path, &origin)?;
        read(&path)?
    };
    let fresh = SigningKeys::generate(&mut OsRng, &origin);
    let kept = old.lines().filter(|line| !drop_old && !line.trim_start().starts_with('#'));
    let kept: String = kept.flat_map(|line| [line, "\n"]).collect();
    let named = |error: std::io::Error| format!("{}: {error}", path.shown());
    outputs::replace(&path, &format!("{HEAD}{fresh}{kept}"), MODE).map_err(named)?;
    let public = SigningKeys::parse(&fresh, &origin)?.public().join("\n");
    let path = path.shown();
    say::aside(&format!("{path}: a new key; the server signs with it when it is started again"));
    say::text(&format!("{public}\n"))
}

async fn place(database: &DatabaseArgs, key: &KeyArgs) -> Result<(PathBuf, Arc<str>), Failure> {
    let location = Location::parse(&database.database_url)?;
    check_only(&location).await?;
    let origin = Writer::look(&location, &Arc::new(Dictionary::default()))?.origin;
    Ok((path(key, &location), origin))
}
