//! `TOKENS_FILE`: how it is read, what stops a start, how it is exchanged; what needs no token; the
//! commands that make tokens; and that no token is ever written down.

use crate::harness::{Client, DEADLINE, Server};
use crate::process::{Process, binary, database, run, run_with, url};
use crate::tokens::{File, anonymous, bearer, entry, one_of_each};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Instant;

/// Waits until it is so. The server looks at its file every second, by the machine's clock.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < DEADLINE, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn status(client: &Client, token: &str) -> u16 {
    client.get_with("/status", &[("Authorization", &bearer(token))]).status
}

fn file_is_valid(server: &Server) -> bool {
    let text = server.get_with("/metrics", &[("X-Api-Key", "secret-of-metrics")]).text();
    text.contains("gitops_tokens_file_valid 1\n")
}

#[test]
fn a_file_that_cannot_be_taken_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let url = url(folder.path());
    let good = entry("ci", &["report"], "");
    for (text, says) in [
        (Some(String::new()), "has no entry"),
        (Some(good.clone() + "group = [\"web\"]"), "line 5: entry \"ci\": \"group\" is not known"),
        (Some(good.replace("report", "write")), "line 3: entry \"ci\": scopes: \"write\" is none"),
        (Some(good.clone() + &good), "line 5: entry \"ci\": \"ci\" stands there twice"),
        (
            Some("[ci]\nsha256 = \"12\"\nscopes = [\"read\"]".into()),
            "line 2: entry \"ci\": sha256:",
        ),
        (None, "No such file"),
    ] {
        let path = folder.path().join("tokens.toml");
        match &text {
            Some(text) => std::fs::write(&path, text).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let path = path.to_str().unwrap();
        let settings = [("DATABASE_URL", url.as_str()), ("TOKENS_FILE", path), ("API_PORT", "0")];
        let (code, said) = run_with(folder.path(), &settings, &[]);
        assert_eq!((code, said.lines().count()), (2, 1), "{said}");
        assert!(said.contains(&format!("TOKENS_FILE {path}: {says}")), "{said}");
    }
    assert!(!database(folder.path()).exists(), "nothing was touched");
}

#[test]
fn a_changed_file_is_in_force_without_a_restart() {
    let file = File::new(&one_of_each());
    let server = file.serve();
    assert_eq!((status(&server, "read"), status(&server, "new")), (200, 401));
    file.write(&(one_of_each().replace("[read]", "[old]") + &entry("new", &["read"], "")));
    until("the new token is known", || status(&server, "new") == 200);
    // What cannot be taken changes nothing, and says so.
    for broken in ["", "nonsense", "[new]\nscopes = [\"read\"]"] {
        file.write(broken);
        until("the file is not valid", || !file_is_valid(&server));
        assert_eq!((status(&server, "new"), status(&server, "read")), (200, 200));
        std::fs::remove_file(file.path()).unwrap();
        file.write(&(one_of_each() + &entry("new", &["read"], "")));
        until("the file is valid", || file_is_valid(&server));
    }
    std::fs::remove_file(file.path()).unwrap();
    until("there is no file", || !file_is_valid(&server));
    assert_eq!(status(&server, "new"), 200);
    file.write(&one_of_each());
    until("the new token is gone", || status(&server, "new") == 401);
    assert!(file_is_valid(&server));
}

/// Reading a pipe would wait for ever, and so would the end of the server.
#[test]
fn a_pipe_in_the_files_place_is_refused_and_holds_up_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.toml");
    std::fs::write(&file, entry("first", &["read"], "")).unwrap();
    let mut server = Process::with(folder.path(), &[("TOKENS_FILE", file.to_str().unwrap())]);
    assert_eq!(status(&server, "first"), 200);
    std::fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    // Long enough to be looked at.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, entry("second", &["read"], "")).unwrap();
    until("the new file is in force", || status(&server, "second") == 200);
    assert!(server.stop().success());
}

