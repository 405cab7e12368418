//! The server under load, with a clock that a route moves on.

use actix_web::{HttpResponse, web};
use clap::Parser;
use gitops_status_server::commands::serve;
use gitops_status_server::config::Cli;
use gitops_status_server::domain::time::Timestamp;
use gitops_status_server::recorder::Clock;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// Path that sets the clock, in microseconds UTC.
pub const CLOCK: &str = "/soak/clock";
/// How long a host's word is good for: five checks.
pub const STALE_AFTER: i64 = 600_000_000;

/// Runs in the child: serves until it is told to stop, or whoever started it is gone.
pub fn serve(port: u16, database: &str) {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1);
    });
    let url = format!("sqlite://{database}");
    let cli = ["server", "--database-url", &url, "--stale-after", "10m"];
    let cli = Cli::try_parse_from(cli).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let now = Arc::new(AtomicI64::new(super::season::BEGIN));
    let set = now.clone();
    let more = move |config: &mut web::ServiceConfig| {
        let set = set.clone();
        let put = move |at: web::Path<i64>| {
            set.store(*at, Ordering::SeqCst);
            async { HttpResponse::Ok().body("") }
        };
        config.route(&format!("{CLOCK}/{{at}}"), web::post().to(put));
    };
    let clock: Clock = Arc::new(move || Timestamp(now.load(Ordering::SeqCst)));
    let served = serve::serve_on(listener, cli.serve, clock, more);
    actix_web::rt::System::new().block_on(served).unwrap();
}

/// A running server; it is gone when this is.
pub struct Server {
    child: Child,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
}

impl Server {
    /// Starts this program as a server and waits until it is ready.
    pub fn start(database: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--server", &port.to_string(), database.to_str().unwrap()])
            .env_remove("TOKENS_FILE")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let (server, started) = (Self { child, port }, Instant::now());
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(30), "the server did not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops it in order; whether it ended well.
    pub fn stop(mut self) -> bool {
        let id = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status();
        let until = Instant::now() + Duration::from_mins(1);
        while asked.as_ref().is_ok_and(std::process::ExitStatus::success) && Instant::now() < until
        {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
