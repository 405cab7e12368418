//! What the recorder is asked, and what it answers.

use super::watch::ClockFault;
use crate::domain::names::HostKey;
use crate::domain::push::Push;
use crate::domain::report::{Report, Sender};
use crate::domain::state::{HostState, Judgement};
use crate::domain::time::MINUTE;
use std::sync::Arc;

/// A report further ahead of our clock than this draws a warning, in microseconds.
pub const AHEAD_TOLERANCE: i64 = 5 * MINUTE;

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
    /// Bytes that it takes, about, for the queue's bound: of the body, or more.
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
    /// The clock cannot be believed; nothing is stored.
    #[error("{0}; nothing was stored: {remedy}", remedy = .0.remedy())]
    Clock(ClockFault),
    /// The database did not take it; nothing is stored.
    #[error("the database did not take it")]
    NotStored,
    /// The commit itself failed: it may be stored or not.
    #[error("the commit failed")]
    Unknown,
}

/// What a person asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// The host is no more.
    Retire {
        /// Why, in the person's words.
        reason: Option<String>,
    },
    /// The host used to have another name, whose entries fold into it.
    Alias {
        /// The former name.
        of: HostKey,
    },
}

/// An act on a host.
#[derive(Debug, Clone)]
pub struct Act {
    /// The host (its new name).
    pub key: HostKey,
    /// What is done to it.
    pub deed: Deed,
    /// Who does it.
    pub sender: Arc<Sender>,
}

/// The answer to an act.
#[derive(Debug, Clone)]
pub struct ActReceipt {
    /// The entry's id.
    pub id: u64,
    /// The entry's leaf hash.
    pub hash: [u8; 32],
    /// The host's state after it.
    pub state: Option<Arc<HostState>>,
}

/// Why an act was not recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// There is no such host.
    #[error("unknown host")]
    Unknown(HostKey),
    /// The host has another name now.
    #[error("{} is called {} now", show(.0), show(.1))]
    Renamed(HostKey, HostKey),
    /// The host is retired already.
    #[error("{} is retired already", show(.0))]
    Retired(HostKey),
    /// A name cannot become a former name of itself.
    #[error("{} would fold into itself", show(.0))]
    Cycle(HostKey),
    /// As for reports.
    #[error(transparent)]
    Failed(#[from] RecordError),
}

fn show(key: &HostKey) -> String {
    format!("{}/{}", key.server_group, key.host)
}
