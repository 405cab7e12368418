//! Connections that stop one byte before the end of a large body.

use super::Beside;
use crate::support::book::Target;
use crate::support::bystander::POST;
use crate::support::client::connect;
use crate::support::server;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// More than all bodies together may have, by a quarter.
const CONNECTIONS: usize = 20;
const BODY_BYTES: usize = 1 << 20;
/// How often a connection looks whether the stretch is over.
const LOOK: Duration = Duration::from_millis(100);

pub fn run(beside: &mut Beside) {
    let name = "20 bodies of 1 MiB that lack a byte";
    let database = beside.database("bodies");
    let server = server::start_logged(&database);
    let (port, before) = (server.port, lines(&database));
    let (noticed, ()) = beside.stretches(name, &server, &[], |end| {
        std::thread::scope(|scope| {
            for _ in 0..CONNECTIONS {
                scope.spawn(move || {
                    while Instant::now() < end {
                        stop_short(port, end);
                    }
                });
            }
        });
    });
    server.stop();
    let lines = lines(&database) - before;
    let refused = noticed.of(POST).1.refused;
    let label = format!("{name}: small reports refused");
    beside.book.verdict(label, "", "%", &[refused], Target::at_most(0.0));
    // The log says so once a minute.
    let minutes = beside.plan.stretch.as_secs_f64() / 60.0;
    let label = format!("{name}: lines of the log");
    beside.book.verdict(label, "", "", &[lines as f64], Target::at_most(1.0 + minutes.floor()));
}

/// Warnings and errors in the log.
fn lines(database: &Path) -> usize {
    let log = std::fs::read_to_string(server::log_of(database)).unwrap();
    log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).count()
}

/// Sends all but a byte, and waits until the server ends the connection.
fn stop_short(port: u16, end: Instant) {
    let mut stream = connect(port);
    stream.set_read_timeout(Some(LOOK)).unwrap();
    let head = format!(
        "POST /status/pipeline HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
    );
    let body = vec![b' '; BODY_BYTES - 1];
    if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).is_err() {
        return;
    }
    let mut scratch = [0; 4096];
    while Instant::now() < end {
        match stream.read(&mut scratch) {
            Ok(0) => return,
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return;
            }
            _ => {}
        }
    }
}