#[test]
fn a_secret_of_kubernetes_is_followed_through_its_links() {
    let file = File::new("");
    let folder = file.folder.path();
    let version = |name: &str, text: &str| {
        std::fs::create_dir(folder.join(name)).unwrap();
        std::fs::write(folder.join(name).join("tokens.toml"), text).unwrap();
        let link = folder.join("..data_tmp");
        std::os::unix::fs::symlink(name, &link).unwrap();
        std::fs::rename(link, folder.join("..data")).unwrap();
    };
    std::fs::remove_file(file.path()).unwrap();
    version("..1", &entry("first", &["read"], ""));
    std::os::unix::fs::symlink("..data/tokens.toml", file.path()).unwrap();
    let server = file.serve();
    assert_eq!((status(&server, "first"), status(&server, "second")), (200, 401));
    version("..2", &entry("second", &["read"], ""));
    until("the second token is known", || status(&server, "second") == 200);
    assert_eq!(status(&server, "first"), 401);
}

#[test]
fn a_token_is_exchanged_without_a_gap() {
    let digest = |name: &str| entry(name, &["read"], "").lines().nth(1).unwrap()[9..].to_owned();
    let both =
        format!("[ci]\nsha256 = [{}, {}]\nscopes = [\"read\"]", digest("old"), digest("new"));
    let file = File::new(&both);
    let server = file.serve();
    assert_eq!((status(&server, "old"), status(&server, "new")), (200, 200));
}

#[test]
fn the_nightly_job_needs_no_token_if_the_file_says_so() {
    let night = anonymous(&["report", "metrics"], "groups = [\"drift-detection\"]");
    let file = File::new(&(one_of_each() + &night));
    let server = file.serve();
    // As the job's curl sends it, without a header of ours.
    let body =
        "drift_stack_state{stack=\"vpc\"} 1\ndrift_detection_last_run_timestamp 1777197600\n";
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let push = |path: &str| server.send("POST", path, &form, Some(body.as_bytes()));
    assert_eq!(push("/metrics/job/drift-detection").status, 200);
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("drift_stack_first_seen{stack=\"vpc\"} 1777197600\n"), "{metrics}");
    // Nothing else is open: another job, another form, reading, acts.
    assert_eq!(push("/metrics/job/other").header("www-authenticate"), "Bearer");
    let report = json!({"server_group": "web", "host": "h", "status": "synced"});
    server.post("/status/pipeline", &report).problem(401);
    server.get("/status").problem(401);
    server.post("/hosts/drift-detection/vpc/retire", &json!({})).problem(401);
    // Nobody in particular has no name; who has one is called by it, and may do what nobody may.
    let reader = [("X-Api-Key", "secret-of-read")];
    let push = server.send("PUT", "/metrics/job/drift-detection", &reader, Some(body.as_bytes()));
    assert_eq!(push.status, 200);
    let report = json!({"server_group": "drift-detection", "host": "dns", "status": "synced"});
    server.post_with("/status/pipeline", &reader, &report).ok();
    server.post("/status/pipeline", &report).ok();
    let lines = server.get_with("/history?format=ndjson&sort=id", &reader).text();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let names: Vec<Value> = lines.map(|line| line["reported_by"].clone()).collect();
    assert_eq!(names, [json!(null), json!("read"), json!(null)]);
    // A token that is no good is not taken for nobody's.
    let wrong = [("X-Api-Key", "nonsense")];
    server.send("POST", "/metrics/job/drift-detection", &wrong, Some(b"up 1\n")).problem(401);
    assert_eq!(server.get_with("/rejections", &reader).ok(), json!([]));
}

