//! `TOKENS_FILE`: read at the start, and again whenever it has something else in it.
//!
//! Contents are compared, not times: a Secret of Kubernetes is exchanged by swapping a link.

use super::{Failure, WrongSetting, inputs};
use crate::config::tokens::{FILE_MAX_BYTES, parse};
use crate::domain::shown::ShowPath as _;
use crate::http::Tokens;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What the file held, or why it could not be read.
type Found = Result<Vec<u8>, String>;

/// Looks at the file while the server runs.
pub struct Watch {
    path: PathBuf,
    tokens: Tokens,
    /// What was judged last.
    judged: Found,
    /// What was found last. It is judged when it is found twice: a file may just be being written.
    found: Found,
}

/// Reads the file before anything is touched. Without one, everything is open.
pub fn load(path: Option<&Path>) -> Result<(Tokens, Option<Watch>), Failure> {
    let Some(path) = path else { return Ok((Tokens::default(), None)) };
    let wrong = |why: String| WrongSetting(named(path, &why));
    let found = read(path).map_err(wrong)?;
    let tokens = Tokens::new(parse(&found).map_err(wrong)?);
    let (path, judged) = (path.to_owned(), Ok(found.clone()));
    let watch = Watch { path, tokens: tokens.clone(), judged, found: Ok(found) };
    Ok((tokens, Some(watch)))
}

/// Says in the log who may do what without a token.
pub fn tell(tokens: &Tokens) {
    let Some(set) = tokens.in_force() else {
        tracing::warn!(
            "TOKENS_FILE is not set: whoever reaches this address may report, read, and retire hosts"
        );
        return;
    };
    let without = match &set.anonymous {
        Some(grant) => grant.to_string(),
        None => "nothing but /, health, documentation and checkpoints".into(),
    };
    tracing::info!(
        tokens = set.tokens.len(),
        without_token = without,
        "access tokens are in force"
    );
}

impl Watch {
    /// Looks until it is dropped.
    pub async fn run(mut self) {
        let mut ticks = tokio::time::interval(LOOK);
        loop {
            ticks.tick().await;
            let path = self.path.clone();
            // The file may lie on a disk that does not answer.
            let Ok(found) = tokio::task::spawn_blocking(move || read(&path)).await else { return };
            self.look(found);
        }
    }

    fn look(&mut self, found: Found) {
        let settled = found == self.found;
        self.found = found;
        if !settled || self.found == self.judged {
            return;
        }
        self.judged = self.found.clone();
        match self.judged.as_deref().map_err(String::clone).and_then(parse) {
            Ok(set) => {
                self.tokens.replace(set);
                tell(&self.tokens);
            }
            Err(why) => {
                self.tokens.outdated();
                let why = named(&self.path, &why);
                tracing::error!("{why}; the tokens that were in force stay in force");
            }
        }
    }
}

/// Reads it, but no more of it than it may have.
fn read(path: &Path) -> Found {
    inputs::read_set(path, FILE_MAX_BYTES as u64).map_err(|error| error.to_string())
}

fn named(path: &Path, why: &str) -> String {
    format!("TOKENS_FILE {}: {why}", path.shown())
}
