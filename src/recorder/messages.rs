//! What the recorder is asked, and what it answers.

use crate::domain::names::HostKey;
use crate::domain::push::Push;
use crate::domain::report::{Report, Sender};
use crate::domain::state::{HostState, Judgement};
use std::sync::Arc;

/// What one request asks to be recorded, whole or not at all.
#[derive(Debug)]
pub struct Submission {
    /// The reports in order.
    pub reports: Vec<Report>,
    /// Who hands them in.
    pub sender: Arc<Sender>,
    /// Whether checks may create hosts.
    pub create_hosts: bool,
    /// The request's Idempotency-Key.
    pub key: Option<IdempotencyKey>,
    /// What a push says beside its reports.
    pub push: Option<Push>,
    /// Bytes of the body, for the queue's bound.
    pub bytes: usize,
}

/// An Idempotency-Key header and what it was sent with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The access token's name, empty without one.
    pub token: String,
    /// The key.
    pub key: String,
    /// Digest of route and body, hex.
    pub body: String,
}

/// The answer to one report.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The entry's id.
    pub id: u64,
    /// The entry's leaf hash.
    pub hash: [u8; 32],
    /// Whether it was there already.
    pub duplicate: bool,
    /// What was judged at its arrival.
    pub judgement: Judgement,
    /// Whether its time lies further ahead of ours than is plausible.
    pub ahead: bool,
    /// The host's state right after it.
    pub state: Arc<HostState>,
}

/// Why nothing of a request was recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Checks of hosts that do not exist: their places in the request, and their names.
    #[error("unknown hosts")]
    UnknownHosts(Vec<(usize, HostKey)>),
    /// The Idempotency-Key was used with another body.
    #[error("the Idempotency-Key was used with another body")]
    KeyReused,
    /// The queue is full; nothing is stored.
    #[error("the queue is full")]
    Busy,
    /// Too little room on the disk; nothing is stored.
    #[error("the disk is nearly full")]
    DiskFull,
    /// The database did not take it; nothing is stored.
    #[error("the database did not take it")]
    NotStored,
    /// The commit itself failed: it may be stored or not.
    #[error("the commit failed")]
    Unknown,
}
