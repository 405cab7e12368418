//! The HTTP server: actix's, put together by hand, because its connections are ours.

use super::connection::{Connection, Crowd, HEAD_DEADLINE, KEEP_ALIVE};
use super::{AppState, edge, routes, site};
use actix_http::HttpService;
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::App;
use actix_web::dev::AppConfig;
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::web;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

/// How long a client may take to close after an answer that ends its connection.
const DISCONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// How long requests in flight may take after a stop signal, in seconds.
const SHUTDOWN_SECONDS: u64 = 20;

/// Where and how wide the server is open.
pub struct Door {
    /// Bound already.
    pub listener: TcpListener,
    /// Threads that answer.
    pub workers: usize,
    /// Connections that all of them may have together.
    pub max_connections: usize,
}

/// Starts to serve; `more` may add routes.
pub fn start(
    door: Door,
    state: &web::Data<AppState>,
    more: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
) -> io::Result<Server> {
    let Door { listener, workers, max_connections } = door;
    let address = listener.local_addr()?;
    let allowed = max_connections.div_ceil(workers);
    let builder = Server::build()
        .workers(workers)
        .max_concurrent_connections(allowed)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let state = state.clone();
    let worker = move || {
        let app = App::new().app_data(state.clone());
        let app = app.wrap(from_fn(site::no_other_site_writes)).wrap(from_fn(edge::edge));
        let app = app.configure(more.clone()).configure(routes).into_factory();
        let app = app.map_err(|error: actix_web::Error| error.error_response());
        let stopping = stopping.clone();
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(HEAD_DEADLINE)
            .client_disconnect_timeout(DISCONNECT_DEADLINE)
            .local_addr(address)
            .on_connect_ext(|connection: &Connection, data| connection.introduce(data))
            .h1(map_config(app, |()| AppConfig::default()));
        let (crowd, flight) = (Crowd::new(allowed), state.lanes.flight.clone());
        fn_service(move |socket: TcpStream| {
            let peer = socket.peer_addr().ok();
            let connection = Connection::new(socket, crowd.clone(), flight.clone());
            std::future::ready(Ok((connection, peer)))
        })
        .and_then(http)
    };
    Ok(builder.listen("http", listener, worker)?.run())
}
