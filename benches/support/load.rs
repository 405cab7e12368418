//! The load generator: kept-alive connections on one thread, each with one request in flight.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a run gave.
pub struct Run {
    /// Answers per second.
    pub per_second: f64,
    /// Latencies in microseconds, sorted.
    pub latencies: Vec<f64>,
}

/// Sends requests made by `request(n)` over `connections` for `time`; every answer must be 200.
pub fn run(
    port: u16,
    connections: usize,
    time: Duration,
    request: impl Fn(u64, &mut Vec<u8>) + 'static,
) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let (next, request) = (Rc::new(Cell::new(0_u64)), Rc::new(request));
        let started = Instant::now();
        let tasks: Vec<_> = (0..connections)
            .map(|_| {
                let (next, request) = (next.clone(), request.clone());
                tokio::task::spawn_local(async move {
                    let mut connection = Connection::open(port).await;
                    let (mut latencies, mut bytes) = (Vec::new(), Vec::new());
                    while started.elapsed() < time {
                        let n = next.replace(next.get() + 1);
                        bytes.clear();
                        request(n, &mut bytes);
                        let sent = Instant::now();
                        connection.exchange(&bytes).await;
                        latencies.push(sent.elapsed().as_secs_f64() * 1e6);
                    }
                    latencies
                })
            })
            .collect();
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(task.await.unwrap());
        }
        let seconds = started.elapsed().as_secs_f64();
        latencies.sort_by(f64::total_cmp);
        Run { per_second: latencies.len() as f64 / seconds, latencies }
    })
}

/// Appends a GET.
pub fn get(path: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").as_bytes());
}

/// Appends a POST of JSON.
pub fn post(path: &str, body: &str, out: &mut Vec<u8>) {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(body.as_bytes());
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: vec![0; 1 << 20] }
    }

    /// Sends one request and reads its answer, which must have a Content-Length.
    async fn exchange(&mut self, request: &[u8]) {
        self.stream.write_all(request).await.unwrap();
        let mut filled = 0;
        let (head, length) = loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await.unwrap();
            assert!(read > 0, "the server closed the connection");
            filled += read;
            if let Some(end) = self.buffer[..filled].windows(4).position(|w| w == b"\r\n\r\n") {
                let head = std::str::from_utf8(&self.buffer[..end]).unwrap();
                assert!(head.starts_with("HTTP/1.1 200"), "{head}");
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                    .and_then(|length| length.parse::<usize>().ok())
                    .unwrap();
                break (end + 4, length);
            }
        };
        let mut missing = (head + length).saturating_sub(filled);
        while missing > 0 {
            let most = missing.min(self.buffer.len());
            let read = self.stream.read(&mut self.buffer[..most]).await.unwrap();
            assert!(read > 0, "the server closed the connection");
            missing -= read;
        }
    }
}
