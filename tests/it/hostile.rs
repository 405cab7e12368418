//! Bytes that no HTTP library sends: half bodies, slow bodies, contradicting headers.

use crate::harness::{DEADLINE, Server};
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

const REPORT: &str = r#"{"server_group":"g","host":"h","status":"synced"}"#;
const HEAD: &str =
    "POST /status/pipeline HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Status and body of the first answer on a connection; 0 if it was closed without one.
fn read_answer(stream: &mut TcpStream) -> (u16, String) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
            });
            if body.len() >= length.unwrap_or(0) {
                return (head[9..12].parse().unwrap(), body.to_owned());
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return (0, text),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Sends bytes, then nothing more; answers status and body.
fn exchange(server: &Server, bytes: &[u8]) -> (u16, String) {
    let mut stream = connect(server);
    let _ = stream.write_all(bytes);
    read_answer(&mut stream)
}

fn is_problem(body: &str) -> bool {
    serde_json::from_str::<Value>(body).is_ok_and(|body| body["title"].is_string())
}

fn still_well(server: &Server) {
    assert_eq!(server.get("/ready").status, 200);
    assert_eq!(server.lines(), Vec::<Value>::new(), "nothing was stored");
}

#[test]
fn a_body_slower_than_ten_seconds_is_408_and_others_do_not_wait() {
    let server = Server::start();
    let head = format!("{HEAD}Content-Length: {}\r\n\r\n", REPORT.len());
    let begun = Instant::now();
    let mut slow = connect(&server);
    slow.write_all(head.as_bytes()).unwrap();
    slow.write_all(&REPORT.as_bytes()[..10]).unwrap();
    let mut trickle = slow.try_clone().unwrap();
    std::thread::spawn(move || {
        // A byte a second must not keep the request alive.
        for byte in &REPORT.as_bytes()[10..] {
            std::thread::sleep(Duration::from_secs(1));
            if trickle.write_all(&[*byte]).is_err() {
                return;
            }
        }
    });
    assert_eq!(server.get("/status").status, 200, "others are served meanwhile");
    let (status, body) = read_answer(&mut slow);
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(status, 408, "{body}");
    assert!(is_problem(&body), "{body}");
    assert!((9.0..20.0).contains(&seconds), "{seconds}");
    still_well(&server);
}

#[test]
fn half_a_body_stores_nothing() {
    let server = Server::start();
    let length = REPORT.len();
    for (announced, sent) in
        [(length + 1, REPORT), (length, &REPORT[..20]), (length, ""), (length + 5, REPORT)]
    {
        let mut stream = connect(&server);
        write!(stream, "{HEAD}Content-Length: {announced}\r\n\r\n{sent}").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let (status, body) = read_answer(&mut stream);
        assert!(status == 0 || status == 400, "{status} {body}");
        if status == 400 {
            assert!(is_problem(&body), "{body}");
        }
    }
    // Gone without a word.
    for sent in ["POST", HEAD, &format!("{HEAD}Content-Length: 49\r\n\r\n{{")] {
        connect(&server).write_all(sent.as_bytes()).unwrap();
    }
    still_well(&server);
}

#[test]
fn chunked_bodies_are_taken_whole_or_not_at_all() {
    let server = Server::start();
    let head = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n");
    for broken in [
        "zz\r\nabc\r\n0\r\n\r\n".to_owned(),
        "5\r\nabc\r\n0\r\n\r\n".to_owned(),
        format!("-1\r\n{REPORT}\r\n0\r\n\r\n"),
        format!("ffffffffffffffffff\r\n{REPORT}\r\n0\r\n\r\n"),
    ] {
        let mut stream = connect(&server);
        stream.write_all(format!("{head}{broken}").as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let (status, body) = read_answer(&mut stream);
        assert!(status == 0 || status == 400, "{broken}: {status} {body}");
    }
    still_well(&server);
    let (first, last) = REPORT.split_at(7);
    let chunks = format!("{:x}\r\n{first}\r\n{:X}\r\n{last}\r\n0\r\n\r\n", 7, last.len());
    assert_eq!(exchange(&server, format!("{head}{chunks}").as_bytes()).0, 200);
    assert_eq!(server.lines().len(), 1);
}

#[test]
fn a_chunked_body_over_the_limit_is_413_although_no_length_was_announced() {
    let server = Server::start();
    let mut stream = connect(&server);
    let head = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = "x".repeat(64 * 1024);
    for _ in 0..32 {
        write!(stream, "{:x}\r\n{chunk}\r\n", chunk.len()).unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    let (status, body) = read_answer(&mut stream);
    assert_eq!(status, 413, "{body}");
    assert!(is_problem(&body), "{body}");
    still_well(&server);
}

/// What the server says to a chunked body that does not end, sent as fast as it is taken, and
/// whether the connection was ended within the deadline.
fn flood(server: &Server, head: &str) -> (u16, bool) {
    let mut stream = connect(server);
    stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    write!(stream, "{head}Transfer-Encoding: chunked\r\n\r\n").unwrap();
    let mut reader = stream.try_clone().unwrap();
    let answer = std::thread::spawn(move || read_answer(&mut reader).0);
    let chunk = format!("{:x}\r\n{}\r\n", 64 * 1024, "x".repeat(64 * 1024));
    let begun = Instant::now();
    let ended = loop {
        match stream.write_all(chunk.as_bytes()) {
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock) => break true,
            _ if begun.elapsed() > DEADLINE => break false,
            _ => {}
        }
    };
    (answer.join().unwrap(), ended)
}

#[test]
fn a_body_without_end_is_refused_and_its_connection_ended() {
    let server = Server::start();
    let floods = [
        (HEAD, 413),
        ("GET /status HTTP/1.1\r\nHost: x\r\n", 200),
        ("POST /status HTTP/1.1\r\nHost: x\r\n", 405),
        ("POST /nowhere HTTP/1.1\r\nHost: x\r\n", 404),
    ];
    std::thread::scope(|scope| {
        let running = floods.map(|(head, _)| scope.spawn(|| flood(&server, head)));
        for ((head, status), flood) in floods.into_iter().zip(running) {
            assert_eq!(flood.join().unwrap(), (status, true), "{head}");
        }
    });
    still_well(&server);
}

/// A body that stops coming, chunked or of announced length.
#[test]
fn a_stalled_body_is_408_and_its_connection_ended() {
    let server = Server::start();
    let mut stalled = ["Transfer-Encoding: chunked", "Content-Length: 500"].map(|framing| {
        let mut stream = connect(&server);
        write!(stream, "{HEAD}{framing}\r\n\r\n5\r\n{{").unwrap();
        stream
    });
    for stream in &mut stalled {
        assert_eq!(read_answer(stream).0, 408);
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        assert!(ended.is_ok(), "the connection is kept: {ended:?}");
    }
    still_well(&server);
}

#[test]
fn contradicting_or_broken_heads_are_400_and_store_nothing() {
    let server = Server::start();
    let length = REPORT.len();
    let long = "x".repeat(200_000);
    for head in [
        format!("{HEAD}Content-Length: {length}\r\nContent-Length: 3\r\n"),
        format!("{HEAD}Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
        format!("{HEAD}Content-Length: -1\r\n"),
        format!("{HEAD}Content-Length: +{length}\r\n"),
        format!("{HEAD}Content-Length: 1e2\r\n"),
        format!("{HEAD}Content-Length: 99999999999999999999999\r\n"),
        format!("{HEAD}Transfer-Encoding: gzip\r\n"),
        format!("{HEAD}Broken Header: 1\r\nContent-Length: {length}\r\n"),
        format!("{HEAD}X: a\0b\r\nContent-Length: {length}\r\n"),
        format!("{HEAD}X: {long}\r\nContent-Length: {length}\r\n"),
        format!("POST /status/pipeline?{long} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n"),
        format!("POST /status/pipeline HTTP/3.7\r\nHost: x\r\nContent-Length: {length}\r\n"),
        format!("POST /status/\0 HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n"),
        "nonsense\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}".to_owned(),
    ] {
        let mut stream = connect(&server);
        let _ = stream.write_all(format!("{head}\r\n{REPORT}").as_bytes());
        let _ = stream.shutdown(Shutdown::Write);
        let (status, body) = read_answer(&mut stream);
        let shown: String = head.chars().take(120).collect();
        assert!(status == 0 || (400..500).contains(&status), "{shown}: {status} {body}");
    }
    still_well(&server);
}

#[test]
fn two_content_types_are_not_json() {
    let server = Server::start();
    for head in [
        format!("{HEAD}Content-Type: text/plain\r\n"),
        "POST /status/pipeline HTTP/1.1\r\nContent-Type: \u{fe}\r\n".to_owned(),
    ] {
        let request = format!("{head}Content-Length: {}\r\n\r\n{REPORT}", REPORT.len());
        let (status, body) = exchange(&server, request.as_bytes());
        assert!(status < 500, "{status} {body}");
    }
    assert!(server.lines().len() <= 1);
}

#[test]
fn many_requests_on_one_connection_are_answered_in_order() {
    let server = Server::start();
    let request = |host: i32| {
        let report = json!({"server_group":"g","host":host.to_string(),"status":"synced"});
        let report = report.to_string();
        format!("{HEAD}Content-Length: {}\r\n\r\n{report}", report.len())
    };
    let mut requests = (0..20).map(request).collect::<Vec<_>>().concat();
    requests += "GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut stream = connect(&server);
    stream.write_all(requests.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 21);
    let ids: Vec<String> = (1..=20).map(|id| format!("\"id\":\"{id}\"")).collect();
    let places: Vec<usize> = ids.iter().map(|id| text.find(id.as_str()).unwrap()).collect();
    assert!(places.is_sorted());
}

#[test]
fn an_old_client_without_keep_alive_is_served() {
    let server = Server::start();
    let (status, body) = exchange(&server, b"GET /health HTTP/1.0\r\n\r\n");
    assert_eq!((status, body.as_str()), (200, r#"{"status":"ok"}"#));
}

#[test]
fn a_client_that_waits_for_100_continue_is_served() {
    let server = Server::start();
    let mut stream = connect(&server);
    write!(stream, "{HEAD}Expect: 100-continue\r\nContent-Length: {}\r\n\r\n", REPORT.len())
        .unwrap();
    assert_eq!(read_answer(&mut stream).0, 100);
    stream.write_all(REPORT.as_bytes()).unwrap();
    assert_eq!(read_answer(&mut stream).0, 200);
}
