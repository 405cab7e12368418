//! `import FILE`, and the import of `STATUS_FILE` at the first start: one way for both.

use super::{Database, Failure, Machine, Manner, inputs, say, wrong_setting};
use crate::config::ImportArgs;
use crate::domain::max_age::StaleAfter;
use crate::domain::report::{Report, Sender};
use crate::domain::shown::ShowPath as _;
use crate::ingest::status_file;
use crate::recorder::{RecordError, Recorder, Submission};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Servers taken over.
    pub recorded: usize,
    /// Servers that had been taken over before.
    pub known: usize,
}

/// Imports a file by hand.
pub async fn run(args: ImportArgs) -> Result<(), Failure> {
    let ages = args.database.stale_after()?;
    let path = &args.file;
    let bytes = inputs::read_given(path, inputs::STATUS_FILE_MOST);
    let bytes = bytes.map_err(|error| format!("{}: {error}", path.shown()))?;
    // Read before anything is created: a broken file changes nothing.
    let reports = status_file::parse(&bytes, &ages);
    let reports = reports.map_err(|problem| broken(path, &problem))?;
    // A person at the keyboard hears of a full disk from SQLite.
    let manner = Manner { read_deadline: super::PATIENCE, min_free: 0, alone: false };
    let url = &args.database.database_url;
    let database = Database::open(url, Machine::system(), manner).await?;
    let imported = record(reports, bytes.len(), &database.recorder).await;
    database.close().await;
    let Imported { recorded, known } = imported?;
    let path = path.shown();
    say::text(&format!("{path}: {recorded} recorded, {known} known already\n"))
}

/// `STATUS_FILE`, before it is imported into an empty database.
pub(super) struct FirstStart {
    path: PathBuf,
    reports: Vec<Report>,
    bytes: usize,
}

impl FirstStart {
    /// Reads the file. A missing or empty one is a fresh start; a broken one stops the start.
    pub fn read(path: &Path, ages: &StaleAfter) -> Result<Option<Self>, Failure> {
        let bytes = match inputs::read_set(path, inputs::STATUS_FILE_MOST) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                tracing::info!(file = %path.shown(), "no STATUS_FILE: a fresh start");
                return Ok(None);
            }
            Err(error) => {
                return Err(wrong_setting(format!("STATUS_FILE {}: {error}", path.shown())));
            }
        };
        let reports = status_file::parse(&bytes, ages);
        let reports =
            reports.map_err(|problem| format!("STATUS_FILE {}", broken(path, &problem)))?;
        Ok(Some(Self { path: path.to_owned(), reports, bytes: bytes.len() }))
    }

    /// Imports it; hands it back if the clock cannot be believed.
    pub async fn import(self, recorder: &Recorder) -> Result<Option<Self>, Failure> {
        match record(self.reports.clone(), self.bytes, recorder).await {
            Ok(Imported { recorded, .. }) => {
                let file = self.path.shown();
                tracing::info!(%file, servers = recorded, "STATUS_FILE imported");
                Ok(None)
            }
            Err(RecordError::Clock(_)) => Ok(Some(self)),
            Err(error) => Err(error.into()),
        }
    }
}

fn broken(path: &Path, problem: &str) -> String {
    format!("{}: {problem}; nothing was imported", path.shown())
}

/// All servers of a file in one transaction.
async fn record(
    reports: Vec<Report>,
    bytes: usize,
    recorder: &Recorder,
) -> Result<Imported, RecordError> {
    if reports.is_empty() {
        return Ok(Imported { recorded: 0, known: 0 });
    }
    let submission = Submission {
        reports,
        sender: Arc::new(Sender::default()),
        create_hosts: true,
        key: None,
        push: None,
        bytes: bytes.min(crate::recorder::QUEUE_MAX_BYTES),
    };
    let receipts = recorder.record(submission).await?;
    let known = receipts.iter().filter(|receipt| receipt.duplicate).count();
    Ok(Imported { recorded: receipts.len() - known, known })
}
