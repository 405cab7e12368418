//! What every command that opens the database is told of it.

use crate::domain::max_age::StaleAfter;
use crate::files::Location;
use clap::Args;
use std::path::PathBuf;

/// Where the history is, and how long a report's word is good for.
#[derive(Debug, Clone, Args)]
pub struct DatabaseArgs {
    /// The database: sqlite://RELATIVE/PATH or sqlite:///ABSOLUTE/PATH. Created with its folder.
    #[arg(
        long,
        env = "DATABASE_URL",
        default_value = "sqlite://data/gitops-status.db",
        value_name = "URL"
    )]
    pub database_url: String,
    /// How long a report's word is good for if the report does not say (its max_age).
    #[arg(long, env = "STALE_AFTER", default_value = "26h", value_name = "DURATION")]
    pub stale_after: String,
    /// The same for groups, by pattern, first match decides: rsyslog-*=10m,stacks=26h
    #[arg(
        long,
        env = "STALE_AFTER_GROUPS",
        default_value = "",
        hide_default_value = true,
        value_name = "LIST"
    )]
    pub stale_after_groups: String,
}

impl DatabaseArgs {
    /// Judges these settings. One line that names the one at fault.
    pub fn check(&self) -> Result<(), String> {
        self.stale_after()?;
        Location::parse(&self.database_url).map_err(|error| error.to_string())?;
        Ok(())
    }

    /// The two settings together.
    pub fn stale_after(&self) -> Result<StaleAfter, String> {
        StaleAfter::parse(&self.stale_after, &self.stale_after_groups)
    }
}

/// Where the signing key is.
#[derive(Debug, Clone, Args)]
pub struct KeyArgs {
    /// The key that checkpoints are signed with: created at the first start, for its owner only.
    /// [default: the database's name with .key behind it]
    #[arg(long, env = "SIGNING_KEY_FILE", value_name = "FILE")]
    pub signing_key_file: Option<PathBuf>,
}
