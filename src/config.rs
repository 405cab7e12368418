//! Settings: the command line and the environment, parsed once. `--help` is the reference, so the
//! comments here are what an operator reads.

use crate::domain::max_age::StaleAfter;
use crate::http::history::Format;
use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use std::path::PathBuf;
use std::str::FromStr;

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
    /// Check what is written down.
    ///
    /// With --refold: fold the history anew and compare current state, segments and episodes with
    /// what is stored. Exit code 0 if all is right, 1 if not. Changes nothing; the server may run.
    Verify(VerifyArgs),
    /// Write current state, segments and episodes anew from the history, in one transaction.
    ///
    /// The history itself is not touched. Stop the server first.
    Rebuild(DatabaseArgs),
    /// Print the OpenAPI document.
    Openapi,
    /// Ask the server on this machine whether it is ready; exit code 0 if it is, 1 if not.
    Healthcheck(HealthcheckArgs),
}

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
        crate::store::Location::parse(&self.database_url).map_err(|error| error.to_string())?;
        Ok(())
    }

    /// The two settings together.
    pub fn stale_after(&self) -> Result<StaleAfter, String> {
        StaleAfter::parse(&self.stale_after, &self.stale_after_groups)
    }
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
    /// The one pushed job whose stacks GET /metrics shows as drift_stack_*{stack="…"}; empty for none.
    #[arg(
        long,
        env = "PUSHGATEWAY_COMPAT_JOB",
        default_value = "drift-detection",
        value_name = "JOB"
    )]
    pub pushgateway_compat_job: String,
    /// Access tokens; not in this version. Setting it stops the start, so that nobody believes the
    /// server to be closed.
    #[arg(long, env = "TOKENS_FILE", value_name = "FILE")]
    pub tokens_file: Option<PathBuf>,
    /// Proxies whose X-Forwarded-For is believed for remote_address: addresses or networks,
    /// separated by commas.
    #[arg(
        long,
        env = "TRUSTED_PROXIES",
        default_value = "",
        hide_default_value = true,
        value_name = "LIST"
    )]
    pub trusted_proxies: Networks,
    /// How long one question to the history may take before it is refused as too wide.
    #[arg(long, env = "READ_DEADLINE", default_value = "2s", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub read_deadline: std::time::Duration,
    /// Threads that answer requests (0: one for each processor).
    #[arg(long, env = "API_WORKERS", default_value_t = 0, value_name = "N")]
    pub api_workers: u16,
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
        self.database.check()?;
        if self.tokens_file.as_ref().is_some_and(|file| !file.as_os_str().is_empty()) {
            return Err(
                "TOKENS_FILE: access tokens are not in this version; unset it to run open, \
                        behind a proxy that checks who comes"
                    .into(),
            );
        }
        Ok(())
    }
}

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

/// Arguments of `verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// Compare the projections with the history.
    #[arg(long, required = true)]
    pub refold: bool,
    /// Where the history is.
    #[command(flatten)]
    pub database: DatabaseArgs,
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

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// A number of bytes: `1048576`, `512KiB`, `1MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// Bodies may be set to at most this many bytes: all in flight together have no more.
const BODY_BYTES_MAX: u64 = 16 << 20;

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("", 1)];
        let parsed = units.into_iter().find_map(|(unit, factor): (&str, u64)| {
            text.strip_suffix(unit)?.trim().parse::<u64>().ok()?.checked_mul(factor)
        });
        match parsed {
            Some(bytes) if (1..=BODY_BYTES_MAX).contains(&bytes) => Ok(Self(bytes)),
            Some(_) => Err("must lie between 1 and 16MiB".into()),
            None => Err("is not a number of bytes; write 1048576, 512KiB or 1MiB".into()),
        }
    }
}

/// A list of networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(pub Vec<IpNet>);

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let network = |part: &str| {
            let network = part.parse::<IpNet>().ok();
            let network = network.or_else(|| Some(part.parse::<std::net::IpAddr>().ok()?.into()));
            network.ok_or_else(|| format!("'{part}' is neither an address nor a network"))
        };
        parts.map(network).collect::<Result<_, _>>().map(Self)
    }
}

fn parse_bool(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" | "" => Ok(false),
        _ => Err("must be true or false".into()),
    }
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("is not NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}
