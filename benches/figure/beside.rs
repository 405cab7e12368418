//! What others notice while somebody asks too much. Each kind of excess has a server and a database of
//! its own: a quiet stretch with a bystander alone, then one beside the excess, with the same bystander.

mod arrays;
mod bodies;
mod files;
mod late;
mod names;
mod pushes;
mod questions;
mod readers;

use crate::support::book::{Book, Table, Target};
use crate::support::bystander::{ASKED, POST, Waited, watch};
use crate::support::client::{Answer, Client};
use crate::support::data;
use crate::support::load;
use crate::support::plan::Plan;
use crate::support::process::Service;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Others may wait so many times as long as in quiet, in the median.
const OTHERS: f64 = 5.0;
/// Milliseconds within which everybody has an answer.
const ANYBODY_MILLIS: f64 = 1000.0;
/// Reports of an array, at most.
const ARRAY: usize = 1000;

const EXCESSES: &[fn(&mut Beside)] = &[
    arrays::repeated,
    arrays::older,
    late::run,
    names::long,
    names::ordinary,
    bodies::run,
    readers::run,
    questions::many_hosts,
    questions::wide,
    pushes::run,
    files::run,
];

pub fn run(plan: &Plan) {
    let seconds = plan.stretch.as_secs();
    let title = format!("what others notice, {seconds} s beside each excess");
    let (folder, table) = (data::scratch(), Table { head: HEAD.to_vec(), rows: vec![] });
    let book = Book::new("beside", title);
    let mut beside = Beside { plan, book, folder, table, worst: 0.0 };
    for excess in EXCESSES {
        excess(&mut beside);
    }
    beside.close();
}

const HEAD: &[&str] = &[
    "beside",
    "others ask",
    "p50 in quiet, ms",
    "p50, ms",
    "×",
    "p99 in quiet, ms",
    "p99, ms",
    "×",
    "worst in quiet, ms",
    "worst, ms",
    "×",
    "refused, %",
];

/// The figure while it is made.
struct Beside<'a> {
    plan: &'a Plan,
    book: Book,
    folder: tempfile::TempDir,
    table: Table,
    worst: f64,
}

/// What the bystander met with in both stretches, for each kind of request.
struct Noticed(Vec<(&'static str, Waited, Waited)>);

impl Noticed {
    fn of(&self, asked: &str) -> (Waited, Waited) {
        let found = self.0.iter().find(|(what, ..)| *what == asked);
        found.map(|(_, quiet, loud)| (*quiet, *loud)).expect("it was asked")
    }
}

impl Beside<'_> {
    fn database(&self, name: &str) -> PathBuf {
        self.folder.path().join(name).with_extension("db")
    }

    /// The stretches of an excess, which is told when to end.
    fn stretches<T: Send>(
        &mut self,
        name: &str,
        server: &Service,
        also: &[&'static str],
        excess: impl FnOnce(Instant) -> T + Send,
    ) -> (Noticed, T) {
        let asked = [ASKED, also].concat();
        // Writes once, and lets what the preparation left be done.
        watch(server.port, Duration::from_secs(1), &asked);
        let quiet = watch(server.port, self.plan.stretch / 2, &asked);
        let end = Instant::now() + self.plan.stretch;
        let (loud, done) = std::thread::scope(|scope| {
            let excess = scope.spawn(move || excess(end));
            let loud = watch(server.port, self.plan.stretch, &asked);
            (loud, excess.join().expect("the excess failed"))
        });
        let both = asked.iter().zip(quiet.iter().zip(&loud));
        let noticed: Vec<_> = both.map(|(what, (quiet, loud))| (*what, *quiet, *loud)).collect();
        for (what, quiet, loud) in &noticed {
            self.note(name, what, quiet, loud);
        }
        (Noticed(noticed), done)
    }

    fn note(&mut self, name: &str, asked: &str, quiet: &Waited, loud: &Waited) {
        let pairs = [(quiet.p50, loud.p50), (quiet.p99, loud.p99), (quiet.worst, loud.worst)];
        let mut shown = format!("  {name}: {asked}");
        let mut numbers = Vec::new();
        for (quiet, loud) in pairs {
            numbers.extend([quiet, loud, loud / quiet]);
            let _ = write!(shown, ", {quiet:.2} -> {loud:.2} ms");
        }
        numbers.push(loud.refused);
        eprintln!("{shown}, {:.1} % refused", loud.refused);
        self.table.rows.push((vec![name.to_owned(), asked.to_owned()], numbers));
        self.worst = self.worst.max(loud.worst);
    }

    /// What the excess itself met with: how long its answers took, and how many were not `status`.
    fn row_of_excess(&mut self, name: &str, status: u16, answers: &[Answer]) {
        if !answers.is_empty() {
            self.book.row(format!("{name}: an answer"), "ms", &millis(answers));
        }
        self.row_of_others_than(status, name, answers);
    }

    /// A server that refuses the excess is not slow, and not measured either: the report must say so.
    fn row_of_others_than(&mut self, status: u16, name: &str, answers: &[Answer]) {
        let other = answers.iter().filter(|answer| answer.status != status).count();
        if other > 0 {
            let percent = other as f64 * 100.0 / answers.len() as f64;
            self.book.row(format!("{name}: answers that are not {status}"), "%", &[percent]);
        }
    }

    /// Others' reports take hardly longer.
    fn judge_others(&mut self, name: &str, noticed: &Noticed) {
        let (quiet, loud) = noticed.of(POST);
        let label = format!("{name}: p50 of others' POST");
        let target = Target::at_most(OTHERS);
        self.book.verdict(label, "the same in quiet", "×", &[loud.p50 / quiet.p50], target);
    }

    fn close(mut self) {
        let label = "the longest that anybody waited, beside any of these";
        self.book.verdict(label, "", "ms", &[self.worst], Target::at_most(ANYBODY_MILLIS));
        self.book.table(self.table);
        self.book.close(&self.plan.out);
    }
}

/// What answers took.
fn millis(answers: &[Answer]) -> Vec<f64> {
    answers.iter().map(|answer| answer.millis).collect()
}

/// The POST of an array.
fn array(path: &str, reports: impl Iterator<Item = String>) -> Vec<u8> {
    let (body, mut out) = (reports.collect::<Vec<_>>().join(","), Vec::new());
    load::post(path, format!("[{body}]").as_bytes(), &mut out);
    out
}

/// Asks again and again until the end, on so many connections.
fn ask_on(
    connections: usize,
    port: u16,
    end: Instant,
    request: impl Fn(u64, &mut Vec<u8>) + Sync,
) -> Vec<Answer> {
    let (next, request) = (AtomicU64::new(0), &request);
    let ask = || {
        let (mut client, mut out, mut answers) = (Client::new(port), Vec::new(), Vec::new());
        while Instant::now() < end {
            out.clear();
            request(next.fetch_add(1, Ordering::Relaxed), &mut out);
            answers.extend(client.ask(&out));
        }
        answers
    };
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..connections).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().flat_map(|asking| asking.join().expect("a client failed")).collect()
    })
}
