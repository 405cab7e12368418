//! `GET /reviews`: what the hosts' time was in a period. The command `review` prints the same.

pub mod shapes;

use super::{Csv, Known, PastParams, PastQuery, Seconds};
use crate::domain::period::Period;
use crate::domain::review::{Bounds, Drift, GroupBy, HostPeriod, Item, Tally, add_up};
use crate::domain::time::Timestamp;
use crate::http::AppState;
use crate::http::history::Format;
use crate::http::host_filter::HostFilter;
use crate::http::lanes::Lane;
use crate::http::params::{Params, segments};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::respond::{json_body, varies_by_accept};
use crate::views::{EpisodeRecord, HostChoice, LookbackError, Question, Readers};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use shapes::{ReviewItem, ReviewTotals};
use utoipa::ToSchema;

/// Everything a review is made of.
#[derive(Debug)]
pub struct ReviewData {
    /// The calendar period, if one was asked for.
    pub period: Option<Period>,
    /// The stretch that was looked at; it ends now if the period runs.
    pub bounds: Bounds,
    /// What is known of the history.
    pub known: Known,
    /// Whether the period is over; a stretch without an end ends now.
    pub complete: bool,
    /// Every host's time.
    pub hosts: Vec<HostPeriod>,
    /// The episodes that overlap the stretch; `host` is the place in `hosts`.
    pub episodes: Vec<EpisodeRecord>,
}

impl ReviewData {
    /// Looks back over the period.
    pub async fn gather(
        readers: &Readers,
        period: Option<Period>,
        question: Question,
        hosts: &HostFilter,
    ) -> Result<Self, LookbackError> {
        let begins = question.from;
        let looked = readers.look_back(question, hosts, async |lookback| {
            let stretches = lookback.stretches().await?;
            let episodes = lookback.episodes().await?;
            let mut hosts: Vec<HostPeriod> = lookback
                .hosts
                .iter()
                .zip(stretches)
                .map(|(past, stretches)| HostPeriod {
                    attributes: past.attributes.clone(),
                    stretches,
                    drifts: Vec::new(),
                })
                .collect();
            for record in &episodes {
                hosts[record.host].drifts.push(Drift {
                    started_at: record.episode.started_at,
                    ended_at: record.closed.as_ref().map(|closed| closed.place.time),
                    repaired: record.closed.as_ref().is_some_and(|closed| closed.source.is_some()),
                    files: record.files.clone(),
                });
            }
            Ok(Self {
                period,
                bounds: Bounds { from: lookback.from, to: lookback.to },
                known: Known::of(lookback),
                complete: question.to.is_none_or(|to| to <= lookback.now),
                hosts,
                episodes,
            })
        });
        let data: Self = looked.await?;
        match begins {
            Some(from) if from >= data.bounds.to && question.as_of.is_some() => {
                Err(LookbackError::NotBegun(data.known.as_of, data.bounds.to))
            }
            _ => Ok(data),
        }
    }

    /// Adds it up.
    pub fn review(&self, group_by: GroupBy) -> Review {
        let (items, totals) = add_up(&self.hosts, group_by, self.bounds);
        let rows = items.into_iter().map(|item| Row { group_by, item }).collect();
        Review {
            period: self.period.map(|period| period.to_string()),
            from: self.bounds.from,
            to: self.bounds.to,
            group_by: group_by.word(),
            as_of: self.known.as_of.to_string(),
            complete: self.complete,
            items: rows,
            totals: Totals(totals),
        }
    }
}

/// A review.
#[derive(Debug, Serialize, ToSchema)]
pub struct Review {
    /// The calendar period; null for `from` and `to`.
    #[schema(required, example = "2026-Q3")]
    pub period: Option<String>,
    /// The first instant, inclusive.
    #[schema(value_type = String, format = DateTime, example = "2026-07-01T00:00:00Z")]
    pub from: Timestamp,
    /// The end, exclusive: of the period, or now if it still runs.
    #[schema(value_type = String, format = DateTime, example = "2026-10-01T00:00:00Z")]
    pub to: Timestamp,
    /// What the items are.
    #[schema(example = "server_group")]
    pub group_by: &'static str,
    /// The newest id that counts: give it back as `as_of` to get the same review for ever.
    #[schema(example = "123456")]
    pub as_of: String,
    /// Whether the period is over.
    #[schema(example = true)]
    pub complete: bool,
    /// Ordered by their keys.
    #[schema(value_type = Vec<ReviewItem>)]
    pub items: Vec<Row>,
    /// Every host once, however the items are grouped.
    #[schema(value_type = ReviewTotals)]
    pub totals: Totals,
}

/// An item: the keys of what it is grouped by, then the sums.
#[derive(Debug)]
pub struct Row {
    group_by: GroupBy,
    item: Item,
}

