//! Plays the season: sends what is due at each step, waits for all answers, moves the clock on.

use super::Plan;
use super::client::Connection;
use super::readers;
use super::samples::{Sample, Times, Watch};
use super::season::{Request, STEPS_OF_A_DAY, Season, remove};
use super::server::{CLOCK, Server};
use futures_util::future::join_all;
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::LocalSet;

/// Connections that report.
const REPORTING: usize = 32;
/// How often it is sampled.
const SAMPLING: Duration = Duration::from_secs(5);
/// A short season is sampled so many times at least.
const SAMPLES: u32 = 40;

/// What came out.
pub struct Played {
    /// The hosts, and what they were told.
    pub season: Season,
    /// Reports acknowledged as new.
    pub acknowledged: u64,
    /// Reports acknowledged as known already.
    pub known: u64,
    /// How long it took.
    pub took: Duration,
    /// Days played.
    pub days: f64,
    /// What was seen on the way.
    pub samples: Vec<Sample>,
    /// Why it ended early.
    pub broken: Option<String>,
    /// `GET /status` at the end.
    pub rows: serde_json::Value,
    /// `gitops_history_entries` at the end.
    pub entries: u64,
    /// Whether the server ended in order.
    pub stopped: bool,
}

/// Plays the plan on a new database.
pub fn play(plan: &Plan, database: &Path) -> Played {
    remove(database);
    let server = Server::start(database);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut played = LocalSet::new().block_on(&runtime, async {
        let mut player = Player::new(plan, &server, database);
        let broken = player.run(plan).await.err();
        player.finish(broken).await
    });
    drop(runtime);
    played.stopped = server.stop();
    played
}

struct Player {
    port: u16,
    season: Season,
    connections: Vec<Connection>,
    control: Connection,
    /// Moves the readers on, too.
    clock: watch::Sender<i64>,
    times: Rc<RefCell<Times>>,
    /// What a reader met.
    trouble: Rc<RefCell<Option<String>>>,
    watch: Watch,
    sampling: Duration,
    started: Instant,
    samples: Vec<Sample>,
    acknowledged: u64,
    known: u64,
    steps: u64,
}

impl Player {
    fn new(plan: &Plan, server: &Server, database: &Path) -> Self {
        let (season, port) = (Season::new(), server.port);
        let (clock, moved) = watch::channel(season.now());
        let (times, trouble) = (Rc::default(), Rc::default());
        readers::start(port, &moved, &times, &trouble);
        Self {
            port,
            season,
            connections: (0..REPORTING).map(|_| Connection::to(port)).collect(),
            control: Connection::to(port),
            clock,
            times,
            trouble,
            watch: Watch::new(server.id(), database),
            sampling: SAMPLING.min(plan.within / SAMPLES),
            started: Instant::now(),
            samples: Vec::new(),
            acknowledged: 0,
            known: 0,
            steps: 0,
        }
    }

    fn days(&self) -> f64 {
        self.steps as f64 / STEPS_OF_A_DAY
    }

    async fn run(&mut self, plan: &Plan) -> Result<(), String> {
        let begin = self.season.begin();
        self.send(begin).await?;
        let (mut sampled, mut told) = (Instant::now(), Instant::now());
        while self.days() < plan.days {
            if self.started.elapsed() > plan.within {
                return Err(format!("only {:.2} of {} days in time", self.days(), plan.days));
            }
            let due = self.season.advance();
            self.steps += 1;
            let now = self.season.now();
            let moved = self.control.post(&format!("{CLOCK}/{now}"), "").await;
            moved.map_err(|error| format!("the clock: {error}"))?;
            self.clock.send_replace(now);
            self.send(due).await?;
            if let Some(trouble) = self.trouble.borrow_mut().take() {
                return Err(trouble);
            }
            if sampled.elapsed() >= self.sampling {
                self.sample(sampled.elapsed()).await?;
                sampled = Instant::now();
            }
            if told.elapsed() >= Duration::from_mins(1) {
                let (days, minutes) = (self.days(), self.started.elapsed().as_secs() / 60);
                println!("{minutes} min: {days:.2} days, {} reports", self.acknowledged);
                told = Instant::now();
            }
        }
        // What was seen since: of a short season, all there is.
        self.sample(sampled.elapsed()).await
    }

