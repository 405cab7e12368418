//! What this process counts as it happens, from its start on.

use super::text::Text;
use crate::domain::access::Denial;
use crate::domain::report::Source;
use crate::http::overload::{Lines, Overload};
use actix_web::http::{Method, StatusCode};
use prometheus::{
    Encoder, Gauge, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder,
};
use std::time::Duration;

/// Upper bounds of the answers' durations in seconds: from what memory answers to what times out.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is a new entry.
    Stored,
    /// It was there already.
    Duplicate,
    /// It was refused; `GET /rejections` says why.
    Rejected,
    /// The database did not take it.
    Failed,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Stored, Self::Duplicate, Self::Rejected, Self::Failed];

    const fn word(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }
}

/// The counters.
#[derive(Debug)]
pub struct Meters {
    registry: Registry,
    reports: IntCounterVec,
    denials: IntCounterVec,
    overloads: IntCounterVec,
    lines: Lines,
    durations: HistogramVec,
}

impl Meters {
    /// All at zero. Every series of reports and refusals is there from the beginning, so that a rate
    /// sees the first.
    pub fn new() -> Self {
        let reports = IntCounterVec::new(
            Opts::new("gitops_reports_total", "Reports since the start, by what became of them."),
            &["source", "result"],
        );
        let denials = IntCounterVec::new(
            Opts::new(
                "gitops_auth_failures_total",
                "Requests that were not admitted (401, 403) since the start, by what their token lacked.",
            ),
            &["reason"],
        );
        let overloads = IntCounterVec::new(
            Opts::new(
                "gitops_overload_refusals_total",
                "Requests answered 503 since the start because too much came at once, by what there was too much of.",
            ),
            &["what"],
        );
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "gitops_http_request_duration_seconds",
                "Time until an answer began, by route.",
            )
            .buckets(SECONDS.to_vec()),
            &["method", "route", "status"],
        );
        let build = Gauge::with_opts(
            Opts::new("gitops_build_info", "Which version this is; always 1.")
                .const_label("version", env!("CARGO_PKG_VERSION")),
        );
        let (reports, denials, overloads, durations, build) = (
            reports.expect("the name is valid"),
            denials.expect("the name is valid"),
            overloads.expect("the name is valid"),
            durations.expect("the name is valid"),
            build.expect("the name is valid"),
        );
        build.set(1.0);
        for source in Source::ALL {
            for outcome in Outcome::ALL {
                reports.with_label_values(&[source.word(), outcome.word()]);
            }
        }
        for denial in Denial::ALL {
            denials.with_label_values(&[denial.word()]);
        }
        for overload in Overload::ALL {
            overloads.with_label_values(&[overload.word()]);
        }
        let registry = Registry::new();
        let collectors: [Box<dyn prometheus::core::Collector>; 5] = [
            Box::new(reports.clone()),
            Box::new(denials.clone()),
            Box::new(overloads.clone()),
            Box::new(durations.clone()),
            Box::new(build),
        ];
        for collector in collectors {
            registry.register(collector).expect("names are distinct");
        }
        Self { registry, reports, denials, overloads, lines: Lines::default(), durations }
    }

    /// Counts reports.
    pub fn reports(&self, source: Source, outcome: Outcome, count: usize) {
        if count > 0 {
            let labels = &[source.word(), outcome.word()];
            self.reports.with_label_values(labels).inc_by(count as u64);
        }
    }

    /// Counts a request that was not admitted.
    pub fn denied(&self, denial: Denial) {
        self.denials.with_label_values(&[denial.word()]).inc();
    }

    /// Counts a request that was refused because too much came at once; the log says so, too.
    pub fn overloaded(&self, overload: Overload) {
        self.overloads.with_label_values(&[overload.word()]).inc();
        self.lines.refused(overload);
    }

    /// Notes how long an answer took.
    pub fn answered(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        // A client may invent methods; series are for ever.
        let method = match method.as_str() {
            known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE") => known,
            _ => "other",
        };
        let labels = &[method, route, status.as_str()];
        self.durations.with_label_values(labels).observe(took.as_secs_f64());
    }

    /// Writes all of it.
    pub fn write(&self, text: &mut Text) {
        let mut written = Vec::new();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut written);
        encoded.expect("writing to memory");
        text.append(&String::from_utf8_lossy(&written));
    }
}
