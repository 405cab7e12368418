//! The load generator: one thread, pinned to a processor, kept-alive connections that have one
//! request in flight each. Closed loop (the next request follows the answer) or open loop (requests
//! are due at a constant rate, and latency counts from when one was due).

use super::answer::{Reader, Step};
use super::pin;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// What a run gave.
pub struct Run {
    /// Answers per second.
    pub per_second: f64,
    /// Latencies in microseconds, sorted.
    pub latencies: Vec<f64>,
    /// Part of the time that the generator's own thread was running: near 1, it was the limit.
    pub busy: f64,
    /// Answers with a status other than 200.
    pub refused: usize,
}

impl Run {
    /// The latency that this part of all answers stayed below.
    pub fn quantile(&self, part: f64) -> f64 {
        super::quantile(&self.latencies, part)
    }
}

/// What is sent, and how.
#[derive(Clone, Copy)]
pub struct Load {
    /// Where to, on 127.0.0.1.
    pub port: u16,
    /// How many connections.
    pub connections: usize,
    /// How long.
    pub time: Duration,
    /// Requests per second that are due, or as fast as answers come.
    pub rate: Option<f64>,
    /// The status every answer must have; `None`: a busy server may also refuse.
    pub status: Option<u16>,
}

impl Load {
    /// Closed loop; answers are 200.
    pub const fn new(port: u16, connections: usize, time: Duration) -> Self {
        Self { port, connections, time, rate: None, status: Some(200) }
    }

    /// Open loop.
    pub const fn at_rate(self, rate: f64) -> Self {
        Self { rate: Some(rate), ..self }
    }

