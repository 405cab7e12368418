//! What handlers work with.

use super::body::BodyBudget;
use super::lanes::Lanes;
use super::metrics::Meters;
use super::prepared::PreparedStatus;
use super::tokens::Tokens;
use crate::board::Board;
use crate::domain::checkpoint::SigningKeys;
use crate::domain::max_age::StaleAfter;
use crate::domain::time::Timestamp;
use crate::files::Space;
use crate::recorder::{Clock, Recorder};
use crate::views::Readers;
use ipnet::IpNet;
use std::sync::Arc;
use url::Url;

/// What handlers work with. One for all workers.
pub struct AppState {
    /// The write path.
    pub recorder: Recorder,
    /// Every host's state.
    pub board: Arc<Board>,
    /// Raw history.
    pub readers: Arc<Readers>,
    /// What checkpoints are signed with.
    pub keys: Arc<SigningKeys>,
    /// The clock.
    pub clock: Clock,
    /// The room on the database's disk.
    pub space: Arc<Space>,
    /// How the outside is let in.
    pub rules: Rules,
    pub(super) budget: BodyBudget,
    pub(super) lanes: Lanes,
    pub(super) status: PreparedStatus,
    pub(super) meters: Meters,
}

/// Settings that decide what a request may do.
#[derive(Debug, Clone)]
pub struct Rules {
    /// `max_age` for reports that bring none.
    pub stale_after: StaleAfter,
    /// Whether checks may create hosts.
    pub cron_creates_hosts: bool,
    /// Bytes a body may have.
    pub max_body_bytes: usize,
    /// The job whose stacks `/metrics` shows as `drift_stack_*`; empty for none.
    pub pushgateway_compat_job: String,
    /// Whose `X-Forwarded-For` and `X-Forwarded-Host` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The server's address as people see it, if the operator has said it.
    pub public_url: Option<Url>,
    /// Who may do what.
    pub tokens: Tokens,
}

impl AppState {
    /// Puts the parts together.
    pub fn new(
        recorder: Recorder,
        board: Arc<Board>,
        readers: Arc<Readers>,
        keys: Arc<SigningKeys>,
        clock: Clock,
        space: Arc<Space>,
        rules: Rules,
    ) -> Self {
        let (budget, status) = (BodyBudget::default(), PreparedStatus::default());
        let (lanes, meters) = (Lanes::default(), Meters::new());
        Self { recorder, board, readers, keys, clock, space, rules, budget, lanes, status, meters }
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }
}