#[test]
fn a_stranger_is_answered_before_the_body_is_looked_at() {
    let file = File::new(&one_of_each());
    let server = file.serve();
    for body in [&b"{"[..], b"", &vec![b'x'; 3 << 20]] {
        for path in ["/status/pipeline", "/metrics/job/g", "/hosts/g/h/retire"] {
            server.post_bytes(path, &[], body).problem(401);
            let headers =
                [("Authorization", "Bearer secret-of-metrics"), ("Content-Type", "text/html")];
            server.post_bytes(path, &headers, body).problem(403);
        }
    }
}

#[test]
fn the_body_of_a_stranger_is_thrown_away_and_the_connection_stays() {
    let file = File::new(&one_of_each());
    let server = file.serve();
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let refused = "POST /status/cron HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
    let next = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(format!("{refused}{next}").as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    let (refusal, health) = answers.split_once("HTTP/1.1 200 OK\r\n").unwrap();
    assert!(refusal.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{answers}");
    assert!(!refusal.to_lowercase().contains("connection: close"), "{answers}");
    assert!(health.ends_with("{\"status\":\"ok\"}"), "{answers}");
}

fn token(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = run(folder, &[&["token"], arguments].concat());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn hash(folder: &Path, input: &str) -> Output {
    let mut command = binary(folder);
    command.args(["token", "hash"]).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_new_token_works_where_its_entry_stands() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["new", "ci/web.prod", "--scope", "report,read", "--group", "web-*"];
    let arguments = [&arguments[..], &["--group", "dns", "--expires", "90d"]].concat();
    let (code, said, complaints) = token(folder.path(), &arguments);
    assert_eq!((code, complaints.as_str()), (0, ""));
    let (secret, entry) = said.split_once("\n\n").unwrap();
    assert!(secret.starts_with("gss_") && secret.len() == 53, "{secret}");
    assert!(!entry.contains("gss_"));
    assert!(entry.starts_with("[\"ci/web.prod\"]\nsha256 = \""), "{entry}");
    assert!(entry.contains("\ngroups = [\"web-*\", \"dns\"]\nexpires = 20"), "{entry}");
    assert!(entry.ends_with("Z\nscopes = [\"report\", \"read\"]\n"), "{entry}");
    let hashed = hash(folder.path(), &format!("{secret}\n"));
    assert!(hashed.status.success() && hashed.stderr.is_empty());
    let hashed = String::from_utf8(hashed.stdout).unwrap();
    assert!(entry.contains(&format!("sha256 = \"{}\"\n", hashed.trim_end())), "{entry}");
    // The frozen clock of the server is behind the machine's.
    let file = File::new(entry);
    let server = file.serve();
    let header = [("Authorization", format!("Bearer {secret}"))];
    let header = [(header[0].0, header[0].1.as_str())];
    let report = json!({"server_group": "dns", "host": "h", "status": "synced"});
    server.post_with("/status/pipeline", &header, &report).ok();
    let line = server.get_with("/history?format=ndjson", &header).text();
    assert!(line.contains("\"reported_by\":\"ci/web.prod\""), "{line}");
    let (_, other, _) = token(folder.path(), &["new", "ci"]);
    assert!(other.contains("[ci]\n") && other.ends_with("scopes = [\"report\"]\n"), "{other}");
    assert_ne!(other.lines().next(), Some(secret));
}

#[test]
fn what_cannot_be_a_token_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["new"][..],
        &["new", "anonymous"],
        &["new", "-x"],
        &["new", "a b"],
        &["new", "ci", "--scope", "write"],
        &["new", "ci", "--scope", "read", "--group", "web"],
        &["new", "ci", "--group", ""],
        &["new", "ci", "--expires", "soon"],
        &["new", "ci", "--expires", "2020-01-01"],
        &["new", "ci", "--expires", "now-1d"],
        &["hash", "token-in-the-process-list"],
    ] {
        let (code, said, complaint) = token(folder.path(), arguments);
        assert_eq!((code, said.as_str()), (2, ""), "{arguments:?}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
    for input in ["", "\n", "two words", "gss_typo", "ü", &"x".repeat(1025)] {
        let refused = hash(folder.path(), input);
        assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0), "{input}");
    }
    let short = hash(folder.path(), "password");
    assert!(short.status.success() && !short.stderr.is_empty());
}

/// A server whose log, as JSON, goes to a file.
fn logging(folder: &Path, level: &str, tokens: Option<&Path>) -> (Process, PathBuf) {
    let log = folder.join("log");
    let tokens = tokens.map_or_else(String::new, |file| format!("TOKENS_FILE={}", file.display()));
    let settings = format!("RUST_LOG={level} LOG_FORMAT=json {tokens}");
    let script = format!("{settings} exec \"$0\" 2>{}", log.display());
    (Process::wrapped(folder, &script), log)
}

#[test]
fn the_log_says_what_is_open_and_names_each_broken_file_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = File::new(&(one_of_each() + &anonymous(&["read", "report"], "groups = [\"web\"]")));
    let (_server, log) = logging(folder.path(), "info", Some(&file.path()));
    let count = |text: &str| std::fs::read_to_string(&log).unwrap().matches(text).count();
    assert_eq!(count(r#""tokens":4,"without_token":"read, report (groups web)""#), 1);
    let stays = "the tokens that were in force stay in force";
    for (at, broken) in ["nonsense", "[ci]"].into_iter().enumerate() {
        file.write(broken);
        until("the broken file is named", || count(stays) > at);
    }
    // The second took two looks at least, in which the first might have been named again.
    assert_eq!((count(stays), count("line 1: is not TOML")), (2, 1));
    assert_eq!(count(r#"line 1: entry \"ci\": sha256 is missing"#), 1);
    file.write(&one_of_each());
    until("the new file is named", || count(r#""without_token":"nothing but"#) == 1);
    let open = tempfile::tempdir().unwrap();
    let (_server, log) = logging(open.path(), "info", None);
    let text = std::fs::read_to_string(log).unwrap();
    let warning = text.lines().find(|line| line.contains("WARN")).unwrap();
    assert!(warning.contains("TOKENS_FILE is not set: whoever reaches this address may"), "{text}");
}

#[test]
fn no_token_is_ever_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let file = File::new(&(one_of_each() + &entry("bound", &["report"], "groups = [\"web\"]")));
    let (mut server, log) = logging(folder.path(), "trace", Some(&file.path()));
    let mut answers = String::new();
    let report = json!({"server_group": "g", "host": "h", "status": "synced"});
    for name in ["report", "read", "metrics", "admin", "bound", "nobody"] {
        for headers in [("Authorization", bearer(name)), ("X-Api-Key", format!("secret-of-{name}"))]
        {
            let headers = [(headers.0, headers.1.as_str())];
            for path in ["/status", "/metrics", "/history", "/rejections", "/none"] {
                answers += &server.get_with(path, &headers).text();
            }
            answers += &server.post_with("/status/pipeline", &headers, &report).text();
            answers += &server.post_with("/hosts/g/h/retire", &headers, &json!({})).text();
            let push = server.send("POST", "/metrics/job/g", &headers, Some(b"up 1\n"));
            answers += &push.text();
        }
    }
    server.stop();
    let log = std::fs::read_to_string(log).unwrap();
    // The log shows that it was asked for everything, and that strangers were turned away.
    assert!(log.contains("TRACE") && log.contains("\"reason\":\"unknown\""), "{log}");
    assert!(log.contains("\"reason\":\"group\",\"token\":\"bound\""));
    assert!(log.contains("\"without_token\":\"nothing but"), "{log}");
    let digests = std::fs::read_to_string(file.path()).unwrap();
    let digests = digests.lines().filter_map(|line| line.strip_prefix("sha256 = "));
    let digests = digests.map(|digest| digest.trim_matches('"'));
    for secret in digests.chain(["secret-of"]) {
        for (what, text) in [("the log", &log), ("an answer", &answers)] {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{what} holds {secret}");
        }
    }
}
