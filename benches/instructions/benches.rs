//! What is counted.

use super::data::{self, DATABASE, HOSTS, NOW};
use super::recorder;
use gitops_status_server::board::Board;
use gitops_status_server::domain::apply::{Host, advance, hear};
use gitops_status_server::domain::event::Event;
use gitops_status_server::domain::line::Entry;
use gitops_status_server::domain::place::Place;
use gitops_status_server::domain::report::{Report, Sender, Source};
use gitops_status_server::domain::state::HostState;
use gitops_status_server::domain::time::{MINUTE, Timestamp};
use gitops_status_server::files::Location;
use gitops_status_server::http::Params;
use gitops_status_server::http::history::{Format, HistoryQuery, Walk, hosts_filter};
use gitops_status_server::http::past::PastQuery;
use gitops_status_server::http::past::reviews::{ReviewData, group_by, understand_period};
use gitops_status_server::ingest;
use gitops_status_server::ledger::Dictionary;
use gitops_status_server::projection::Writer;
use gitops_status_server::views::Readers;
use std::convert::Infallible;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

/// How much a process does.
pub struct Work<'a> {
    /// Iterations to do.
    pub times: usize,
    /// Iterations to prepare for.
    pub of: usize,
    /// Where the database is.
    pub folder: &'a Path,
}

/// Something that is counted.
pub struct Bench {
    /// Its name.
    pub name: &'static str,
    /// What the figure is divided by.
    pub unit: &'static str,
    /// How many of these an iteration has.
    pub units: usize,
    /// Iterations, once; the other process does twice as many.
    pub times: usize,
    /// Whether `--check` fails if it has moved.
    pub guarded: bool,
    /// Does it.
    pub run: fn(&Work),
}

/// All of them.
pub const BENCHES: &[Bench] = &[
    bench("fold", "report", REPORTS, 20, fold),
    bench("line", "entry", 3, 400, line),
    bench("parse", "report", 1, 400, parse_one),
    bench("parse/100", "report", 100, 5, parse_array),
    bench("page", "page", 1, 20, page),
    bench("review", "review", 1, 2, review),
    // How often their two threads wake each other, and how many requests a commit holds, is the
    // system's to say.
    Bench { guarded: false, ..bench("recorder/1", "report", 1, 150, recorder::single) },
    Bench {
        guarded: false,
        ..bench("recorder/16", "report", recorder::WAITING, 20, recorder::some)
    },
    bench("recorder/1600", "report", recorder::WAITING * recorder::ARRAY, 2, recorder::arrays),
    bench("export/csv", "row", EXPORTED, 1, csv),
    bench("export/ndjson", "row", EXPORTED, 1, ndjson),
];

const fn bench(
    name: &'static str,
    unit: &'static str,
    units: usize,
    times: usize,
    run: fn(&Work),
) -> Bench {
    Bench { name, unit, units, times, guarded: true, run }
}

/// Reports of one host that are folded one after the other.
const REPORTS: usize = 200;

/// The registers and the course of a host over repeated checks, with a drift in one of 20 and one of 25
/// coming late. Each begins with a copy of the state, as the recorder does.
fn fold(work: &Work) {
    let checks: [Report; 2] =
        [false, true].map(|drifts| data::report(Source::Cron, &data::cron_body(1, drifts)));
    let first = data::report(Source::Pipeline, &data::pipeline_body(1, NOW));
    for _ in 0..work.times {
        let place = |at: usize, time: i64| Place { time: Timestamp(time), id: at as u64 + 1 };
        let (mut state, mut changes) = (None, Vec::new());
        for at in 0..REPORTS {
            let report = if at == 0 { &first } else { &checks[usize::from(at % 20 == 7)] };
            let late = at % 25 == 24;
            let time = NOW.0 + 2 * MINUTE * at as i64 - if late { 5 * MINUTE } else { 0 };
            let event = Event::of(report, place(at, time));
            let known = state.as_deref();
            let around = known
                .filter(|state: &&HostState| state.is_out_of_order(event.place))
                .map(|state| state.neighbours(&event).0.surroundings());
            let before = around.as_ref().map(|around| &around.before);
            black_box(HostState::judge(known, report, event.place, before));
            let mut next = state.as_deref().cloned();
            let host = Host { key: &report.key, id: 1 };
            let next_drift = |_: &HostState| Ok::<_, Infallible>(None);
            let Ok(mut heard) = hear(&mut next, host, event, next_drift);
            if let Some(next) = next.as_mut().filter(|_| !heard.out_of_order) {
                advance(next, std::slice::from_mut(&mut heard), &mut changes);
            }
            state = next.map(Arc::new);
        }
        black_box((state, changes));
    }
}

