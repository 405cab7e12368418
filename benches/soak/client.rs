//! A kept-alive connection with one request in flight.

use std::io::{Error, ErrorKind, Result};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection; it is opened when it is needed.
pub struct Connection {
    port: u16,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// An answer.
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(self.body).unwrap()
    }
}

impl Connection {
    /// To a port of 127.0.0.1.
    pub fn to(port: u16) -> Self {
        Self { port, stream: None, buffer: vec![0; 1 << 16] }
    }

    /// Asks for a path. The server may have closed a connection that was idle: then on a new one.
    pub async fn get(&mut self, path: &str) -> Result<Answer<'_>> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: soak\r\n\r\n");
        let exchanged = match self.exchange(request.as_bytes()).await {
            Err(_) => self.exchange(request.as_bytes()).await,
            exchanged => exchanged,
        };
        let (status, head, end) = exchanged?;
        Ok(Answer { status, body: &self.buffer[head..end] })
    }

    /// Posts JSON.
    pub async fn post(&mut self, path: &str, body: &str) -> Result<Answer<'_>> {
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: soak\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let (status, head, end) = self.exchange(request.as_bytes()).await?;
        Ok(Answer { status, body: &self.buffer[head..end] })
    }

    /// The status, and where the body begins and ends in the buffer.
    async fn exchange(&mut self, request: &[u8]) -> Result<(u16, usize, usize)> {
        let exchanged = timeout(PATIENCE, self.exchange_now(request)).await;
        let exchanged = exchanged.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
        if exchanged.is_err() {
            self.stream = None;
        }
        exchanged
    }

    async fn exchange_now(&mut self, request: &[u8]) -> Result<(u16, usize, usize)> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
        }
        let stream = self.stream.as_mut().unwrap();
        stream.write_all(request).await?;
        let (mut filled, mut whole) = (0, None);
        loop {
            if let Some((status, head, end)) = whole
                && filled >= end
            {
                return Ok((status, head, end));
            }
            if filled == self.buffer.len() {
                self.buffer.resize(filled * 2, 0);
            }
            let read = stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            whole = match whole {
                None => head_of(&self.buffer[..filled])?,
                known => known,
            };
        }
    }
}

/// The status, the end of the head and the end of the body, once the head is there.
fn head_of(bytes: &[u8]) -> Result<Option<(u16, usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(Error::other)?;
    let status = head.get(9..12).and_then(|status| status.parse().ok());
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.and_then(|length| length.parse::<usize>().ok());
    let (Some(status), Some(length)) = (status, length) else {
        return Err(Error::other(format!("an answer without status or length: {head}")));
    };
    Ok(Some((status, end + 4, end + 4 + length)))
}
