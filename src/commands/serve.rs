//! `serve`: the server.

use super::import::FirstStart;
use super::trust::Trust;
use super::{Database, Failure, Machine, Manner, handles, tokens};
use crate::config::ServeArgs;
use crate::domain::max_age::StaleAfter;
use crate::files::{Location, warning};
use crate::http::{self, AppState, Rules, Tokens};
use crate::recorder::Recorder;
use actix_web::dev::ServerHandle;
use actix_web::web;
use http::server::Door;
use std::net::TcpListener;
use std::time::Duration;

/// Clients that may wait for a connection; of further ones the system makes the waiting longer.
const BACKLOG: i32 = 1024;
/// How often one looks at the clock without being asked,
const CLOCK_LOOK: Duration = Duration::from_secs(1);
/// and while `STATUS_FILE` waits for it.
const HURRIED_LOOK: Duration = Duration::from_millis(50);

/// Serves until SIGTERM or SIGINT; then finishes what is in flight and closes the database.
pub async fn run(args: ServeArgs) -> Result<(), Failure> {
    let address = (args.api_host.as_str(), args.api_port);
    let listener = TcpListener::bind(address).map_err(|error| {
        let (host, port) = address;
        format!("cannot listen on {host}:{port}: {error}; choose another API_HOST or API_PORT")
    })?;
    rustix::net::listen(&listener, BACKLOG)?;
    serve_on(listener, args, Machine::system(), |_| {}).await
}

/// Serves on a listener that is already bound, on a machine of the caller's; `more` may add routes
/// (benches compare with routes of their own).
pub async fn serve_on(
    listener: TcpListener,
    args: ServeArgs,
    machine: impl Into<Machine>,
    more: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
) -> Result<(), Failure> {
    let (tokens, watch) = tokens::load(args.tokens_file.as_deref())?;
    let url = &args.database.database_url;
    let (machine, read_deadline) = (machine.into(), args.read_deadline);
    let manner = Manner { read_deadline, min_free: args.min_free_bytes.0, alone: true };
    let mut database = Database::open(url, machine.clone(), manner).await?;
    let location = Location::parse(url)?;
    if let Some(warning) = warning(&location.path) {
        tracing::warn!("{warning}");
    }
    let ages = args.database.stale_after()?;
    let mut waiting = None;
    if let Some(file) = args.status_file.as_deref().filter(|file| !file.as_os_str().is_empty())
        && database.board.size() == 0
        && let Some(file) = FirstStart::read(file, &ages)?
    {
        waiting = file.import(&database.recorder).await?;
    }
    let clock = machine.clock.clone();
    let mut trust = Trust::open(&database, &location, &args.key, clock).await?;
    let rules = rules(&args, ages, tokens.clone());
    let (recorder, board) = (database.recorder.clone(), database.board.clone());
    let clock_watched = watch_clock(recorder.clone(), waiting);
    let (readers, space) = (database.readers.clone(), database.space.clone());
    let (keys, clock) = (trust.keys.clone(), machine.clock);
    let state = AppState::new(recorder, board, readers, keys, clock, space, rules);
    let state = web::Data::new(state);
    let hosts = state.board.read().hosts.len();
    let address = listener.local_addr()?;
    let (workers, max_connections) =
        (args.workers(), handles::for_connections(args.max_connections));
    let server = http::server::start(Door { listener, workers, max_connections }, &state, more)?;
    tokens::tell(&tokens);
    let watching = watch.map(|watch| tokio::spawn(watch.run()));
    tracing::info!(%address, hosts, entries = state.board.size(), database = args.database.database_url, "ready");
    let (handle, signals) = (server.handle(), tokio::spawn(stop_at_signal(server.handle())));
    let mut server = std::pin::pin!(server);
    let outcome = tokio::select! {
        outcome = &mut server => outcome.map_err(Failure::from),
        // Without its recorder the server could only refuse: whoever runs it starts it again.
        () = database.recorder_ended() => {
            // It stops only while it is polled.
            let ((), _) = tokio::join!(handle.stop(true), &mut server);
            Err("the recorder has ended; the log says why. Nothing that was acknowledged is lost".into())
        }
        failure = clock_watched => Err(failure),
        () = trust.keep_remembering() => unreachable!("it goes on for ever"),
    };
    signals.abort();
    watching.inspect(tokio::task::JoinHandle::abort);
    if let Err(error) = trust.remember().await {
        tracing::warn!(%error, "the newest checkpoint is not remembered");
    }
    drop(trust);
    drop(state);
    database.close().await;
    tracing::info!("stopped");
    outcome
}

/// Looks at the clock, so that the log tells of it before a report does, and imports `STATUS_FILE` if that waits
/// for it. Returns only if the import fails.
async fn watch_clock(recorder: Recorder, mut waiting: Option<FirstStart>) -> Failure {
    loop {
        // With a file there is a hurry: reports that come first make a database that is not empty.
        tokio::time::sleep(if waiting.is_some() { HURRIED_LOOK } else { CLOCK_LOOK }).await;
        if recorder.clock_fault().is_none()
            && let Some(file) = waiting.take()
        {
            match file.import(&recorder).await {
                Ok(left) => waiting = left,
                Err(failure) => return failure,
            }
        }
    }
}

fn rules(args: &ServeArgs, stale_after: StaleAfter, tokens: Tokens) -> Rules {
    Rules {
        stale_after,
        cron_creates_hosts: args.cron_creates_hosts,
        max_body_bytes: args.max_body_bytes.0 as usize,
        pushgateway_compat_job: args.pushgateway_compat_job.trim().to_owned(),
        trusted_proxies: args.trusted_proxies.0.clone(),
        public_url: args.public_url.0.clone(),
        tokens,
    }
}

/// SIGTERM and SIGINT both stop in order; a second one of either does nothing more.
async fn stop_at_signal(server: ServerHandle) {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        tracing::error!("signals cannot be handled; stop the server with SIGKILL, nothing is lost");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: finishing what is in flight"),
        _ = interrupt.recv() => tracing::info!("SIGINT: finishing what is in flight"),
    }
    server.stop(true).await;
}