/// Sums without keys.
#[derive(Debug)]
pub struct Totals(Tally);

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.group_by.keys().iter().zip(&self.item.keys) {
            map.serialize_entry(name, value)?;
        }
        serialize_sums(&self.item.tally, &mut map)?;
        map.end()
    }
}

impl Serialize for Totals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        serialize_sums(&self.0, &mut map)?;
        map.end()
    }
}

fn serialize_sums<M: SerializeMap>(tally: &Tally, map: &mut M) -> Result<(), M::Error> {
    map.serialize_entry("hosts", &tally.hosts)?;
    map.serialize_entry("reports", &tally.reports)?;
    map.serialize_entry("episodes", &tally.episodes)?;
    map.serialize_entry("open_episodes", &tally.open_episodes)?;
    map.serialize_entry("in_sync_seconds", &Seconds(tally.in_sync))?;
    map.serialize_entry("drifted_seconds", &Seconds(tally.drifted))?;
    map.serialize_entry("not_measured_seconds", &Seconds(tally.not_measured))?;
    map.serialize_entry("in_sync_percent", &tally.in_sync_percent())?;
    map.serialize_entry("coverage_percent", &tally.coverage_percent())?;
    let repair = tally.mean_time_to_repair().map(Seconds);
    map.serialize_entry("mean_time_to_repair_seconds", &repair)?;
    map.serialize_entry("longest_drift_seconds", &Seconds(tally.longest_drift.into()))?;
    map.serialize_entry("most_drifted_file", &tally.most_drifted_file())
}

const SUMS: [&str; 12] = [
    "hosts",
    "reports",
    "episodes",
    "open_episodes",
    "in_sync_seconds",
    "drifted_seconds",
    "not_measured_seconds",
    "in_sync_percent",
    "coverage_percent",
    "mean_time_to_repair_seconds",
    "longest_drift_seconds",
    "most_drifted_file",
];

impl Review {
    /// As CSV: what was asked, the keys, the sums; a row for each item.
    pub fn csv(&self, group_by: GroupBy) -> Vec<u8> {
        let asked = ["period", "from", "to", "as_of", "complete"];
        let columns: Vec<&str> =
            asked.iter().chain(group_by.keys()).chain(&SUMS).copied().collect();
        let mut csv = Csv::new(&columns);
        for Row { item: Item { keys, tally }, .. } in &self.items {
            csv.maybe(self.period.as_ref());
            csv.plain(self.from);
            csv.plain(self.to);
            csv.plain(&self.as_of);
            csv.plain(self.complete);
            for key in keys {
                csv.text(key.as_deref());
            }
            csv.plain(tally.hosts);
            csv.plain(tally.reports);
            csv.plain(tally.episodes);
            csv.plain(tally.open_episodes);
            csv.plain(Seconds(tally.in_sync));
            csv.plain(Seconds(tally.drifted));
            csv.plain(Seconds(tally.not_measured));
            csv.maybe(tally.in_sync_percent());
            csv.maybe(tally.coverage_percent());
            csv.maybe(tally.mean_time_to_repair().map(Seconds));
            csv.plain(Seconds(tally.longest_drift.into()));
            csv.text(tally.most_drifted_file());
            csv.end();
        }
        csv.finish()
    }
}

