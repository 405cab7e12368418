//! The command line: settings, exit codes, export, healthcheck.

use crate::process::{Process, binary, database, free_port, run, run_with, url};
use serde_json::json;

#[test]
fn a_wrong_setting_stops_the_start_with_one_line_and_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let url = url(folder.path());
    for (name, value) in [
        ("API_PORT", "70000"),
        ("API_PORT", "http"),
        ("STALE_AFTER", "26"),
        ("STALE_AFTER", "0s"),
        ("STALE_AFTER_GROUPS", "rsyslog"),
        ("STALE_AFTER_GROUPS", "rsyslog=never"),
        ("CRON_CREATES_HOSTS", "perhaps"),
        ("MAX_BODY_BYTES", "1 potato"),
        ("MAX_BODY_BYTES", "0"),
        ("MIN_FREE_BYTES", "plenty"),
        ("TRUSTED_PROXIES", "proxy.example.org"),
        ("PUBLIC_URL", "status.example.org"),
        ("PUBLIC_URL", "//status.example.org"),
        ("PUBLIC_URL", "ftp://status.example.org"),
        ("PUBLIC_URL", "https://"),
        ("PUBLIC_URL", "https:status.example.org"),
        ("PUBLIC_URL", "https://status.example.org:65536"),
        ("PUBLIC_URL", "https://status.example.org/?a=b"),
        ("PUBLIC_URL", "https://status.example.org/#top"),
        ("PUBLIC_URL", "https://me:secret@status.example.org"),
        ("PUBLIC_URL", "https://status.example.org/a b"),
        ("LOG_FORMAT", "xml"),
        ("RUST_LOG", "=/="),
        ("TOKENS_FILE", "no-such-tokens.toml"),
        // A variable that was lost on the way must not open the server.
        ("TOKENS_FILE", ""),
        ("DATABASE_URL", "postgres://localhost/gitops"),
        ("DATABASE_URL", "history.db"),
        ("DATABASE_URL", "sqlite::memory:"),
    ] {
        let settings = [("DATABASE_URL", url.as_str()), (name, value)];
        let (code, said) = run_with(folder.path(), &settings, &[]);
        assert_eq!(code, 2, "{name}={value}: {said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{name}={value}: {said}");
        let flag = format!("--{}", name.to_lowercase().replace('_', "-"));
        assert!(said.contains(name) || said.contains(&flag), "{name}={value}: {said}");
    }
    assert!(!database(folder.path()).exists(), "nothing was touched");
    assert_eq!(run(folder.path(), &["--no-such-flag"]).status.code(), Some(2));
}

#[test]
fn help_names_every_setting() {
    let folder = tempfile::tempdir().unwrap();
    let help = run(folder.path(), &["--help"]);
    assert!(help.status.success());
    let help = String::from_utf8(help.stdout).unwrap();
    for name in [
        "API_HOST",
        "API_PORT",
        "DATABASE_URL",
        "STATUS_FILE",
        "STALE_AFTER",
        "STALE_AFTER_GROUPS",
        "CRON_CREATES_HOSTS",
        "MAX_BODY_BYTES",
        "MIN_FREE_BYTES",
        "TOKENS_FILE",
        "TRUSTED_PROXIES",
        "PUBLIC_URL",
        "LOG_FORMAT",
        "RUST_LOG",
        "import",
        "export",
        "backup",
        "restore",
        "healthcheck",
        "openapi",
        "token",
    ] {
        assert!(help.contains(name), "{name}: {help}");
    }
}

#[test]
fn the_openapi_subcommand_prints_the_document() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["openapi"]);
    assert!(output.status.success());
    assert!(output.stdout == gitops_status_server::http::document().as_bytes());
}

#[test]
fn an_export_is_the_stream_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path());
    for at in 0..30 {
        let status = ["synced", "out_of_sync", "failed"][at % 3];
        server.pipeline(&json!({"server_group":format!("g{}", at % 2),"host":"=h","status":status,
            "last_pipeline_run":format!("2026-01-01T10:{:02}:00Z", at * 7 % 30)}));
    }
    let url = url(folder.path());
    for (arguments, query) in [
        (&["--format", "csv"][..], "format=csv"),
        (&["--format", "ndjson"], "format=ndjson"),
        (&["--format", "ndjson", "--sort", "id"], "format=ndjson&sort=id"),
        (&["--raw", "--order", "asc", "--limit", "7"], "format=csv&raw=true&order=asc&limit=7"),
        (
            &["--changes-only", "--filter", "server_group=g1", "--filter", "status=failed"],
            "format=csv&changes_only=true&server_group=g1&status=failed",
        ),
        (
            &["--from", "2026-01-01T10:05:00Z", "--to", "2026-01-01T10:20:00Z"],
            "format=csv&from=2026-01-01T10:05:00Z&to=2026-01-01T10:20:00Z",
        ),
    ] {
        let stream = server.get(&format!("/history?{query}"));
        let mut command = binary(folder.path());
        command.arg("export").args(arguments).args(["--database-url", &url]);
        let printed = command.output().unwrap();
        assert!(printed.status.success());
        assert!(printed.stdout == stream.body, "{arguments:?}");
        let written = command.args(["--output", "export.out"]).output().unwrap();
        assert!(written.status.success() && written.stdout.is_empty());
        assert!(std::fs::read(folder.path().join("export.out")).unwrap() == stream.body);
    }
    let nowhere = run(folder.path(), &["export", "--database-url", "sqlite://none/none.db"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(!folder.path().join("none").exists(), "an export creates nothing");
    let wrong = run(folder.path(), &["export", "--database-url", &url, "--from", "yesterday"]);
    assert!(!wrong.status.success() && wrong.stdout.is_empty());
}

#[test]
fn the_healthcheck_is_0_when_ready_and_1_when_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(folder.path());
    let port = server.port.to_string();
    let (code, said) = run_with(folder.path(), &[("API_PORT", &port)], &["healthcheck"]);
    assert_eq!((code, said.as_str()), (0, ""));
    server.kill();
    let port = free_port().to_string();
    let (code, said) = run_with(folder.path(), &[("API_PORT", &port)], &["healthcheck"]);
    assert_eq!((code, said.lines().count()), (1, 1), "{said}");
}

#[test]
fn the_database_is_created_with_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a/b/history.db");
    let url = format!("sqlite://{}", deep.display());
    let server = Process::with(folder.path(), &[("DATABASE_URL", &url)]);
    assert_eq!(server.json("/status"), json!([]));
    assert!(deep.exists());
    let relative = Process::with(folder.path(), &[("DATABASE_URL", "sqlite://data/here.db")]);
    assert_eq!(relative.json("/status"), json!([]));
    assert!(folder.path().join("data/here.db").exists());
}

#[test]
fn a_port_that_is_taken_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path());
    let port = server.port.to_string();
    let other = tempfile::tempdir().unwrap();
    let url = url(other.path());
    let settings = [("DATABASE_URL", url.as_str()), ("API_HOST", "127.0.0.1"), ("API_PORT", &port)];
    let (code, said) = run_with(other.path(), &settings, &["serve"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(&port), "{said}");
}