/// The line and the leaf hash of a deployment, a check and a drift.
fn line(work: &Work) {
    let origin = "gitops-status-server/000102030405060708090a0b0c0d0e0f";
    let reports = [
        data::report(Source::Pipeline, &data::pipeline_body(1, NOW)),
        data::report(Source::Cron, &data::cron_body(1, false)),
        data::report(Source::Cron, &data::cron_body(1, true)),
    ];
    let place = Place { time: NOW, id: 4_711_000 };
    let entries = reports.map(|report| {
        let judgement = HostState::judge(None, &report, place, None);
        Entry {
            id: place.id,
            kind: report.kind,
            source: Some(report.source),
            key: report.key,
            time: place.time,
            reported_at: report.reported_at,
            received_at: NOW,
            content: report.content,
            run: report.run,
            sender: Arc::new(Sender {
                reported_by: Some("woodpecker".into()),
                remote_address: Some("192.0.2.7".into()),
            }),
            late: judgement.late,
            transition: judgement.transition,
        }
    });
    for _ in 0..work.times {
        for entry in &entries {
            black_box(black_box(entry).leaf_hash(origin));
        }
    }
}

fn parse_one(work: &Work) {
    parse(work, &data::pipeline_body(1, NOW));
}

fn parse_array(work: &Work) {
    let bodies: Vec<String> = (0..100).map(|host| data::pipeline_body(host, NOW)).collect();
    parse(work, &format!("[{}]", bodies.join(",")));
}

fn parse(work: &Work, body: &str) {
    let ages = data::ages();
    for _ in 0..work.times {
        let parsed = ingest::parse_body(Source::Pipeline, black_box(body.as_bytes()), &ages);
        black_box(parsed.unwrap());
    }
}

/// The reading side of the database, as a server has it.
struct Reading {
    readers: Arc<Readers>,
    board: Board,
    origin: Arc<str>,
}

impl Reading {
    fn open(work: &Work<'_>) -> Self {
        let path = work.folder.join(DATABASE);
        let location = Location::parse(&format!("sqlite://{}", path.display())).unwrap();
        let dictionary = Arc::new(Dictionary::default());
        let loaded = Writer::look(&location, &dictionary).unwrap();
        let board = Board::default();
        board.replace(loaded.hosts, loaded.former, loaded.last_runs, loaded.size);
        let readers = Arc::new(Readers::new(&location, dictionary, 2, data::PATIENCE));
        Self { readers, board, origin: loaded.origin }
    }

    fn query(&self, pairs: &[(&str, &str)]) -> HistoryQuery {
        let mut params = params(pairs);
        let hosts = hosts_filter(&params);
        let query = HistoryQuery::of(&mut params, &hosts, NOW, &self.board);
        assert!(params.first_error().is_none());
        query
    }
}

fn params(pairs: &[(&str, &str)]) -> Params {
    Params::new(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
}

fn with_reading(work: &Work, task: impl AsyncFnOnce(&Reading)) {
    actix_web::rt::System::new().block_on(async {
        let reading = Reading::open(work);
        task(&reading).await;
        reading.readers.close().await;
    });
}

/// The newest 100 entries of one host as items, each time of the next host.
fn page(work: &Work) {
    with_reading(work, async |reading| {
        for at in 0..work.times {
            let (group, host) = (data::group(at % HOSTS), data::host(at % HOSTS));
            let mut query = reading.query(&[("server_group", &group), ("host", &host)]);
            let limit = query.page_limit();
            query.request.limit = limit + 1;
            let width = query.request.width(query.as_of);
            let (request, density) = (&query.request, query.density);
            let page = reading.readers.page(request, density, 16 << 20, width, false);
            let mut entries = page.await.unwrap().entries;
            assert_eq!(entries.len(), limit + 1);
            entries.truncate(limit);
            let mut body = Vec::with_capacity(1100 * limit);
            for entry in &entries {
                entry.write_item(&reading.origin, &mut body);
                body.push(b',');
            }
            black_box(body);
        }
    });
}

/// The review of the quarter, by group, as JSON.
fn review(work: &Work) {
    with_reading(work, async |reading| {
        for _ in 0..work.times {
            let mut params = params(&[]);
            let mut query = PastQuery::of(&mut params, &["group_by"], NOW);
            let group_by = group_by(&mut params);
            let period = understand_period(&mut params, Some("2026-Q1"), &mut query.question);
            assert!(params.first_error().is_none());
            let data = ReviewData::gather(&reading.readers, period, query.question, &query.hosts);
            let data = data.await.unwrap();
            assert_eq!(data.hosts.len(), HOSTS);
            black_box(serde_json::to_vec(&data.review(group_by)).unwrap());
        }
    });
}

/// Rows of an export.
const EXPORTED: usize = 4000;

fn csv(work: &Work) {
    export(work, Format::Csv);
}

fn ndjson(work: &Work) {
    export(work, Format::Ndjson);
}

fn export(work: &Work, format: Format) {
    with_reading(work, async |reading| {
        for _ in 0..work.times {
            let query = reading.query(&[("limit", &EXPORTED.to_string())]);
            let (readers, origin) = (reading.readers.clone(), reading.origin.clone());
            let mut walk = Walk::new(readers, query, format, origin).patient();
            while let Some(chunk) = walk.next_chunk().await.unwrap() {
                black_box(chunk);
            }
            assert_eq!(walk.rows, EXPORTED as u64);
        }
    });
}
