//! The words of the field, each with its number in the database: status, source, kind, transition,
//! validation status, and how a file differs.

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
