//! The server under measurement: the real one, in a process of its own, with three routes more to
//! compare with.

use super::pin;
use super::process::Service;
use actix_web::{HttpResponse, web};
use clap::Parser;
use gitops_status_server::commands::{serve, system_clock};
use gitops_status_server::config::Cli;
use gitops_status_server::http;
use std::ffi::OsString;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Path that parses and validates a pipeline report, and stores nothing.
pub const PARSE_ONLY: &str = "/bench/parse-only";
/// Path that serves fixed bytes from memory: what lies in a file beside the database.
pub const FIXED: &str = "/bench/fixed";
/// Path that answers 200 and nothing.
pub const EMPTY: &str = "/bench/empty";

/// Runs in the child: serves on a port until it is told to stop.
pub fn serve(port: u16, database: &str) {
    pin::server();
    let url = format!("sqlite://{database}");
    let cli = Cli::try_parse_from(["server", "--database-url", &url]).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    rustix::net::listen(&listener, 1024).unwrap(); // as the product does
    let fixed = std::fs::read(format!("{database}.fixed")).unwrap_or_default();
    let fixed = web::Bytes::from(fixed);
    let more = move |config: &mut web::ServiceConfig| {
        let fixed = fixed.clone();
        let body = move || {
            let body = fixed.clone();
            async move { HttpResponse::Ok().content_type("application/json").body(body) }
        };
        config.route(PARSE_ONLY, web::post().to(http::parse_only));
        config.route(FIXED, web::get().to(body));
        config.route(EMPTY, web::get().to(async || HttpResponse::Ok().finish()));
    };
    let served = serve::serve_on(listener, cli.serve, system_clock(), more);
    actix_web::rt::System::new().block_on(served).unwrap();
}

/// Starts this program as a server and waits until it is ready.
pub fn start(database: &Path) -> Service {
    Service::start("/ready", |port| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--server", &port.to_string()]).arg(database);
        command
    })
}

/// Starts the product as it is shipped, without the routes to compare with: its memory and its start
/// are its own.
pub fn start_product(database: &Path) -> Service {
    Service::start("/ready", |port| product(database, port, "error"))
}

/// The same, with a log of warnings and errors beside the database: [`log_of`].
pub fn start_logged(database: &Path) -> Service {
    let log = std::fs::File::options().create(true).append(true).open(log_of(database)).unwrap();
    Service::start("/ready", |port| {
        let mut command = product(database, port, "warn");
        command.stdout(log.try_clone().unwrap()).stderr(log);
        command
    })
}

/// Where a server's log is.
pub fn log_of(database: &Path) -> PathBuf {
    database.with_extension("log")
}

fn product(database: &Path, port: u16, log: &str) -> Command {
    let mut command = command(&["serve"], database);
    command.args(["--api-host", "127.0.0.1", "--api-port", &port.to_string()]);
    command.env("RUST_LOG", log);
    command
}

/// The release binary beside this bench, or the one that `BENCH_BINARY` names.
fn binary() -> OsString {
    let beside = || env!("CARGO_BIN_EXE_gitops-status-server").into();
    std::env::var_os("BENCH_BINARY").unwrap_or_else(beside)
}

/// The release binary, for a subcommand on a database.
pub fn command(arguments: &[&str], database: &Path) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).arg("--database-url").arg(format!("sqlite://{}", database.display()));
    command
}