/// The review of a calendar period
///
/// What every host's time was, in a year (`2026`), a quarter (`2026-Q3`) or a month (`2026-07`), UTC;
/// also `last-quarter`, `this-month` and the like, by the server's clock.
/// Each second from a host's first report to its retirement is in sync, drifted or not measured, and
/// the three add up exactly. Percentages are of measured time; `coverage_percent` says how much was
/// measured. A running period ends now. `longest_drift_seconds` is as much of a drift as lies in the
/// period. With `group_by=file`, an item is about all hosts on which the file differed: it is in sync
/// while it does not differ. CSV has the same columns, and period, from, to, as_of, complete first.
#[utoipa::path(get, path = "/reviews/{period}", tag = "reviews", operation_id = "review_period",
    params(
        ("period" = String, Path, description = "2026, 2026-Q3, 2026-07, last-quarter, this-month …", example = "2026-Q3"),
        ("group_by" = Option<String>, Query, description = "server_group (default), host, environment, server_type, repo_name or file", example = "host"),
        ("format" = Option<String>, Query, description = "json (default) or csv", example = "csv"),
        PastParams),
    responses(
        (status = 200, description = "The review", content((Review = "application/json"), (String = "text/csv", example = "period,from,to,as_of,complete,server_group,hosts,…\r\n"))),
        (status = 304, description = "Nothing has changed since the ETag in If-None-Match"),
        (status = 400, description = "No such period, one that has not begun, or wrong parameters", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:invalid-parameters","title":"Some parameters are not valid","status":400,"detail":"period: is not a period; allowed: a year (2026), a quarter (2026-Q3), a month (2026-07), from 1970 to 9999, and this- or last- with year, quarter or month (last-quarter)","instance":"urn:gitops-status-server:request:5f0c9a3e-d","errors":[{"field":"period","message":"is not a period; allowed: a year (2026), a quarter (2026-Q3), a month (2026-07), from 1970 to 9999, and this- or last- with year, quarter or month (last-quarter)"}]})),
        (status = 503, description = "The database cannot be read just now", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:unavailable","title":"The server cannot read its database","status":503,"detail":"The database cannot be read just now","instance":"urn:gitops-status-server:request:5f0c9a3e-e"}))))]
pub async fn of_period(
    request: HttpRequest,
    app: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let period = segments(&request)?.pop().unwrap_or_default();
    answer(&request, &app, Some(&period)).await
}

/// The review of any stretch
///
/// As `/reviews/{period}`, between `from` (inclusive) and `to` (exclusive, default now).
#[utoipa::path(get, path = "/reviews", tag = "reviews", operation_id = "review",
    params(
        ("group_by" = Option<String>, Query, description = "server_group (default), host, environment, server_type, repo_name or file", example = "host"),
        ("format" = Option<String>, Query, description = "json (default) or csv", example = "csv"),
        PastParams),
    responses(
        (status = 200, description = "The review", content((Review = "application/json"), (String = "text/csv", example = "period,from,to,as_of,complete,server_group,hosts,…\r\n"))),
        (status = 304, description = "Nothing has changed since the ETag in If-None-Match"),
        (status = 400, description = "Wrong parameters, or `from` is missing", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:invalid-parameters","title":"Some parameters are not valid","status":400,"detail":"from: is needed, or a period in the path: /reviews/2026-Q3","instance":"urn:gitops-status-server:request:5f0c9a3e-f","errors":[{"field":"from","message":"is needed, or a period in the path: /reviews/2026-Q3"}]})),
        (status = 503, description = "The database cannot be read just now", body = ProblemBody<'_>, content_type = "application/problem+json", example = json!({"type":"urn:gitops-status-server:problem:unavailable","title":"The server cannot read its database","status":503,"detail":"The database cannot be read just now","instance":"urn:gitops-status-server:request:5f0c9a3e-10"}))))]
pub async fn of_stretch(
    request: HttpRequest,
    app: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    answer(&request, &app, None).await
}

async fn answer(
    request: &HttpRequest,
    app: &web::Data<AppState>,
    period: Option<&str>,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(request)?;
    let format = Format::of(&mut params, request.headers().get(header::ACCEPT));
    let mut query = PastQuery::of(&mut params, &["group_by", "format"], app.now());
    let group_by = group_by(&mut params);
    let period = understand_period(&mut params, period, &mut query.question);
    if format == Format::Ndjson {
        params.error("format", "must be json or csv");
    }
    params.check()?;
    let (lane, readers) = (Lane::Database(query.hosts.width()), app.readers.clone());
    let body = async move || {
        let data = ReviewData::gather(&readers, period, query.question, &query.hosts).await?;
        let review = data.review(group_by);
        let body = if format == Format::Csv { review.csv(group_by) } else { json_body(&review) };
        Ok((body, (review.period, data.known)))
    };
    let (body, (period, known)) = app.lanes.prepare(lane, request, body).await?;
    let mut response = varies_by_accept(body.answer(request, format.content_type()));
    if format != Format::Csv {
        return Ok(known.on(response));
    }
    let name = period.as_deref().unwrap_or("stretch");
    let disposition = format!("attachment; filename=\"drift-review-{name}.csv\"");
    if let Ok(value) = header::HeaderValue::try_from(disposition) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(known.on(response))
}

/// The parameter `group_by`.
pub fn group_by(params: &mut Params) -> GroupBy {
    let positions = params.words("group_by", GroupBy::WORDS);
    if positions.len() > 1 {
        params.error("group_by", "may be given once");
    }
    positions.first().map_or(GroupBy::ServerGroup, |position| GroupBy::ALL[*position])
}

/// Puts the period's bounds into the question; a review needs one, or `from`.
pub fn understand_period(
    params: &mut Params,
    text: Option<&str>,
    question: &mut Question,
) -> Option<Period> {
    let period = match text.map(|text| Period::parse(text, question.now)) {
        None => None,
        Some(Ok(period)) => {
            for name in ["from", "to"] {
                if params.one(name).is_some() {
                    params.error(name, "goes with /reviews, not with a period in the path");
                }
            }
            (question.from, question.to) = (Some(period.from()), Some(period.to()));
            Some(period)
        }
        Some(Err(error)) => {
            params.error("period", error.to_string());
            return None;
        }
    };
    let name = if period.is_some() { "period" } else { "from" };
    match question.from {
        None => params.error("from", "is needed, or a period in the path: /reviews/2026-Q3"),
        Some(from) if from >= question.now => {
            params.error(name, format!("has not begun; now is {}", question.now));
        }
        Some(_) => {}
    }
    period
}
