//! The server under measurement: the real one, in a process of its own, with two routes more to
//! compare with.

use actix_web::{HttpResponse, web};
use clap::Parser;
use gitops_status_server::commands::{serve, system_clock};
use gitops_status_server::config::Cli;
use gitops_status_server::http;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Path that parses and validates a pipeline report, and stores nothing.
pub const PARSE_ONLY: &str = "/bench/parse-only";
/// Path that serves fixed bytes from memory: the body `/status` had at the first request.
pub const FIXED: &str = "/bench/fixed";

/// Runs in the child: serves on a port until it is told to stop.
pub fn serve(port: u16, database: &str) {
    let url = format!("sqlite://{database}");
    let cli = Cli::try_parse_from(["server", "--database-url", &url]).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let fixed = std::fs::read(format!("{database}.fixed")).unwrap_or_default();
    let fixed = web::Bytes::from(fixed);
    let more = move |config: &mut web::ServiceConfig| {
        let fixed = fixed.clone();
        config.route(PARSE_ONLY, web::post().to(http::parse_only));
        config.route(
            FIXED,
            web::get().to(move || {
                let body = fixed.clone();
                async move { HttpResponse::Ok().content_type("application/json").body(body) }
            }),
        );
    };
    let served = serve::serve_on(listener, cli.serve, system_clock(), more);
    actix_web::rt::System::new().block_on(served).unwrap();
}

/// A running server.
pub struct Server {
    child: Child,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    /// From its start to the first 200 of `/ready`.
    pub ready_after: Duration,
}

impl Server {
    /// Starts this program as a server and waits until it is ready.
    pub fn start(database: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let started = Instant::now();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--server", &port.to_string(), database.to_str().unwrap()])
            .spawn()
            .unwrap();
        while !is_ready(port) {
            assert!(started.elapsed() < Duration::from_secs(30), "the server did not start");
            std::thread::sleep(Duration::from_millis(1));
        }
        Self { child, port, ready_after: started.elapsed() }
    }

    /// Memory in MiB, by a name in /proc (VmRSS: now, VmHWM: at most so far).
    pub fn memory(&self, name: &str) -> f64 {
        memory_of(self.child.id(), name)
    }

    /// Stops it in order.
    pub fn stop(mut self) {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

/// Memory of a process in MiB.
pub fn memory_of(id: u32, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let digits = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    digits.parse::<f64>().unwrap_or(0.0) / 1024.0
}

fn is_ready(port: u16) -> bool {
    use std::io::{Read, Write};
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let asked =
        stream.write_all(b"GET /ready HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.contains(" 200 ")
}
