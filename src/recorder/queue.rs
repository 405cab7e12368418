//! What waits for the recorder.

use super::messages::{Act, ActError, ActReceipt, Receipt, RecordError, Submission};
use crate::ledger::Rejection;
use tokio::sync::oneshot;

/// One thing to do, and where the answer goes.
pub(super) enum Job {
    Record(Submission, oneshot::Sender<Result<Vec<Receipt>, RecordError>>),
    Reject(Vec<Rejection>, usize, oneshot::Sender<()>),
    Probe(oneshot::Sender<bool>),
    Act(Act, oneshot::Sender<Result<ActReceipt, ActError>>),
}
