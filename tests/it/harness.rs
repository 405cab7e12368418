//! A server inside this process, its frozen clock, and a client that shows what came back.

use clap::Parser;
use gitops_status_server::commands::Machine;
use gitops_status_server::commands::serve::serve_on;
use gitops_status_server::config::{Cli, ServeArgs};
use gitops_status_server::domain::time::{SECOND, Timestamp};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// What the clock of a new server says.
pub const NOW: &str = "2026-04-26T12:00:00Z";
/// When the program was built, as a new server believes.
pub const BUILT: &str = "2026-04-01T00:00:00Z";
/// No answer of a healthy server takes longer.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A running server. It lives on when dropped, idle, until the process ends.
pub struct Server {
    pub address: SocketAddr,
    pub clock: FrozenClock,
    pub folder: TempDir,
    client: Client,
}

/// A clock that moves only when told, and the machine's uptime.
#[derive(Clone)]
pub struct FrozenClock {
    now: Arc<AtomicI64>,
    uptime: Arc<AtomicI64>,
}

impl FrozenClock {
    /// A clock that says this.
    pub fn at(time: &str) -> Self {
        let now = Arc::new(AtomicI64::new(Timestamp::parse(time).unwrap().0));
        Self { now, uptime: Arc::default() }
    }

    /// A machine with this clock, which does this before it is read.
    pub fn machine(&self, tick: impl Fn() + Send + Sync + 'static) -> Machine {
        let (clock, uptime) = (self.clone(), self.uptime.clone());
        Machine {
            clock: Arc::new(move || {
                tick();
                clock.now()
            }),
            uptime: Some(Arc::new(move || uptime.load(Ordering::SeqCst))),
            built: Timestamp::parse(BUILT).unwrap(),
            free_bytes: None,
        }
    }

    /// Time passes until then; or the clock is set back.
    pub fn set(&self, time: &str) {
        let passed = Timestamp::parse(time).unwrap().0 - self.now().0;
        self.uptime.fetch_add(passed.max(0), Ordering::SeqCst);
        self.jump(passed);
    }

