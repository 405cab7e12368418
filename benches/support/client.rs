//! One connection that asks and waits, for requests that are timed one by one.

use super::answer::{Reader, Step};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// An answer is waited for so long.
const PATIENCE: Duration = Duration::from_mins(2);

/// What came back.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Milliseconds from the first byte sent to the last one read.
    pub millis: f64,
}

/// Asks one server, one request at a time.
pub struct Client {
    port: u16,
    stream: Option<TcpStream>,
    scratch: Vec<u8>,
}

impl Client {
    /// For a port on 127.0.0.1.
    pub fn new(port: u16) -> Self {
        Self { port, stream: None, scratch: vec![0; 1 << 16] }
    }

    /// Sends a request and reads its answer. `None`: the connection ended before that.
    pub fn ask(&mut self, request: &[u8]) -> Option<Answer> {
        let mut stream = self.stream.take().unwrap_or_else(|| connect(self.port));
        let started = Instant::now();
        // A server that refuses may end the connection before it has read everything.
        let _ = stream.write_all(request);
        let mut reader = Reader::new();
        loop {
            let count = stream.read(&mut self.scratch).ok().filter(|count| *count > 0)?;
            if let Step::Done { status, keeps } = reader.feed(&self.scratch[..count]) {
                let millis = started.elapsed().as_secs_f64() * 1e3;
                self.stream = keeps.then_some(stream);
                return Some(Answer { status, millis });
            }
        }
    }

    /// Sends a request that must be answered 200; milliseconds.
    pub fn must(&mut self, request: &[u8]) -> f64 {
        let answer = self.ask(request).expect("an answer");
        assert_eq!(answer.status, 200, "the server refused what it must take");
        answer.millis
    }
}

/// A connection to a port on 127.0.0.1.
pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    stream.set_nodelay(true).expect("no delay");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}
