//! Arguments of the commands beside `serve`.

use super::database::{DatabaseArgs, KeyArgs};
use super::tokens::{parse_group, parse_scope, parse_token_name};
use super::values::{Room, parse_pair};
use crate::domain::access::Scope;
use crate::http::history::Format;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Arguments of `import`.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// The status file.
    pub file: PathBuf,
    /// Where the history is, and how long a word is good for.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Arguments of `export`: the parameters of `GET /history`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// csv: items for tables. ndjson: the canonical lines that auditors hash.
    #[arg(long, default_value = "csv")]
    pub format: ExportFormat,
    /// The file to write (default: standard output). It appears when it is complete.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Earliest time, inclusive: 2026-07-01, RFC 3339, seconds, milliseconds, or now-90d.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Latest time, exclusive.
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Only entries that opened, changed or closed something.
    #[arg(long)]
    pub changes_only: bool,
    /// desc (newest first, the default by time) or asc.
    #[arg(long, value_name = "ORDER")]
    pub order: Option<String>,
    /// time (default) or id.
    #[arg(long, value_name = "KEY")]
    pub sort: Option<String>,
    /// Rows at most (1 to 10,000).
    #[arg(long, value_name = "N")]
    pub limit: Option<String>,
    /// Also write FILE.manifest.json, with which `verify --export FILE` can tell that these lines are
    /// what was recorded, although others are left out. With --format ndjson and --output.
    #[arg(long, requires = "output")]
    pub proof: bool,
    /// The key that the manifest's checkpoint is signed with.
    #[command(flatten)]
    pub key: KeyArgs,
    /// CSV without the guard against formulas in spreadsheets.
    #[arg(long)]
    pub raw: bool,
    /// Any other filter of GET /history as NAME=VALUE; may be repeated: --filter server_group=web
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    pub filter: Vec<(String, String)>,
    /// Where the history is.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

impl ExportArgs {
    /// As parameters of `GET /history`.
    pub fn pairs(&self) -> Vec<(String, String)> {
        let mut pairs = self.filter.clone();
        for (name, value) in [
            ("from", &self.from),
            ("to", &self.to),
            ("order", &self.order),
            ("sort", &self.sort),
            ("limit", &self.limit),
        ] {
            pairs.extend(value.iter().map(|value| (name.to_owned(), value.clone())));
        }
        for (name, flag) in [("changes_only", self.changes_only), ("raw", self.raw)] {
            if flag {
                pairs.push((name.to_owned(), "true".to_owned()));
            }
        }
        pairs
    }

    /// Whether every entry is asked for.
    pub fn is_whole(&self) -> bool {
        self.filter.is_empty()
            && self.from.is_none()
            && self.to.is_none()
            && self.limit.is_none()
            && !self.changes_only
    }
}

/// Arguments of `review`: the parameters of `GET /reviews`.
#[derive(Debug, Clone, Args)]
pub struct ReviewArgs {
    /// The period, UTC: 2026, 2026-Q3, 2026-07, last-quarter, this-month … Without it, --from (and --to).
    pub period: Option<String>,
    /// text: a page to read. csv and json: as GET /reviews answers.
    #[arg(long, default_value = "text")]
    pub format: ReviewFormat,
    /// The beginning, inclusive: 2026-07-01, RFC 3339, seconds, milliseconds, or now-90d.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// The end, exclusive (default: now).
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// What csv and json are grouped by: server_group (default), host, environment, server_type,
    /// repo_name or file.
    #[arg(long, value_name = "KEY")]
    pub group_by: Option<String>,
    /// Only entries up to this id count: the review as it was when that was the newest.
    #[arg(long, value_name = "ID")]
    pub as_of: Option<String>,
    /// A filter on hosts as NAME=VALUE; may be repeated: --filter server_group=web
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    pub filter: Vec<(String, String)>,
    /// Where the history is.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

impl ReviewArgs {
    /// As parameters of `GET /reviews`.
    pub fn pairs(&self) -> Vec<(String, String)> {
        let mut pairs = self.filter.clone();
        for (name, value) in [
            ("from", &self.from),
            ("to", &self.to),
            ("group_by", &self.group_by),
            ("as_of", &self.as_of),
        ] {
            pairs.extend(value.iter().map(|value| (name.to_owned(), value.clone())));
        }
        pairs
    }
}

/// What a review is printed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReviewFormat {
    /// A page to read.
    Text,
    /// A row for each item.
    Csv,
    /// Items and totals.
    Json,
}