    pub fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }

    /// Time passes.
    pub fn advance(&self, seconds: i64) {
        self.uptime.fetch_add(seconds.max(0) * SECOND, Ordering::SeqCst);
        self.jump(seconds * SECOND);
    }

    /// The clock is set, ahead or back, by so many microseconds.
    pub fn jump(&self, micros: i64) {
        self.now.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Server {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts with further command line arguments.
    pub fn with(arguments: &[&str]) -> Self {
        Self::on_disk(arguments, None)
    }

    /// Starts on a disk with so many free bytes; `u64::MAX`: nobody knows.
    pub fn on_disk(arguments: &[&str], free: Option<Arc<AtomicU64>>) -> Self {
        Self::ticking(arguments, free, |_| {})
    }

    /// Starts with a clock that does this before it is read.
    pub fn ticking(
        arguments: &[&str],
        free: Option<Arc<AtomicU64>>,
        tick: impl Fn(&FrozenClock) + Send + Sync + 'static,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::in_folder(folder, arguments, FrozenClock::at(NOW), free, tick)
    }

    /// Starts in a folder that may have a database, at this time.
    pub fn started_at(time: &str, folder: TempDir, arguments: &[&str]) -> Self {
        Self::in_folder(folder, arguments, FrozenClock::at(time), None, |_| {})
    }

    fn in_folder(
        folder: TempDir,
        arguments: &[&str],
        clock: FrozenClock,
        free: Option<Arc<AtomicU64>>,
        tick: impl Fn(&FrozenClock) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("sqlite://{}", folder.path().join("history.db").display());
        let args = serve_args(&url, arguments);
        let ticking = clock.clone();
        let tick = move || tick(&ticking);
        let free_bytes = free.map(|free| -> gitops_status_server::files::FreeBytes {
            Arc::new(move || Some(free.load(Ordering::SeqCst)).filter(|free| *free < u64::MAX))
        });
        let machine = Machine { free_bytes, ..clock.machine(tick) };
        std::thread::spawn(move || {
            let served = serve_on(listener, args, machine, |_| {});
            actix_web::rt::System::new().block_on(served).map_err(|error| error.to_string())
        });
        Self { address, clock, folder, client: Client::new(address) }
    }

    pub fn database(&self) -> PathBuf {
        self.folder.path().join("history.db")
    }
}

impl std::ops::Deref for Server {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

fn serve_args(url: &str, more: &[&str]) -> ServeArgs {
    let fixed = ["gitops-status-server", "--api-workers", "1", "--database-url", url];
    Cli::try_parse_from(fixed.iter().chain(more)).unwrap().serve
}

/// Asks one server.
#[derive(Clone)]
pub struct Client {
    base: String,
    agent: ureq::Agent,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: Vec<u8>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .timeout_global(Some(DEADLINE))
            .build();
        Self { base: format!("http://{address}"), agent: config.new_agent() }
    }

    /// Any request; an error is what the transport says (no server, broken connection).
    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Answer, ureq::Error> {
        let url = format!("{}{path}", self.base);
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = match body {
            None => self.agent.run(request.body(()).unwrap())?,
            Some(body) => self.agent.run(request.body(body).unwrap())?,
        };
        let body = response.body_mut().with_config().limit(1 << 30).read_to_vec()?;
        let (parts, _) = response.into_parts();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Answer {
        self.try_send(method, path, headers, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None)
    }

    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, None)
    }

    /// The body of a GET that must be answered 200.
    pub fn json(&self, path: &str) -> Value {
        self.get(path).ok()
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, &[], body)
    }

    pub fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.post_bytes(path, headers, body.to_string().as_bytes())
    }

    pub fn post_bytes(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let declared = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let mut all = headers.to_vec();
        if !declared {
            all.push(("Content-Type", "application/json"));
        }
        self.send("POST", path, &all, Some(body))
    }

    /// A pipeline report that must be taken; answers the whole body.
    pub fn pipeline(&self, body: &Value) -> Value {
        self.post("/status/pipeline", body).ok()
    }

    /// A check that must be taken.
    pub fn cron(&self, body: &Value) -> Value {
        self.post("/status/cron", body).ok()
    }

    /// The row of a host whose names need no encoding.
    pub fn row(&self, group: &str, host: &str) -> Value {
        self.json(&format!("/status/{group}/{host}"))
    }

    /// Every line of the history in the order of ids, as parsed JSON.
    pub fn lines(&self) -> Vec<Value> {
        self.raw_lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Every line of the history in the order of ids, as it stands.
    pub fn raw_lines(&self) -> Vec<String> {
        let answer = self.get("/history?format=ndjson&sort=id");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text().lines().map(str::to_owned).collect()
    }
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The JSON body of a 200.
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The body of a problem with this status, checked for what every problem has.
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(body["status"], json!(status));
        for member in ["type", "title", "detail", "instance"] {
            let text = body[member].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{member} of {body}");
        }
        body
    }

    /// The fields a 400 names, as `field` or `[index].field`.
    pub fn wrong_fields(&self) -> Vec<String> {
        let body = self.problem(400);
        let named = |error: &Value| {
            assert!(!error["message"].as_str().unwrap().is_empty());
            let field = error["field"].as_str().unwrap();
            error["index"].as_u64().map_or(field.to_owned(), |index| format!("[{index}].{field}"))
        };
        body["errors"].as_array().into_iter().flatten().map(named).collect()
    }
}

/// A row of `/status` with every key: a host that a pipeline reported as synced at `time` and about
/// which nothing more is known, changed by `differing`.
pub fn row(group: &str, host: &str, time: &str, differing: &Value) -> Value {
    let row = json!({
        "project_name": null, "repo_name": null, "server_group": group, "server_type": null,
        "environment": null, "host": host, "status": "synced", "changed_files_count": 0,
        "changed_files": [], "validation_status": null, "validation_message": null,
        "last_pipeline_run": time, "last_cron_check": null, "commit_sha": null, "branch": null,
        "updated_by": null, "timestamp": time, "status_code": 0, "changed_files_text": "",
        "drift_since": null, "drift_age_seconds": null, "last_report": time, "stale": 0,
        "pipeline_status": "synced", "cron_status": null, "checked_commit_sha": null,
        "run_url": null, "labels_text": "", "reports": 1
    });
    with(row, differing)
}

/// An object with some keys replaced or added.
pub fn with(mut object: Value, differing: &Value) -> Value {
    for (name, value) in differing.as_object().unwrap() {
        object[name] = value.clone();
    }
    object
}

/// A pipeline report: synced, at a time.
pub fn pipeline_report(group: &str, host: &str, time: &str) -> Value {
    json!({"server_group": group, "host": host, "status": "synced", "last_pipeline_run": time})
}

/// A check: a status at a time.
pub fn check(group: &str, host: &str, status: &str, time: &str) -> Value {
    json!({"server_group": group, "host": host, "status": status, "last_cron_check": time})
}
