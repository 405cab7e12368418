//! What answers hold that their clients do not take: counted, and bounded in bytes.

use crate::harness::{Client, DEADLINE, Server};
use crate::process::Process;
use gitops_status_server::http::{ANSWERS_MAX_BYTES, WINDOWS_MAX_BYTES};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// Bytes that a stream has for itself.
const WINDOW: usize = 64 << 10;
const LARGE: &str = "/history?limit=5000";

/// A server with 5,000 reports of 1,000 hosts.
fn large(folder: &std::path::Path) -> Process {
    let server = Process::wrapped(folder, "RUST_LOG=warn exec \"$0\" 2>log");
    for minute in 0..5 {
        let time = format!("2026-04-26T11:0{minute}:00Z");
        let report = |host| json!({"server_group":"g","host":format!("h{host}"),"status":"failed","last_pipeline_run":time});
        let reports: Vec<Value> = (0..1000).map(report).collect();
        server.post("/status/pipeline", &json!(reports)).ok();
    }
    server
}

/// A client with little room, which asks and takes one byte of its answer.
fn unread(port: u16, path: &str, more: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n").unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    stream
}

fn counted(server: &Client) -> usize {
    let metrics = server.get("/metrics").text();
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix("gitops_answers_in_flight_bytes "));
    value.unwrap().parse().unwrap()
}

/// Waits until nothing is counted any more.
fn all_comes_back(server: &Client) {
    let begun = Instant::now();
    while counted(server) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "{} bytes are kept", counted(server));
    }
}

/// Kibibytes of memory, by the name that the system has for them.
fn memory(process: &Process, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn readers_of_streams_that_do_not_read_cost_no_more_than_their_windows() {
    const READERS: usize = 200;
    let folder = tempfile::tempdir().unwrap();
    let server = large(folder.path());
    assert!(server.get("/history?format=ndjson").body.len() > 2_500_000);
    all_comes_back(&server);
    let idle = memory(&server, "VmRSS");
    for more in ["", "Accept-Encoding: gzip\r\n"] {
        let path = ["/history?format=ndjson", "/history?format=csv"];
        let readers: Vec<TcpStream> =
            (0..READERS).map(|at| unread(server.port, path[at % 2], more)).collect();
        let bytes = counted(&server);
        assert!(bytes <= READERS * WINDOW + WINDOWS_MAX_BYTES, "{bytes}");
        // What is compressed may be all in the network.
        assert!(bytes >= READERS * WINDOW || !more.is_empty(), "{bytes}");
        drop(readers);
        all_comes_back(&server);
    }
    let most = memory(&server, "VmHWM");
    assert!(most - idle < 64 << 10, "{idle} KiB, {most} KiB");
}

#[test]
fn large_answers_that_nobody_takes_make_further_ones_wait_but_no_small_ones() {
    let folder = tempfile::tempdir().unwrap();
    let server = large(folder.path());
    let one = server.get(LARGE).body.len();
    let fit = ANSWERS_MAX_BYTES / one;
    assert!((3..20).contains(&fit), "{one}");
    let held: Vec<TcpStream> = (0..fit).map(|_| unread(server.port, LARGE, "")).collect();
    assert!(counted(&server) >= fit * one, "{}", counted(&server));
    std::thread::scope(|scope| {
        // More than are worked on at once: each waits for room, or for a place to be worked on.
        let wide = [LARGE; 6].map(|path| scope.spawn(|| server.get(path)));
        for path in
            ["/checkpoint", "/proof/7", "/history/g/h7", "/status/g/h7", "/ready", "/summary"]
        {
            let begun = Instant::now();
            assert_eq!(server.get(path).status, 200, "{path}");
            assert!(begun.elapsed() < Duration::from_secs(1), "{path}: {:?}", begun.elapsed());
        }
        for answer in wide.map(|wide| wide.join().unwrap()) {
            // Whoever had to wait too long is told when to come again.
            let answered = answer.status == 200 && answer.body.len() == one;
            let told = answer.status == 503 && answer.header("retry-after") == "5";
            assert!(answered || told, "{}", answer.status);
        }
    });
    assert!(counted(&server) <= ANSWERS_MAX_BYTES, "{}", counted(&server));
    // Who does not read has little time while others wait.
    let begun = Instant::now();
    while server.get(LARGE).status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(15), "the room is not given back");
    }
    drop(held);
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.matches("too many at once").count() <= 2 && !log.contains("ERROR"), "{log}");
}

#[test]
fn a_row_that_is_larger_than_a_window_goes_out_whole() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::wrapped(folder.path(), "exec \"$0\" 2>log");
    let files: Vec<String> = (0..3000).map(|at| format!("{at:05}{}", "x".repeat(100))).collect();
    for host in 0..8 {
        let report = json!({"server_group":"g","host":format!("h{host}"),"status":"out_of_sync","changed_files":files});
        server.pipeline(&report);
        server.pipeline(&json!({"server_group":"g","host":format!("h{host}"),"status":"synced"}));
    }
    for format in ["ndjson", "csv"] {
        let body = server.get(&format!("/history?format={format}&sort=id")).text();
        let heading = usize::from(format == "csv");
        assert_eq!(body.lines().count(), 16 + heading, "{format}");
        assert_eq!(body.matches("02999xxx").count(), if heading == 1 { 16 } else { 8 }, "{format}");
        let gzip = [("Accept-Encoding", "gzip")];
        let zipped = server.get_with(&format!("/history?format={format}&sort=id"), &gzip);
        assert_eq!(zipped.header("content-encoding"), "gzip");
        let mut plain = String::new();
        flate2::read::GzDecoder::new(&*zipped.body).read_to_string(&mut plain).unwrap();
        assert!(plain == body, "{format}");
    }
    all_comes_back(&server);
}

/// The only worker answers others while a clock stands still under what it works out.
#[test]
fn answers_about_all_hosts_are_worked_out_beside_the_workers() {
    let (reached, at_work) = mpsc::channel();
    let (go_on, held) = mpsc::channel::<()>();
    let (reached, held) = (Mutex::new(reached), Mutex::new(held));
    // Whether the next look at the clock is held up: an answer may look more than once.
    let armed = Arc::new(AtomicBool::new(false));
    let next = armed.clone();
    let server = Server::ticking(&[], None, move |_| {
        let beside = std::thread::current().name() == Some("tokio-rt-worker");
        if beside && next.swap(false, Ordering::SeqCst) {
            reached.lock().unwrap().send(()).unwrap();
            held.lock().unwrap().recv_timeout(DEADLINE).unwrap();
        }
    });
    server.pipeline(&json!({"server_group":"g","host":"h","status":"synced"}));
    for path in ["/metrics", "/summary", "/status?status=synced", "/status?at=2026-04-26T12:00:00Z"]
    {
        armed.store(true, Ordering::SeqCst);
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| server.get(path));
            at_work.recv_timeout(DEADLINE).expect(path);
            assert_eq!(server.get("/health").status, 200);
            assert_eq!(server.get("/history/g/h").status, 200);
            go_on.send(()).unwrap();
            assert_eq!(asked.join().unwrap().status, 200, "{path}");
        });
    }
}
