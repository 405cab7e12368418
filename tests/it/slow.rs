//! Clients that take their time: heads that dribble, answers that nobody takes, connections that
//! are only held.

use crate::harness::{DEADLINE, Server};
use crate::process::{Process, run};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const REQUEST: &[u8] = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
const SECOND: Duration = Duration::from_secs(1);

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Asks for /health, and reads the answer.
fn healthy(stream: &mut TcpStream) {
    stream.write_all(REQUEST).unwrap();
    let mut answer = [0; 1024];
    let count = stream.read(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..count]));
}

/// What still comes until the connection is ended, and how long that takes.
fn until_ended(stream: &mut TcpStream) -> (String, f64) {
    let begun = Instant::now();
    let mut rest = Vec::new();
    let end = stream.read_to_end(&mut rest);
    let ended =
        end.as_ref().map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |_| true);
    assert!(ended, "the connection is kept: {end:?}");
    (String::from_utf8(rest).unwrap(), begun.elapsed().as_secs_f64())
}

#[test]
fn a_further_head_that_dribbles_is_408_and_its_connection_ended() {
    let server = Server::start();
    let mut stream = connect(&server);
    healthy(&mut stream);
    let mut dribbling = stream.try_clone().unwrap();
    std::thread::spawn(move || {
        for byte in REQUEST.iter().cycle().take(30) {
            if dribbling.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(SECOND / 2);
        }
    });
    let (said, seconds) = until_ended(&mut stream);
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    assert!((4.0..12.0).contains(&seconds), "{seconds}");
}

#[test]
fn a_further_head_that_stops_coming_is_408() {
    let server = Server::start();
    let mut stream = connect(&server);
    for _ in 0..3 {
        healthy(&mut stream);
    }
    stream.write_all(b"GET /sta").unwrap();
    let (said, seconds) = until_ended(&mut stream);
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    assert!((4.0..12.0).contains(&seconds), "{seconds}");
}

#[test]
fn heads_and_pauses_within_their_time_keep_the_connection() {
    let server = Server::start();
    let mut stream = connect(&server);
    for pause in [0, 3, 7] {
        std::thread::sleep(SECOND * pause);
        let (first, last) = REQUEST.split_at(9);
        stream.write_all(first).unwrap();
        std::thread::sleep(SECOND * 2);
        stream.write_all(last).unwrap();
        let mut answer = [0; 1024];
        let count = stream.read(&mut answer).unwrap();
        assert!(answer[..count].starts_with(b"HTTP/1.1 200"));
    }
}

/// A client with little room for what it has not read yet.
fn cramped(address: SocketAddr, request: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    write!(stream, "GET {request} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    stream
}

/// Reads so many bytes each tenth of a second, until the end of the answer or of the connection;
/// answers how many came, and how long it took. Gives up after 50 s.
fn read_slowly(mut stream: TcpStream, bytes: usize) -> (usize, f64) {
    let begun = Instant::now();
    let (mut count, mut ended) = (0, false);
    let mut buffer = vec![0; bytes];
    while !ended && begun.elapsed() < SECOND * 50 {
        std::thread::sleep(SECOND / 10);
        // The system knows of the end before the reader has come to it.
        ended = stream.take_error().unwrap().is_some();
        if bytes > 0 {
            let more = stream.read(&mut buffer).unwrap_or(0);
            count += more;
            ended |= more == 0 || buffer[..more].ends_with(b"0\r\n\r\n");
        }
    }
    (count, begun.elapsed().as_secs_f64())
}

/// A server with 4,000 reports of 1,000 hosts.
fn large() -> Server {
    let server = Server::start();
    for minute in 0..4 {
        let time = format!("2026-04-26T11:0{minute}:00Z");
        let report = |host| json!({"server_group":"g","host":format!("h{host}"),"status":"failed","last_pipeline_run":time});
        let reports: Vec<Value> = (0..1000).map(report).collect();
        server.post("/status/pipeline", &json!(reports)).ok();
    }
    server
}

#[test]
fn an_answer_that_nobody_takes_ends_its_connection_and_holds_no_other_up() {
    let server = large();
    let address = server.address;
    let size = server.get("/history?format=ndjson").body.len();
    assert!(size > 2_000_000, "{size}");
    std::thread::scope(|scope| {
        let reading = |request: &'static str, bytes| {
            scope.spawn(move || read_slowly(cramped(address, request), bytes))
        };
        let stuck = [
            reading("/status", 0),
            reading("/history?limit=4000", 0),
            reading("/history?format=ndjson", 0),
            reading("/history?format=ndjson", 5),
            reading("/history?format=ndjson", 50),
            reading("/history?format=csv", 0),
        ];
        let patient = reading("/history?format=ndjson", 6000);
        std::thread::sleep(SECOND * 3);
        // There are four connections to the database, and six readers that do not read.
        let begun = Instant::now();
        assert_eq!(server.json("/history?host=h7&limit=1")["items"].as_array().unwrap().len(), 1);
        assert!(begun.elapsed() < SECOND * 2, "{:?}", begun.elapsed());
        for reader in stuck {
            let (count, seconds) = reader.join().unwrap();
            assert!(count < size / 2, "{count} of {size}");
            assert!((20.0..45.0).contains(&seconds), "{seconds}");
        }
        // One that does read may take as long as it needs.
        let (count, seconds) = patient.join().unwrap();
        assert!(count > size / 4 && seconds > 40.0, "{count} of {size} in {seconds} s");
    });
}

