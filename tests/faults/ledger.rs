//! What the clients know: each report is written down before it is sent, and its fate when the answer is
//! there. The rule: acknowledged is there exactly once, refused is not there, unknown at most once.

use crate::http::{Answer, Broken};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// A report as it is sent; its number travels as `commit_sha`, or as its time where that is null.
#[derive(Debug, Clone)]
pub struct Report {
    pub number: u64,
    pub host: String,
    pub status: &'static str,
    /// The fields besides.
    pub more: Value,
}

/// The group of every host that the load reports.
pub const GROUP: &str = "load";

/// A request: a report or an array of them, stored whole or not at all.
#[derive(Debug)]
pub struct Request {
    pub path: &'static str,
    pub key: Option<String>,
    pub body: String,
    pub reports: Vec<Report>,
}

/// What became of a report, as far as its client knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// On its way.
    Sent,
    /// Acknowledged, with the receipt.
    Stored { id: u64, hash: String },
    /// Answered with an error that says: not stored.
    Refused,
    /// Unanswered, or answered `stored: unknown`.
    Unknown,
    /// Handed over whole to a server that was not stopped: it must be there, though nobody waited for it.
    Owed,
}

/// What the clients know together.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    requests: Vec<Arc<Request>>,
    /// By the number of the report: its request and its fate.
    fates: Vec<(usize, Fate)>,
    violations: Vec<String>,
    /// Answers 503.
    unavailable: usize,
}

/// How an answer changes what a client does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    GoOn,
    /// Refused for the moment.
    Pause,
    /// The server is gone.
    End,
}

impl Ledger {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Writes down a request before it is sent. `make` gets the number of its first report.
    pub fn enter(
        &self,
        path: &'static str,
        keyed: bool,
        make: impl FnOnce(u64) -> Vec<Report>,
    ) -> Arc<Request> {
        let mut pages = self.pages();
        let first = pages.fates.len() as u64;
        let reports = make(first);
        let bodies: Vec<Value> = reports.iter().map(body).collect();
        let body =
            if let [body] = &bodies[..] { body.to_string() } else { json!(bodies).to_string() };
        let key = keyed.then(|| format!("load-{first}"));
        let at = pages.requests.len();
        pages.fates.extend(reports.iter().map(|_| (at, Fate::Sent)));
        let request = Arc::new(Request { path, key, body, reports });
        pages.requests.push(request.clone());
        request
    }

    /// Notes what came back.
    pub fn note(&self, request: &Request, answer: &Result<Answer, Broken>) -> Next {
        let (fate, next) = match answer {
            Ok(answer) if answer.status == 200 => {
                self.receipts(request, &answer.json());
                return Next::GoOn;
            }
            Ok(answer) if answer.json()["stored"] == "unknown" => (Fate::Unknown, Next::Pause),
            Ok(answer) => {
                if !matches!(answer.status, 400..=499 | 503) {
                    self.violation(format!("an answer {}: {}", answer.status, answer.text()));
                }
                let next = if answer.status == 503 { Next::Pause } else { Next::GoOn };
                (Fate::Refused, next)
            }
            Err(Broken::NotSent(_)) => (Fate::Refused, Next::End),
            Err(Broken::Unanswered(_)) => (Fate::Unknown, Next::End),
        };
        // A repetition that is turned away, or does not get through, settles nothing.
        let settles = matches!(answer, Ok(answer) if answer.status < 500);
        if settles || self.fate(request) != Fate::Unknown {
            self.set(request, &fate);
        }
        self.pages().unavailable += usize::from(next == Next::Pause);
        next
    }

    /// The fate of a request: its reports share it.
    pub fn fate(&self, request: &Request) -> Fate {
        self.pages().fates[request.reports[0].number as usize].1.clone()
    }

    /// Whether sending it again can store nothing twice.
    pub fn may_repeat(&self, request: &Request) -> bool {
        request.key.is_some() || self.fate(request) == Fate::Refused
    }

    /// How often 503 was answered.
    pub fn unavailable(&self) -> usize {
        self.pages().unavailable
    }

    fn receipts(&self, request: &Request, answer: &Value) {
        let one = [answer["report"].clone()];
        let receipts = answer["reports"].as_array().map_or(&one[..], |list| &list[..]);
        if receipts.len() != request.reports.len() {
            self.violation(format!(
                "{} receipts for {} reports",
                receipts.len(),
                request.reports.len()
            ));
        }
        let mut pages = self.pages();
        for (report, receipt) in request.reports.iter().zip(receipts) {
            let id = receipt["id"].as_str().and_then(|id| id.parse().ok()).unwrap_or(0);
            let hash = receipt["hash"].as_str().unwrap_or_default().to_owned();
            pages.fates[report.number as usize].1 = Fate::Stored { id, hash };
        }
    }

    /// Sets the fate of a whole request.
    pub fn set(&self, request: &Request, fate: &Fate) {
        let mut pages = self.pages();
        for report in &request.reports {
            pages.fates[report.number as usize].1 = fate.clone();
        }
    }

    /// Notes what must never happen.
    pub fn violation(&self, what: String) {
        self.pages().violations.push(what);
    }

    pub fn violations(&self) -> Vec<String> {
        self.pages().violations.clone()
    }

    /// The request and the fate of a report that was sent.
    pub fn find(&self, number: u64) -> Option<(Arc<Request>, Fate)> {
        let pages = self.pages();
        let (request, fate) = pages.fates.get(number as usize)?;
        Some((pages.requests[*request].clone(), fate.clone()))
    }

    /// The receipts: id and hash.
    pub fn acknowledged(&self) -> BTreeMap<u64, String> {
        let pages = self.pages();
        let stored = pages.fates.iter().filter_map(|(_, fate)| match fate {
            Fate::Stored { id, hash } => Some((*id, hash.clone())),
            _ => None,
        });
        stored.collect()
    }

    /// Every request.
    pub fn requests(&self) -> Vec<Arc<Request>> {
        self.pages().requests.clone()
    }

    /// Reports with a fate.
    pub fn count(&self, wanted: impl Fn(&Fate) -> bool) -> usize {
        self.pages().fates.iter().filter(|(_, fate)| wanted(fate)).count()
    }

    pub fn stored(&self) -> usize {
        self.count(|fate| matches!(fate, Fate::Stored { .. }))
    }

    pub fn unknown(&self) -> usize {
        self.count(|fate| *fate == Fate::Unknown)
    }
}

fn body(report: &Report) -> Value {
    let mut body = json!({"server_group": GROUP, "host": report.host, "status": report.status,
        "commit_sha": report.number.to_string()});
    for (name, value) in report.more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}
