//! Looking back: timelines, episodes, annotations, reviews. Here are the parameters they share;
//! `review` is also what the command prints.

pub mod annotations;
pub mod episodes;
pub mod reviews;
pub mod timeline;

use super::host_filter::{HOST_FILTERS, HostFilter};
use super::params::Params;
use super::position;
use super::problem::Problem;
use crate::domain::time::{SECOND, Timestamp};
use crate::views::{Lookback, LookbackError, Question};
use actix_web::HttpResponse;
use actix_web::http::header::{HeaderName, HeaderValue};
use serde::{Serialize, Serializer};
use utoipa::IntoParams;

/// Names the newest id an answer knows, where the body has no room for it.
const AS_OF: HeaderName = HeaderName::from_static("gitops-as-of");

/// What all of them take.
#[derive(Debug, Clone)]
pub struct PastQuery {
    /// Which hosts.
    pub hosts: HostFilter,
    /// Which stretch, as of which id.
    pub question: Question,
}

/// The same as the document describes them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "described, never built")]
pub struct PastParams {
    /// May be repeated.
    #[param(example = json!(["rsyslog-prod"]))]
    server_group: Option<Vec<String>>,
    /// May be repeated.
    #[param(example = json!(["rsyslog-01"]))]
    host: Option<Vec<String>>,
    /// As deployed at the end of the stretch; may be repeated.
    #[param(example = json!(["prod"]))]
    environment: Option<Vec<String>>,
    /// As deployed at the end of the stretch; may be repeated.
    #[param(example = json!(["rsyslog"]))]
    server_type: Option<Vec<String>>,
    /// As deployed at the end of the stretch; may be repeated.
    #[param(example = json!(["rsyslog"]))]
    repo_name: Option<Vec<String>>,
    /// As deployed at the end of the stretch; may be repeated.
    #[param(example = json!(["gitops-for-servers"]))]
    project_name: Option<Vec<String>>,
    /// The beginning (inclusive): RFC 3339, a date, 10-digit seconds, 13-digit milliseconds, `now-90d`.
    #[param(example = "now-90d")]
    from: Option<String>,
    /// The end (exclusive), as `from`; default now.
    #[param(example = "now")]
    to: Option<String>,
    /// Only entries up to this id count, and now is when it came.
    #[param(example = 4)]
    as_of: Option<u64>,
}

impl PastQuery {
    /// Reads the shared parameters; `more` are those the caller takes besides.
    pub fn of(params: &mut Params, more: &[&str], now: Timestamp) -> Self {
        let known: Vec<&str> =
            HOST_FILTERS.iter().chain(&["from", "to", "as_of"]).chain(more).copied().collect();
        params.only(&known);
        let mut bound = |name| {
            let text = params.one(name)?;
            match Timestamp::parse_bound(&text, now) {
                Ok(time) => Some(time),
                Err(error) => {
                    params.error(name, error.to_string());
                    None
                }
            }
        };
        let (from, to) = (bound("from"), bound("to"));
        if let (Some(from), Some(to)) = (from, to)
            && from > to
        {
            params.error("from", "lies behind to");
        }
        let as_of = params.number("as_of", 0..=i64::MAX as u64);
        Self {
            hosts: HostFilter::of(params),
            question: Question { from, to, as_of, at: None, known_at: None, now },
        }
    }
}

impl From<LookbackError> for Problem {
    fn from(error: LookbackError) -> Self {
        match error {
            LookbackError::Ahead(..) | LookbackError::NotBegun(..) => {
                Self::invalid_parameter("as_of", error.to_string())
            }
            LookbackError::Read(error) => error.into(),
        }
    }
}

/// What an answer knows of the history.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// The newest id that counts.
    pub as_of: u64,
    /// The newest id there is.
    pub head: u64,
}

impl Known {
    /// What a look back knows.
    pub fn of(lookback: &Lookback<'_>) -> Self {
        Self { as_of: lookback.as_of, head: lookback.head }
    }

    /// Says so in the headers of an answer.
    fn on(self, mut response: HttpResponse) -> HttpResponse {
        response.headers_mut().insert(AS_OF, HeaderValue::from(self.as_of));
        position::named(response, self.head)
    }
}

/// Microseconds, written as seconds: a whole number, or with up to 6 digits behind the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, utoipa::ToSchema)]
#[schema(value_type = f64)]
pub struct Seconds(pub i128);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % i128::from(SECOND) == 0 {
            serializer.serialize_i128(self.0 / i128::from(SECOND))
        } else {
            serializer.serialize_f64(self.0 as f64 / SECOND as f64)
        }
    }
}

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Rows as CSV: the header line, then cells; what a sender wrote is guarded against being run as a
/// formula.
pub(super) struct Csv(csv::Writer<Vec<u8>>);

impl Csv {
    /// Begins with the header line.
    pub fn new(columns: &[&str]) -> Self {
        let mut writer =
            csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        writer.write_record(columns).expect("writing to memory");
        Self(writer)
    }

    /// A cell of our own words and numbers.
    pub fn plain(&mut self, cell: impl std::fmt::Display) {
        self.0.write_field(cell.to_string()).expect("writing to memory");
    }

    /// The same, empty for none.
    pub fn maybe(&mut self, cell: Option<impl std::fmt::Display>) {
        match cell {
            Some(cell) => self.plain(cell),
            None => self.plain(""),
        }
    }

    /// A cell with a sender's words.
    pub fn text(&mut self, cell: Option<&str>) {
        let cell = crate::domain::cell::guarded(cell.unwrap_or_default());
        self.0.write_field(cell.as_bytes()).expect("writing to memory");
    }

    /// Ends a row.
    pub fn end(&mut self) {
        self.0.write_record(None::<&[u8]>).expect("writing to memory");
    }

    /// The whole.
    pub fn finish(self) -> Vec<u8> {
        self.0.into_inner().expect("writing to memory")
    }
}
