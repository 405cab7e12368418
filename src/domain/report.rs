//! The words of the field: status, source, kind, transition; and a [`Report`] as it comes in.

use super::content::{Content, ContentDigest};
use super::names::HostKey;
use super::time::Timestamp;
use std::sync::Arc;

/// An enum whose values have a word (outside) and a small integer (in the database). Both are
/// frozen: words by the contract, integers by every database written so far.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $code:literal, $word:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$value_doc])* $value = $code,)+ }

        impl $name {
            /// Every value, in the order of the codes.
            pub const ALL: &[Self] = &[$(Self::$value,)+];
            /// Every word, in the same order, for messages.
            pub const WORDS: &[&str] = &[$($word,)+];

            /// The word used outside.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$value => $word,)+ }
            }

            /// The integer used in the database.
            pub const fn code(self) -> i64 {
                self as i64
            }

            /// The value of an exact word.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$value),)+ _ => None }
            }

            /// The value of a stored integer.
            pub const fn from_code(code: i64) -> Option<Self> {
                match code { $($code => Some(Self::$value),)+ _ => None }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.word())
            }
        }
    };
}

words! {
    /// Whether a host matches Git. The codes are the contract's `status_code`.
    Status {
        /// Everything matches.
        Synced = 0, "synced";
        /// Something differs: a drift.
        OutOfSync = 1, "out_of_sync";
        /// The deployment or the check failed: not measured.
        Failed = 2, "failed";
        /// Nobody knows.
        Unknown = 3, "unknown";
    }
}

words! {
    /// Who says it. `cron` has code 1 because SQLite stores 0 and 1 in no bytes at all.
    Source {
        /// A deployment pipeline: the whole deployment state.
        Pipeline = 0, "pipeline";
        /// A scheduled drift check.
        Cron = 1, "cron";
        /// A v1 client (`POST /api/status`).
        Legacy = 2, "legacy";
        /// A push of `drift_stack_*` metrics.
        Pushgateway = 3, "pushgateway";
        /// A status file taken over from v1 or v2.
        Import = 4, "import";
    }
}

impl Source {
    /// Whether this source tells the deployment state (and not only what a check saw).
    pub const fn is_deployment(self) -> bool {
        matches!(self, Self::Pipeline | Self::Import)
    }
}

words! {
    /// What an entry of the history is.
    Kind {
        /// A report that somebody sent.
        Report = 0, "report";
        /// Concluded by us from what a push left out.
        Inferred = 1, "inferred";
        /// A person retired the host.
        Retire = 2, "retire";
        /// A person gave the host's former name.
        Alias = 3, "alias";
    }
}

words! {
    /// What a report does at its own place in time.
    Transition {
        /// Nothing: it confirms.
        None = 0, "none";
        /// It begins a drift.
        Opened = 1, "opened";
        /// It changes the status or the files.
        Changed = 2, "changed";
        /// It ends a drift.
        Closed = 3, "closed";
    }
}

words! {
    /// What the pipeline's validation step said.
    ValidationStatus {
        /// It passed.
        Passed = 0, "passed";
        /// It failed.
        Failed = 1, "failed";
        /// It did not run.
        Skipped = 2, "skipped";
    }
}

words! {
    /// How a file differs.
    FileKind {
        /// Its contents differ.
        Modified = 0, "modified";
        /// It should be there and is not.
        Missing = 1, "missing";
        /// It is there and should not be.
        Extra = 2, "extra";
        /// Its permissions or owner differ.
        Mode = 3, "mode";
    }
}

/// A file that differs: a bare path, or with what more the sender knew.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChangedFile {
    /// The path (or name) as sent.
    pub path: String,
    /// How it differs and its SHA-256 (64 lowercase hex digits), if the sender said either.
    pub detail: Option<FileDetail>,
}

/// What a sender may know of a file beyond its path. At least one of the two is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileDetail {
    /// How it differs.
    pub kind: Option<FileKind>,
    /// SHA-256 of its contents, 64 lowercase hex digits.
    pub sha256: Option<String>,
}

impl serde::Serialize for ChangedFile {
    /// The form of the line: a string, or an object of exactly `kind`, `path`, `sha256`.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let Some(detail) = &self.detail else { return serializer.serialize_str(&self.path) };
        let mut object = serializer.serialize_struct("ChangedFile", 3)?;
        object.serialize_field("kind", &detail.kind)?;
        object.serialize_field("path", &self.path)?;
        object.serialize_field("sha256", &detail.sha256)?;
        object.end()
    }
}

/// The run of a pipeline a report belongs to. At least one of the two is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Run {
    /// The sender's name for the run.
    pub run_id: Option<String>,
    /// Where a person can look at it.
    pub run_url: Option<String>,
}

/// Who handed the report in, as we saw it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Sender {
    /// The name of the access token, if one was used.
    pub reported_by: Option<String>,
    /// The client's address.
    pub remote_address: Option<String>,
}

/// One report, parsed and checked, on its way into the history.
#[derive(Debug, Clone)]
pub struct Report {
    /// Which host it is about.
    pub key: HostKey,
    /// Sent, or concluded from what was sent.
    pub kind: Kind,
    /// Who says it.
    pub source: Source,
    /// The time the sender gave.
    pub reported_at: Option<Timestamp>,
    /// What it says.
    pub content: Arc<Content>,
    /// The content's digest.
    pub digest: ContentDigest,
    /// The run it belongs to, if it says so.
    pub run: Option<Arc<Run>>,
}