    /// Sends requests over all connections, and takes in what was acknowledged.
    async fn send(&mut self, due: Vec<Request>) -> Result<(), String> {
        let next = Cell::new(0);
        let mut latencies = Vec::with_capacity(due.len());
        let sending = self.connections.iter_mut().map(async |connection| {
            let mut taken = Vec::new();
            while let Some(request) = due.get(next.replace(next.get() + 1)) {
                let sent = Instant::now();
                send_one(connection, request).await?;
                taken.push(sent.elapsed().as_secs_f64() * 1000.0);
            }
            Ok::<_, String>(taken)
        });
        for taken in join_all(sending).await {
            latencies.extend(taken?);
        }
        self.times.borrow_mut().add("report", &latencies);
        for request in &due {
            if request.known {
                self.known += request.tells.len() as u64;
                continue;
            }
            self.acknowledged += request.tells.len() as u64;
            for (host, time, status) in &request.tells {
                self.season.hosts[*host].told.hear(*time, *status);
            }
        }
        Ok(())
    }

    /// Looks at the process, the files and the latencies since the last time; compares `/summary`.
    async fn sample(&mut self, since: Duration) -> Result<(), String> {
        let summary = self.control.get("/summary").await;
        let summary = summary.map_err(|error| format!("/summary: {error}"))?.json();
        let expected = self.season.summary();
        let words = ["synced", "out_of_sync", "failed", "stale"];
        if words.iter().zip(expected).any(|(word, count)| summary[word] != count) {
            let day = self.days();
            return Err(format!("day {day:.2}: /summary is {summary}, not {expected:?}"));
        }
        let times = std::mem::take(&mut *self.times.borrow_mut());
        let (at, days) = (self.started.elapsed().as_secs_f64(), self.days());
        let before = self.samples.last().map_or(0, |sample| sample.reports);
        let rate = (self.acknowledged - before) as f64 / since.as_secs_f64();
        let sample = self.watch.look(at, days, self.acknowledged, rate, expected, times);
        self.samples.push(sample);
        Ok(())
    }

    /// What the server says at the end.
    async fn finish(self, broken: Option<String>) -> Played {
        let took = self.started.elapsed();
        let mut connection = Connection::to(self.port);
        let rows = connection.get("/status").await.map(|answer| answer.json());
        let metrics = connection.get("/metrics").await;
        let metrics = metrics.map(|answer| String::from_utf8_lossy(answer.body).into_owned());
        let entries = metrics.ok().and_then(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix("gitops_history_entries "))
                .and_then(|entries| entries.parse::<f64>().ok())
        });
        // A reader may have met something in the last step.
        let broken = broken.or_else(|| self.trouble.borrow_mut().take());
        Played {
            days: self.days(),
            season: self.season,
            acknowledged: self.acknowledged,
            known: self.known,
            took,
            samples: self.samples,
            broken,
            rows: rows.unwrap_or_default(),
            entries: entries.unwrap_or_default() as u64,
            stopped: false,
        }
    }
}

/// Sends one request; its answer must acknowledge all of it.
async fn send_one(connection: &mut Connection, request: &Request) -> Result<(), String> {
    let Request { path, body, tells, known } = request;
    let answer = connection.post(path, body).await.map_err(|error| format!("{path}: {error}"))?;
    let said = String::from_utf8_lossy(answer.body);
    let duplicates = said.matches(r#""duplicate":true"#).count();
    let expected = if *known { tells.len() } else { 0 };
    let all = said.matches(r#""duplicate":"#).count();
    if answer.status == 200 && duplicates == expected && all == tells.len() {
        return Ok(());
    }
    Err(format!("{path} answered {} to {body}: {said}", answer.status))
}
