//! `healthcheck`: the container's probe. It needs no settings but the port, no shell and no curl.

use super::Failure;
use crate::config::HealthcheckArgs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long the server may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// Asks `/ready` on this machine; fails with one line if the answer is not 200.
pub fn run(args: &HealthcheckArgs) -> Result<(), Failure> {
    let address = SocketAddr::from(([127, 0, 0, 1], args.api_port));
    let not_there = |error| format!("no server at {address}: {error}");
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE).map_err(not_there)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.lines().next().unwrap_or("an empty answer");
    if status.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    Err(format!("{address} is not ready: {status}").into())
}
