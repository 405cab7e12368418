//! Checkpoints remembered beside the database, so that a history that shrank or was rolled back is
//! noticed at the next start. Whoever can write both files can deceive this; against them stand the
//! receipts and checkpoints that others hold.
//!
//! The file has one block for each checkpoint: a comment with the time, the signed note, an empty
//! line. The newest is last.

use super::{inputs, outputs};
use crate::domain::checkpoint::{Checkpoint, CheckpointError, SigningKeys};
use crate::domain::shown::ShowPath as _;
use crate::domain::time::Timestamp;
use crate::files::PRIVATE;
use std::io::ErrorKind;
use std::path::PathBuf;

/// How many are kept: the newest ones, and of older ones the last of each day.
const NEWEST_KEPT: usize = 60;

/// Bytes that the file has at most: a block has some 300.
const REMEMBERED_MOST: u64 = 64 << 20;

/// The file.
#[derive(Debug)]
pub struct Remembered {
    path: PathBuf,
    known: Vec<Block>,
}

/// A remembered checkpoint.
#[derive(Debug, Clone)]
pub struct Block {
    /// When it was signed.
    pub time: Timestamp,
    /// The note as signed.
    pub note: String,
    /// What it says.
    pub checkpoint: Checkpoint,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RememberError {
    #[error("{path}: {cause}", path = path.shown())]
    Io { path: PathBuf, cause: std::io::Error },
    #[error("{path}: it is not as the server writes it; if you know why, move the file away", path = path.shown())]
    Damaged { path: PathBuf },
    #[error("{path}: block {block}: {cause}; if you know why, move the file away", path = path.shown())]
    Block { path: PathBuf, block: usize, cause: CheckpointError },
}

impl Remembered {
    /// Reads the file; an absent one remembers nothing.
    pub fn read(path: PathBuf) -> Result<Self, RememberError> {
        let text = match inputs::read_set_text(&path, REMEMBERED_MOST) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Self { path, known: vec![] });
            }
            Err(cause) => return Err(RememberError::Io { path, cause }),
        };
        let mut known = Vec::new();
        for (at, block) in blocks(&text).enumerate() {
            let damaged = |cause| RememberError::Block { path: path.clone(), block: at + 1, cause };
            let (time, note) = block.split_once('\n').unwrap_or_default();
            let time = time.strip_prefix("# ").and_then(|time| Timestamp::parse(time).ok());
            let time = time.ok_or_else(|| damaged(CheckpointError::Malformed))?;
            let checkpoint = Checkpoint::read(note, None).map_err(damaged)?;
            known.push(Block { time, note: note.to_owned(), checkpoint });
        }
        let rises = |blocks: &[Block]| blocks[0].checkpoint.size <= blocks[1].checkpoint.size;
        // It is replaced whole, and never without a block.
        if !text.starts_with("# ") || !known.windows(2).all(rises) {
            return Err(RememberError::Damaged { path });
        }
        Ok(Self { path, known })
    }

    /// All that is remembered, the newest last.
    pub fn known(&self) -> &[Block] {
        &self.known
    }

    /// The newest.
    pub fn newest(&self) -> Option<&Checkpoint> {
        self.known.last().map(|block| &block.checkpoint)
    }

    /// Remembers one more, on disk, unless nothing has changed.
    pub async fn add(
        &mut self,
        checkpoint: Checkpoint,
        keys: &SigningKeys,
        now: Timestamp,
    ) -> Result<(), RememberError> {
        if self.newest() == Some(&checkpoint) {
            return Ok(());
        }
        let note = keys.sign(&checkpoint);
        self.known.push(Block { time: now, note, checkpoint });
        self.thin_out();
        let text: String = self.known.iter().map(Block::text).collect();
        let path = self.path.clone();
        let written = move || outputs::replace(&path, &text, PRIVATE);
        let written = tokio::task::spawn_blocking(written).await;
        let written = written.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        written.map_err(|cause| RememberError::Io { path: self.path.clone(), cause })
    }

    fn thin_out(&mut self) {
        let older = self.known.len().saturating_sub(NEWEST_KEPT);
        let days: Vec<_> = self.known.iter().map(|b| b.time.calendar().date_naive()).collect();
        let mut at = 0;
        self.known.retain(|_| {
            at += 1;
            at > older || days[at - 1] != days[at]
        });
    }
}

impl Block {
    fn text(&self) -> String {
        format!("# {}\n{}\n", self.time, self.note)
    }
}

/// Each block begins with a comment.
fn blocks(text: &str) -> impl Iterator<Item = &str> {
    let starts = text.match_indices("# ").filter(|(at, _)| *at == 0 || text[..*at].ends_with('\n'));
    let starts: Vec<usize> = starts.map(|(at, _)| at).collect();
    let ends: Vec<usize> = starts.iter().skip(1).copied().chain([text.len()]).collect();
    starts.into_iter().zip(ends).map(|(start, end)| {
        let block = &text[start..end];
        block.strip_suffix('\n').unwrap_or(block)
    })
}