/// actix forgets such a connection: it is neither idle nor at its first head.
#[test]
fn a_head_that_began_with_the_request_before_it_is_not_waited_for_either() {
    let server = Server::with(&["--max-connections", "1"]);
    let mut stream = connect(&server);
    stream.write_all(&[REQUEST, b"GET"].concat()).unwrap();
    let (said, seconds) = until_ended(&mut stream);
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    assert!((4.0..16.0).contains(&seconds), "{seconds}");
}

#[test]
fn held_connections_give_way_when_no_other_is_left() {
    let server = Server::with(&["--max-connections", "6"]);
    let mut held: Vec<TcpStream> = (0..6).map(|_| connect(&server)).collect();
    for stream in &mut held[..3] {
        healthy(stream);
    }
    held[0].write_all(b"GET /he").unwrap();
    let (mut new, begun) = (connect(&server), Instant::now());
    healthy(&mut new);
    let seconds = begun.elapsed().as_secs_f64();
    assert!((1.0..15.0).contains(&seconds), "{seconds}");
    for stream in [0, 3, 4, 5] {
        assert!(until_ended(&mut held[stream]).0.starts_with("HTTP/1.1 408 "), "{stream}");
    }
}

#[test]
fn idle_connections_stay_while_there_is_room() {
    let server = Server::with(&["--max-connections", "8"]);
    let mut held: Vec<TcpStream> = (0..3).map(|_| connect(&server)).collect();
    for stream in &mut held {
        healthy(stream);
    }
    std::thread::sleep(SECOND * 12);
    for stream in &mut held {
        healthy(stream);
    }
}

#[test]
fn connections_leave_file_handles_for_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let script = "ulimit -n 150; RUST_LOG=warn exec \"$0\" 2>log";
    let process = Process::wrapped(folder.path(), script);
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("only 150 files may be open") && log.contains("LimitNOFILE"), "{log}");
    let address = SocketAddr::from(([127, 0, 0, 1], process.port));
    let held: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    let report = json!({"server_group":"g","host":"h","status":"synced"});
    for _ in 0..3 {
        process.pipeline(&report);
        assert_eq!(process.get("/ready").status, 200);
    }
    assert_eq!(process.lines().len(), 3);
    drop(held);
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(!log.contains("Too many open files"), "{log}");
}

#[test]
fn more_file_handles_are_taken_where_the_system_allows_it() {
    let folder = tempfile::tempdir().unwrap();
    let script = "ulimit -S -n 200; RUST_LOG=warn exec \"$0\" 2>log";
    let process = Process::wrapped(folder.path(), script);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let soft: u64 = files.split_whitespace().nth(3).unwrap().parse().unwrap();
    assert!(soft >= 1024 + 100, "{files}");
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(!log.contains("files may be open"), "{log}");
}

#[test]
fn a_number_of_connections_that_makes_no_sense_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for wrong in ["0", "-1", "many"] {
        let output = run(folder.path(), &[&format!("--max-connections={wrong}")]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("--max-connections") && said.lines().count() == 1, "{said}");
    }
}