/// Arguments of `backup`.
#[derive(Debug, Clone, Args)]
pub struct BackupArgs {
    /// The file to write.
    pub file: PathBuf,
    /// Replace FILE if it is there already.
    #[arg(long)]
    pub force: bool,
    /// Bytes that must stay free on the database's disk and on FILE's: the backup gives up before.
    #[arg(long, env = "MIN_FREE_BYTES", default_value = "64MiB", value_name = "BYTES")]
    pub min_free_bytes: Room,
    /// The key, which no backup replaces.
    #[command(flatten)]
    pub key: KeyArgs,
    /// Where the history is.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Arguments of `restore`.
#[derive(Debug, Clone, Args)]
pub struct RestoreArgs {
    /// The backup. It is only read.
    pub file: PathBuf,
    /// Replace the database that is there; it is kept as DATABASE.replaced-TIME.
    #[arg(long)]
    pub replace: bool,
    /// The key, to remember how far the database came that is replaced.
    #[command(flatten)]
    pub key: KeyArgs,
    /// Where the history is to be.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// What `key` does.
#[derive(Debug, Clone, Subcommand)]
pub enum KeyCommand {
    /// Print the public keys, the newest first: for those who check signatures.
    Show {
        /// Whose.
        #[command(flatten)]
        database: DatabaseArgs,
        /// The key file.
        #[command(flatten)]
        key: KeyArgs,
    },
    /// Make a new key and print its public half. The server signs with it after its next start.
    ///
    /// The older keys go on signing beside it, so that whoever knows only them can check what is new.
    Rotate {
        /// Sign with the new key only, because an older one got into other hands.
        #[arg(long)]
        drop_old: bool,
        /// The older key is lost: make a new file.
        #[arg(long)]
        lost: bool,
        /// Whose.
        #[command(flatten)]
        database: DatabaseArgs,
        /// The key file.
        #[command(flatten)]
        key: KeyArgs,
    },
}

/// Arguments of `verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// Only hash every entry anew and compare with the Merkle tree and remembered checkpoints.
    #[arg(long, conflicts_with = "export")]
    pub tree: bool,
    /// Only fold the history anew and compare with current state, segments and episodes.
    #[arg(long, conflicts_with = "export")]
    pub refold: bool,
    /// A receipt as clients print it: "ORIGIN ID HASH"; may be repeated.
    #[arg(long, value_name = "RECEIPT")]
    pub receipt: Vec<String>,
    /// A log with receipts in it, a CI job's say; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub receipts: Vec<PathBuf>,
    /// A checkpoint as GET /checkpoint gave it; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Vec<PathBuf>,
    /// The public key that checkpoints are to be signed with, or a file with some.
    #[arg(long, value_name = "KEY|FILE")]
    pub key: Option<String>,
    /// Check this NDJSON export instead of the database.
    #[arg(long, value_name = "FILE")]
    pub export: Option<PathBuf>,
    /// The manifest of the export [default: the export's name with .manifest.json behind it, if there
    /// is such a file].
    #[arg(long, value_name = "FILE", requires = "export")]
    pub manifest: Option<PathBuf>,
    /// Where the history is.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// What is done about tokens.
#[derive(Debug, Clone, Subcommand)]
pub enum TokenCommand {
    /// Print a new token, and below it its entry for TOKENS_FILE, which does not hold the token.
    ///
    /// The token stands on the first line and is shown this once. Nothing is written to any file.
    New(NewTokenArgs),
    /// Read a token from standard input, and print its SHA-256 for TOKENS_FILE.
    Hash,
}

/// Arguments of `token new`.
#[derive(Debug, Clone, Args)]
pub struct NewTokenArgs {
    /// Its name: reported_by of what it hands in.
    #[arg(value_parser = parse_token_name)]
    pub name: String,
    /// What it may do: report, read, metrics, admin. May be repeated, or a list with commas.
    #[arg(long, alias = "scopes", value_name = "SCOPE", default_value = "report", value_delimiter = ',', value_parser = parse_scope)]
    pub scope: Vec<Scope>,
    /// Groups that it may report for, by pattern: rsyslog-*. May be repeated (default: all groups).
    #[arg(long, value_name = "PATTERN", value_parser = parse_group)]
    pub group: Vec<String>,
    /// When it expires: 2027-06-30, RFC 3339, or from now on: 90d, 1y (default: never).
    #[arg(long, value_name = "TIME")]
    pub expires: Option<String>,
}

/// Arguments of `healthcheck`.
#[derive(Debug, Clone, Args)]
pub struct HealthcheckArgs {
    /// Port the server listens on.
    #[arg(long, env = "API_PORT", default_value_t = 5000, value_name = "PORT")]
    pub api_port: u16,
}

/// What an export is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// Items.
    Csv,
    /// Canonical lines.
    Ndjson,
}

impl From<ExportFormat> for Format {
    fn from(format: ExportFormat) -> Self {
        match format {
            ExportFormat::Csv => Self::Csv,
            ExportFormat::Ndjson => Self::Ndjson,
        }
    }
}
