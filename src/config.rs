//! Settings: the command line and the environment, parsed once. `--help` is the reference, so the
//! comments here are what an operator reads.

mod database;
mod offline;
pub mod tokens;
mod values;

pub use database::{DatabaseArgs, KeyArgs};
pub use offline::{
    BackupArgs, ExportArgs, ExportFormat, HealthcheckArgs, ImportArgs, KeyCommand, NewTokenArgs,
    RestoreArgs, ReviewArgs, ReviewFormat, TokenCommand, VerifyArgs,
};
pub use values::{Bytes, LogFormat, Networks, PublicUrl, Room};

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use values::parse_bool;

/// Records every drift report of CI pipelines and cron checks, and answers whether each machine
/// still matches Git and what has happened since.
///
/// Without a subcommand it serves.
#[derive(Debug, Parser)]
#[command(
    name = "gitops-status-server",
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings of `serve`, which is what happens without a subcommand.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API (what happens without a subcommand).
    Serve(ServeArgs),
    /// Take over a v1 or v2 status file: each server becomes one report of source import.
    ///
    /// All of the file is recorded, or nothing. Running it twice adds nothing. The server may run
    /// meanwhile; it notices within a second.
    Import(ImportArgs),
    /// Write the history to a file, the same rows as GET /history?format=csv (or ndjson).
    ///
    /// The server may run meanwhile: an export shows the history as it was when it began.
    Export(ExportArgs),
    /// Print the review of a period: what every host's time was, and which drifts there were.
    ///
    /// The same as GET /reviews; as text, a page for a meeting. The server may run meanwhile.
    Review(ReviewArgs),
    /// Copy the database into a file, whole and checked; the server may run and write meanwhile.
    ///
    /// FILE appears when the copy is complete, synced and verified: its pages, and current state,
    /// segments and episodes against the history. A copy that is not right is kept as FILE.unverified.
    Backup(BackupArgs),
    /// Put a backup in the database's place. Stop the server first.
    ///
    /// The backup is copied, brought up to date and verified before anything is replaced. An existing
    /// database is only replaced with --replace, and kept under another name.
    Restore(RestoreArgs),
    /// Check what is written down.
    ///
    /// Without further words: every entry against the Merkle tree and the checkpoints remembered beside
    /// the database, then current state, segments and episodes against the history folded anew. With
    /// --receipt or --receipts: those. With --export: a file, without any database. Exit code 0 if all
    /// is right, 1 if not, and then the first entry concerned is named; 2 if it could not be checked.
    /// Changes nothing; the server may run.
    Verify(VerifyArgs),
    /// The keys that checkpoints are signed with.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Let the server start although its history is not the one it remembers: an older backup, say.
    ///
    /// Puts the remembered checkpoints beside the database aside. Reports that came after the backup
    /// stay lost, and receipts of theirs contradict the history from then on. Stop the server first.
    AcceptRollback(DatabaseArgs),
    /// Write current state, segments and episodes anew from the history, in one transaction.
    ///
    /// The history itself is not touched. Stop the server first.
    Rebuild(DatabaseArgs),
    /// Make access tokens for TOKENS_FILE.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Print the OpenAPI document.
    Openapi,
    /// Ask the server on this machine whether it is ready; exit code 0 if it is, 1 if not.
    Healthcheck(HealthcheckArgs),
}

/// Settings of `serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Address to listen on.
    #[arg(long, env = "API_HOST", default_value = "0.0.0.0", value_name = "ADDRESS")]
    pub api_host: String,
    /// Port to listen on.
    #[arg(long, env = "API_PORT", default_value_t = 5000, value_name = "PORT")]
    pub api_port: u16,
    /// Where the history is, and how long a word is good for.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// What checkpoints are signed with.
    #[command(flatten)]
    pub key: KeyArgs,
    /// A v1 or v2 status.json, imported once, at the first start on an empty database. A missing or
    /// empty file is a fresh start; a broken one stops the start.
    #[arg(long, env = "STATUS_FILE", value_name = "FILE")]
    pub status_file: Option<PathBuf>,
    /// Whether a cron report may create its host (a request may ask for it too: ?create=true).
    #[arg(long, env = "CRON_CREATES_HOSTS", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", value_parser = parse_bool, value_name = "BOOL")]
    pub cron_creates_hosts: bool,
    /// Bytes a request's body may have; larger ones are answered 413.
    #[arg(long, env = "MAX_BODY_BYTES", default_value = "1MiB", value_name = "BYTES")]
    pub max_body_bytes: Bytes,
    /// Bytes that must stay free on the database's disk: below, reports are refused (503) and reads go
    /// on. 0 for none.
    #[arg(long, env = "MIN_FREE_BYTES", default_value = "64MiB", value_name = "BYTES")]
    pub min_free_bytes: Room,
    /// The one pushed job whose stacks GET /metrics shows as drift_stack_*{stack="…"}; empty for none.
    #[arg(
        long,
        env = "PUSHGATEWAY_COMPAT_JOB",
        default_value = "drift-detection",
        value_name = "JOB"
    )]
    pub pushgateway_compat_job: String,
    /// Who may do what, by access token; read again when it changes. Without it the server is open to
    /// whoever reaches it. `gitops-status-server token new` makes its entries.
    #[arg(long, env = "TOKENS_FILE", value_name = "FILE")]
    pub tokens_file: Option<PathBuf>,
    /// Proxies whose X-Forwarded-For is believed for remote_address, and whose X-Forwarded-Host names
    /// the host asked: addresses or networks, separated by commas.
    #[arg(
        long,
        env = "TRUSTED_PROXIES",
        default_value = "",
        hide_default_value = true,
        value_name = "LIST"
    )]
    pub trusted_proxies: Networks,
    /// This server's address as people see it, like `https://status.example.org/gitops`: pages under it
    /// may write. Needed where a proxy changes the name it passes on.
    #[arg(
        long,
        env = "PUBLIC_URL",
        default_value = "",
        hide_default_value = true,
        value_name = "URL"
    )]
    pub public_url: PublicUrl,
    /// How long one question to the history may take before it is refused as too wide.
    #[arg(long, env = "READ_DEADLINE", default_value = "2s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub read_deadline: std::time::Duration,
    /// Threads that answer requests (0: one for each processor).
    #[arg(long, env = "API_WORKERS", default_value_t = 0, value_name = "N")]
    pub api_workers: u16,
    /// Connections that may be open at once. Further clients wait until one of them is closed.
    #[arg(long, env = "MAX_CONNECTIONS", default_value_t = 1024, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub max_connections: usize,
    /// Form of the log on standard error. Its detail is set by RUST_LOG (error, warn, info, debug).
    #[arg(long, env = "LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
}

impl ServeArgs {
    /// Threads that answer requests.
    pub fn workers(&self) -> usize {
        match self.api_workers {
            0 => std::thread::available_parallelism().map_or(2, usize::from),
            workers => usize::from(workers),
        }
    }

    /// What can only be judged beyond a single value. One line that names the setting.
    pub fn check(&self) -> Result<(), String> {
        self.database.check()
    }
}
