//! A plain HTTP/1.1 client that knows what became of a request: never sent, answered, or broken off in
//! between. A library that repeats a request by itself would spoil the ledger.

use crate::run::PATIENCE;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// Nobody listens: the request was surely not taken.
    #[error("no server: {0}")]
    NotSent(std::io::Error),
    /// The connection broke off after some of the request was sent.
    #[error("broken off: {0}")]
    Unanswered(std::io::Error),
}

/// One connection, made when it is needed and again when it is gone.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Connection {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    pub fn get(&mut self, path: &str) -> Result<Answer, Broken> {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: faults\r\n\r\n").as_bytes())
    }

    pub fn post(&mut self, path: &str, key: Option<&str>, body: &str) -> Result<Answer, Broken> {
        self.ask(&post(path, key, body))
    }

    /// Sends bytes and reads one answer.
    pub fn ask(&mut self, request: &[u8]) -> Result<Answer, Broken> {
        self.send(request)?;
        self.answer()
    }

    /// Sends bytes, and no more.
    pub fn send(&mut self, request: &[u8]) -> Result<(), Broken> {
        let stream = if let Some(stream) = &mut self.stream {
            stream
        } else {
            let stream = connect(self.address).map_err(Broken::NotSent)?;
            self.stream.insert(BufReader::new(stream))
        };
        let sent = stream.get_mut().write_all(request);
        sent.map_err(|error| {
            self.stream = None;
            Broken::Unanswered(error)
        })
    }

    /// Reads the answer to what was sent.
    pub fn answer(&mut self) -> Result<Answer, Broken> {
        let stream = self.stream.as_mut().expect("something was sent");
        let answer = read_answer(stream);
        if !matches!(&answer, Ok((_, true))) {
            self.stream = None;
        }
        answer.map(|(answer, _)| answer).map_err(Broken::Unanswered)
    }
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The bytes of a POST.
pub fn post(path: &str, key: Option<&str>, body: &str) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: faults\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    if let Some(key) = key {
        let _ = write!(request, "Idempotency-Key: {key}\r\n");
    }
    (request + "\r\n" + body).into_bytes()
}

/// One answer, and whether the connection stays.
pub fn read_answer(stream: &mut impl BufRead) -> std::io::Result<(Answer, bool)> {
    let broken =
        |what: &str| std::io::Error::new(std::io::ErrorKind::UnexpectedEof, what.to_owned());
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.get(9..12).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| broken("no status line"))?;
    let (mut length, mut chunked, mut stays) = (0, false, true);
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(broken("half a head"));
        }
        let header = line.trim_end().to_ascii_lowercase();
        let Some((name, value)) = header.split_once(':') else { break };
        match (name, value.trim()) {
            ("content-length", value) => length = value.parse().map_err(|_| broken("length"))?,
            ("transfer-encoding", "chunked") => chunked = true,
            ("connection", "close") => stays = false,
            _ => {}
        }
    }
    let mut body = Vec::new();
    if chunked {
        read_chunks(stream, &mut body)?;
    } else {
        body.resize(length, 0);
        stream.read_exact(&mut body)?;
    }
    Ok((Answer { status, body }, stays))
}

fn read_chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> std::io::Result<()> {
    let broken = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    loop {
        let mut size = String::new();
        stream.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16).map_err(|_| broken())?;
        let at = body.len();
        body.resize(at + size + 2, 0);
        stream.read_exact(&mut body[at..])?;
        body.truncate(at + size);
        if size == 0 {
            return Ok(());
        }
    }
}
