//! A page of history: 100 rows of one host, at any depth, however long the history; and the same page
//! read from SQLite by a prepared statement and written as JSON.

use super::ingest::CONNECTIONS;
use crate::peers::sqlite::Pages;
use crate::support::book::{Book, Line, Plot, Target};
use crate::support::load::{Load, get};
use crate::support::plan::{Plan, power};
use crate::support::process::{Service, body_of};
use crate::support::{data, median, ratios, server};

/// Hosts whose pages are asked for.
const ASKED: usize = 20;
/// Rows of a page, and how many the server gives at most.
const PAGE: usize = 100;
const MOST: usize = 10_000;

/// A database, its server, and what was measured.
struct Side {
    rows: usize,
    server: Service,
    pages: Pages,
    /// Name of the depth, the cursors of the hosts, microseconds of each round.
    depths: Vec<(&'static str, Vec<String>, Vec<f64>)>,
    /// SQLite by itself: without and with JSON.
    statement: Vec<f64>,
    bare: Vec<f64>,
    /// How long a page takes at 32 connections, all told.
    wall: Vec<f64>,
}

pub fn run(plan: &Plan) {
    let mut book = Book::new("history", "a page of 100 rows of one host");
    let mut sides: Vec<Side> = plan.sizes.iter().map(|rows| Side::new(*rows)).collect();
    let mut bytes = 0;
    for round in 0..=plan.rounds {
        for side in &mut sides {
            bytes = side.measure(plan, round == 0);
        }
    }
    let of_ours = body_of(sides[0].server.port, &format!("{}?limit={PAGE}", path(0))).len();
    book.note(format!("Our page has {of_ours} bytes, that of SQLite by itself {bytes}."));
    for side in &sides {
        let rows = power(side.rows);
        for (name, _, times) in &side.depths {
            book.row(format!("{name} page of {rows} rows, one connection"), "µs", times);
        }
        book.row(
            format!("newest page of {rows} rows, time per page at 32 connections"),
            "µs",
            &side.wall,
        );
        book.row(
            format!("SQLite by itself, every column read, {rows} rows"),
            "µs",
            &side.statement,
        );
        book.row(format!("SQLite by itself and JSON, {rows} rows"), "µs", &side.bare);
        let one = &side.depths[0].2;
        book.row("one connection / SQLite by itself and JSON", "×", &ratios(one, &side.bare));
    }
    verdicts(&mut book, &sides);
    book.plot(plot(&sides));
    for side in sides {
        side.server.stop();
    }
    book.close(&plan.out);
}

fn verdicts(book: &mut Book, sides: &[Side]) {
    let (small, rest) = sides.split_first().unwrap();
    let base = &small.depths[0].2;
    let target = Target::at_most(1.3);
    for side in rest {
        for (name, _, times) in &side.depths {
            let label = format!("{name} history page of {} rows", power(side.rows));
            let against = format!("the newest page of {} rows", power(small.rows));
            book.verdict(label, against, "×", &ratios(times, base), target);
        }
    }
    let Some(large) = rest.last() else { return };
    let label =
        format!("history page of {} rows, 32 connections, time per page", power(large.rows));
    let against = "SQLite's bare statement and its JSON, one thread";
    let target = Target::at_most(3.0).stretch(2.0);
    book.verdict(label, against, "×", &ratios(&large.wall, &large.bare), target);
}

fn plot(sides: &[Side]) -> Plot {
    let mut lines = Vec::new();
    for name in ["newest", "middle", "oldest"] {
        let mut line = Line::new(format!("{name} page"));
        for side in sides {
            let times = side.depths.iter().find(|(depth, ..)| *depth == name);
            line.points.extend(times.map(|(_, _, times)| (power(side.rows), times.clone())));
        }
        lines.push(line);
    }
    let mut bare = Line::new("SQLite by itself");
    bare.points = sides.iter().map(|side| (power(side.rows), side.bare.clone())).collect();
    lines.push(bare);
    Plot {
        file: "history",
        title: "A page of 100 rows, one connection".into(),
        x: "rows in the history",
        y: "microseconds",
        stacked: false,
        lines,
    }
}

impl Side {
    fn new(rows: usize) -> Self {
        let database = data::quarter(rows);
        let server = server::start(&database);
        let each = rows / data::HOSTS;
        let mut depths = vec![("newest", vec![String::new(); ASKED], vec![])];
        if each > 2 * PAGE {
            // By cursor, as a walk would reach them: nothing but the cursor bounds them.
            depths.push(("middle", cursors(&server, each / 2), vec![]));
            depths.push(("oldest", cursors(&server, each - PAGE - 10), vec![]));
        }
        let pages = Pages::open(&database);
        Self { rows, server, pages, depths, statement: vec![], bare: vec![], wall: vec![] }
    }

    /// One round; bytes of a page by SQLite itself.
    fn measure(&mut self, plan: &Plan, warms: bool) -> usize {
        let (port, time) = (self.server.port, plan.time / 3);
        let ask = |connections, cursors: &[String]| {
            Load::new(port, connections, time).run(|n, out| {
                let at = n as usize % ASKED;
                get(&format!("{}?limit={PAGE}{}", path(at), cursors[at]), out);
            })
        };
        let times: Vec<f64> =
            self.depths.iter().map(|(_, cursors, _)| median(&ask(1, cursors).latencies)).collect();
        let wall = 1e6 / ask(CONNECTIONS, &self.depths[0].1).per_second;
        let hosts: Vec<_> = (0..ASKED).map(|at| data::host(at * 49)).collect();
        let (rows_only, _) = self.pages.pages(&hosts, time / 2, false);
        let (pages, bytes) = self.pages.pages(&hosts, time, true);
        if !warms {
            for ((_, _, all), time) in self.depths.iter_mut().zip(times) {
                all.push(time);
            }
            self.wall.push(wall);
            self.bare.push(median(&pages) * 1e6);
            self.statement.push(median(&rows_only) * 1e6);
        }
        bytes
    }
}

fn path(at: usize) -> String {
    let (group, host) = data::host(at * 49);
    format!("/history/{group}/{host}")
}

/// For each host asked for, the cursor behind its newest `rows` rows, as a parameter.
fn cursors(server: &Service, rows: usize) -> Vec<String> {
    let cursor = |at| {
        let (mut cursor, mut missing) = (String::new(), rows);
        while missing > 0 {
            let step = missing.min(MOST);
            let page = body_of(server.port, &format!("{}?limit={step}{cursor}", path(at)));
            let end = String::from_utf8_lossy(&page[page.len().saturating_sub(400)..]).into_owned();
            let (_, next) = end.rsplit_once("\"next_cursor\":\"").expect("there are more rows");
            cursor = format!("&cursor={}", next.split('"').next().unwrap());
            missing -= step;
        }
        cursor
    };
    (0..ASKED).map(cursor).collect()
}
