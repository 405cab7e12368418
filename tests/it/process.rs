//! The real binary as a child process: started with its environment cleared, stopped by signals.

use crate::harness::Client;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a child may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a child is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(5);

/// The binary with a clean environment, beside its test's files.
pub fn binary(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gitops-status-server"));
    command.env_clear().current_dir(folder).stdin(Stdio::null());
    command
}

/// Runs a subcommand to its end.
pub fn run(folder: &Path, arguments: &[&str]) -> Output {
    binary(folder).args(arguments).output().unwrap()
}

/// Runs it with settings; answers the exit code and what it said on standard error.
pub fn run_with(folder: &Path, settings: &[(&str, &str)], arguments: &[&str]) -> (i32, String) {
    let mut command = binary(folder);
    command.args(arguments).envs(settings.iter().copied());
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), said)
}

/// Runs a subcommand on the folder's database to its end: exit code, standard output and error.
pub fn command(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = binary(folder);
    let output = command.args(arguments).env("DATABASE_URL", url(folder)).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Serves on a port of the system's choice: for starts that fail.
pub const SERVE: [&str; 5] = ["serve", "--api-host", "127.0.0.1", "--api-port", "0"];

/// Why a server does not start on the folder's database: the last that it says.
pub fn refused(folder: &Path) -> String {
    let (code, _, said) = command(folder, &SERVE);
    assert_eq!(code, 1, "{said}");
    said.lines().last().unwrap().to_owned()
}

/// Runs statements on a database file, behind the server's back.
pub fn sql(path: &Path, statements: &str) {
    actix_web::rt::System::new().block_on(async {
        // As sqlite3 has it.
        let options = SqliteConnectOptions::new().filename(path).foreign_keys(false);
        let mut connection = options.connect().await.unwrap();
        let text = AssertSqlSafe(statements.to_owned());
        sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

/// Runs a query and puts its rows, integers all, together as text.
pub fn rows(path: &Path, sql: &'static str) -> Vec<String> {
    actix_web::rt::System::new().block_on(async {
        let options = SqliteConnectOptions::new().filename(path).read_only(true);
        let mut connection = options.connect().await.unwrap();
        let found = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let text = |row: &sqlx::sqlite::SqliteRow| {
            let column = |at| row.get::<Option<i64>, _>(at).map_or("-".into(), |n| n.to_string());
            (0..row.len()).map(column).collect::<Vec<String>>().join(" ")
        };
        found.iter().map(text).collect()
    })
}

/// What a connection of another program's, opened now, does to a database until `work` is done.
pub fn while_open<T>(path: &Path, does: &str, work: impl FnOnce() -> T) -> T {
    actix_web::rt::System::new().block_on(async {
        let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
        let text = AssertSqlSafe(does.to_owned());
        sqlx::raw_sql(text).fetch_all(&mut connection).await.unwrap();
        let result = work();
        connection.close().await.unwrap();
        result
    })
}

/// The setting for a database in a folder.
pub fn url(folder: &Path) -> String {
    format!("sqlite://{}", database(folder).display())
}

/// The database of a folder.
pub fn database(folder: &Path) -> PathBuf {
    folder.join("history.db")
}

/// A serving child; killed when dropped.
pub struct Process {
    child: Child,
    pub client: Client,
    pub port: u16,
}

impl std::ops::Deref for Process {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// Gives a copy of a history the key that it is signed with.
pub fn copy_key(from: &Path, to: &Path) {
    std::fs::copy(from.join("history.db.key"), to.join("history.db.key")).unwrap();
}

impl Process {
    /// Serves the folder's database; returns when it is ready.
    pub fn start(folder: &Path) -> Self {
        Self::with(folder, &[])
    }

    pub fn with(folder: &Path, settings: &[(&str, &str)]) -> Self {
        Self::serve(|| binary(folder), folder, settings)
    }

    /// Serves through a shell script that ends in `exec "$0"`.
    pub fn wrapped(folder: &Path, script: &str) -> Self {
        let command = || {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script, env!("CARGO_BIN_EXE_gitops-status-server")]);
            command.env_clear().current_dir(folder).stdin(Stdio::null());
            command
        };
        Self::serve(command, folder, &[])
    }

    /// Serves with a library, made of this C source, before the C library. It needs the compiler that
    /// SQLite needs anyway.
    pub fn preloaded(folder: &Path, source: &str) -> Self {
        let (text, library) = (folder.join("shim.c"), folder.join("shim.so"));
        std::fs::write(&text, source).unwrap();
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        let mut compiler = Command::new(compiler);
        compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&text).arg("-ldl");
        assert!(compiler.status().expect("a C compiler is needed, as for SQLite").success());
        Self::wrapped(folder, &format!("LD_PRELOAD='{}' exec \"$0\"", library.display()))
    }

    fn serve(command: impl Fn() -> Command, folder: &Path, settings: &[(&str, &str)]) -> Self {
        // Another process may take the port between here and there: try again then.
        for _ in 0..5 {
            let port = free_port();
            let mut command = command();
            command
                .env("API_HOST", "127.0.0.1")
                .env("API_PORT", port.to_string())
                .env("API_WORKERS", "1")
                .env("DATABASE_URL", url(folder))
                .env("RUST_LOG", "error")
                .envs(settings.iter().copied())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let child = command.spawn().unwrap();
            let client = Client::new(([127, 0, 0, 1], port).into());
            let mut process = Self { child, client, port };
            if process.becomes_ready() {
                return process;
            }
        }
        panic!("the server does not start");
    }

    fn becomes_ready(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let answer = self.client.try_send("GET", "/ready", &[], None);
            if answer.is_ok_and(|answer| answer.status == 200) {
                return true;
            }
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        false
    }

    /// The child's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM, and the exit it leads to.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("-TERM");
        self.wait()
    }

    /// Bytes of a file beside the database; 0 if it is not there.
    pub fn bytes_of(folder: &Path, suffix: &str) -> u64 {
        let path = format!("{}{suffix}", database(folder).display());
        std::fs::metadata(path).map_or(0, |file| file.len())
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(LOOK);
        }
        panic!("the server does not stop");
    }

    /// SIGKILL: the process has no say.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listened on a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