    /// Answers have another status.
    pub const fn answered(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    /// Answers may have any status.
    pub const fn answered_anyhow(self) -> Self {
        Self { status: None, ..self }
    }

    /// Sends the requests that `request(n)` writes.
    pub fn run(self, request: impl FnMut(u64, &mut Vec<u8>) + Send) -> Run {
        // A thread of its own: whoever is pinned hands that down to the processes it starts.
        std::thread::scope(|scope| {
            scope.spawn(|| generate(self, request)).join().expect("the load generator failed")
        })
    }
}

/// Appends a GET.
pub fn get(path: &str, out: &mut Vec<u8>) {
    let _ = write!(out, "GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n");
}

/// Appends a request with a body.
pub fn send(method: &str, path: &str, kind: &str, body: &[u8], out: &mut Vec<u8>) {
    let length = body.len();
    let _ = write!(
        out,
        "{method} {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    );
    out.extend_from_slice(body);
}

/// Appends a POST of JSON.
pub fn post(path: &str, body: &[u8], out: &mut Vec<u8>) {
    send("POST", path, "application/json", body, out);
}

fn generate(load: Load, request: impl FnMut(u64, &mut Vec<u8>)) -> Run {
    pin::generator();
    let mut generator = Generator::new(load, request);
    let before = pin::thread_time();
    let started = Instant::now();
    generator.drive(started);
    let seconds = started.elapsed().as_secs_f64();
    let busy = pin::thread_time().saturating_sub(before).as_secs_f64() / seconds;
    let mut latencies = generator.latencies;
    latencies.sort_by(f64::total_cmp);
    let refused = generator.refused;
    Run { per_second: latencies.len() as f64 / seconds, latencies, busy, refused }
}

struct Generator<R> {
    load: Load,
    request: R,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    /// Those with nothing in flight.
    idle: VecDeque<usize>,
    next: u64,
    scratch: Vec<u8>,
    latencies: Vec<f64>,
    refused: usize,
}

struct Connection {
    stream: Option<TcpStream>,
    out: Vec<u8>,
    written: usize,
    reader: Reader,
    due: Instant,
    in_flight: bool,
}

impl<R: FnMut(u64, &mut Vec<u8>)> Generator<R> {
    fn new(load: Load, request: R) -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
        let now = Instant::now();
        let new = |_| Connection {
            stream: None,
            out: vec![],
            written: 0,
            reader: Reader::new(),
            due: now,
            in_flight: false,
        };
        let connections: Vec<_> = (0..load.connections).map(new).collect();
        let mut generator = Self {
            load,
            request,
            epoll,
            connections,
            idle: (0..load.connections).collect(),
            next: 0,
            scratch: vec![0; 1 << 18],
            latencies: Vec::with_capacity(1 << 20),
            refused: 0,
        };
        (0..load.connections).for_each(|at| generator.connect(at));
        generator
    }

    fn drive(&mut self, started: Instant) {
        let end = started + self.load.time;
        // Whoever does not answer ends the run, and with it the bench.
        let patience = end + Duration::from_mins(1);
        let gap = self.load.rate.map(|rate| Duration::from_secs_f64(1.0 / rate));
        let mut events = Vec::with_capacity(self.load.connections);
        loop {
            let now = Instant::now();
            assert!(now < patience, "a peer did not answer within a minute");
            let wait = match gap {
                None => {
                    while now < end
                        && let Some(at) = self.idle.pop_front()
                    {
                        self.issue(at, now);
                    }
                    None
                }
                Some(gap) => self.issue_due(started, gap, now, end),
            };
            let in_flight = self.idle.len() < self.load.connections;
            if !in_flight && wait.is_none() {
                return;
            }
            self.wait(wait, &mut events);
            for event in events.drain(..) {
                self.advance(event);
            }
        }
    }

    /// Sends what is due, and says how long until the next will be; `None`: nothing more will be.
    fn issue_due(
        &mut self,
        started: Instant,
        gap: Duration,
        now: Instant,
        end: Instant,
    ) -> Option<Duration> {
        loop {
            let due = started + gap.mul_f64(self.next as f64);
            if due >= end {
                return None;
            }
            if due > now {
                return Some(due - now);
            }
            // All connections are waiting for answers: this one waits too, and its time runs.
            let Some(at) = self.idle.pop_front() else { return Some(Duration::from_millis(50)) };
            self.issue(at, due);
        }
    }

    /// Fills `events` with what is ready, waiting at most so long (no limit: a second).
    fn wait(&self, most: Option<Duration>, events: &mut Vec<epoll::Event>) {
        let most = most.unwrap_or(Duration::from_secs(1));
        let timeout =
            Timespec { tv_sec: most.as_secs() as i64, tv_nsec: i64::from(most.subsec_nanos()) };
        if self.load.rate.is_some() {
            // epoll_wait knows milliseconds only, ppoll nanoseconds.
            let mut ready = [PollFd::new(&self.epoll, PollFlags::IN)];
            let _ = poll(&mut ready, Some(&timeout));
            let none = Timespec { tv_sec: 0, tv_nsec: 0 };
            let _ = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), Some(&none));
        } else {
            let _ =
                epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), Some(&timeout));
        }
    }

    fn connect(&mut self, at: usize) {
        let stream = TcpStream::connect(("127.0.0.1", self.load.port)).expect("connect");
        stream.set_nodelay(true).expect("no delay");
        stream.set_nonblocking(true).expect("non-blocking");
        let data = epoll::EventData::new_u64(at as u64);
        epoll::add(&self.epoll, &stream, data, epoll::EventFlags::IN).expect("epoll");
        self.connections[at].stream = Some(stream);
    }

    fn issue(&mut self, at: usize, due: Instant) {
        if self.connections[at].stream.is_none() {
            self.connect(at);
        }
        let connection = &mut self.connections[at];
        connection.out.clear();
        connection.written = 0;
        connection.due = due;
        connection.in_flight = true;
        (self.request)(self.next, &mut connection.out);
        self.next += 1;
        self.write(at, false);
    }

    /// Writes what the socket takes; the rest when it takes more.
    fn write(&mut self, at: usize, was_waiting: bool) {
        let connection = &mut self.connections[at];
        let stream = connection.stream.as_mut().expect("it is connected");
        while connection.written < connection.out.len() {
            match stream.write(&connection.out[connection.written..]) {
                Ok(count) => connection.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("sending: {error}"),
            }
        }
        let waits = connection.written < connection.out.len();
        if waits != was_waiting {
            let flags = epoll::EventFlags::IN
                | if waits { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
            let data = epoll::EventData::new_u64(at as u64);
            epoll::modify(&self.epoll, &*stream, data, flags).expect("epoll");
        }
    }

    fn advance(&mut self, event: epoll::Event) {
        let (at, flags) = (event.data.u64() as usize, event.flags);
        if flags.contains(epoll::EventFlags::OUT) {
            self.write(at, true);
        }
        let connection = &mut self.connections[at];
        let Some(stream) = connection.stream.as_mut() else { return };
        let count = match stream.read(&mut self.scratch) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("receiving: {error}"),
        };
        if count == 0 && !connection.in_flight {
            connection.stream = None;
            return;
        }
        let Step::Done { status, keeps } = connection.reader.feed(&self.scratch[..count]) else {
            return;
        };
        let wanted = self.load.status.unwrap_or(status);
        assert_eq!(status, wanted, "a peer answered with another status");
        self.refused += usize::from(status != 200);
        self.latencies.push(connection.due.elapsed().as_secs_f64() * 1e6);
        connection.in_flight = false;
        if !keeps {
            connection.stream = None; // closing takes it out of epoll
        }
        self.idle.push_back(at);
    }
}
