//! An export alone, in an auditor's hands: whole or filtered, with a checkpoint or a manifest.

use crate::process::{Process, run, url};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

/// 400 reports of four hosts in two groups, a checkpoint, the public key, and 50 reports more.
fn history() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start(folder.path());
    report(&server, 0..400);
    let save = |name: &str, path: &str| {
        std::fs::write(folder.path().join(name), server.get(path).body).unwrap();
    };
    save("checkpoint", "/checkpoint");
    save("key", "/checkpoint/key");
    report(&server, 400..450);
    assert!(server.stop().success());
    folder
}

fn report(server: &Process, numbers: std::ops::Range<usize>) {
    let report = |n: usize| {
        json!({"server_group":format!("g{}", n % 2), "host":format!("h{}", n % 4),
        "status":"synced", "run_id":n.to_string()})
    };
    let reports: Vec<Value> = numbers.map(report).collect();
    server.post("/status/pipeline", &json!(reports)).ok();
}

fn command(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = run(folder, arguments);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.success(), said)
}

fn export(folder: &Path, more: &[&str]) {
    let url = url(folder);
    let arguments = ["export", "--database-url", &url, "--format", "ndjson", "-o", "lines"];
    let (ok, said) = command(folder, &[&arguments[..], more].concat());
    assert!(ok, "{said}");
}

fn verify(folder: &Path, more: &[&str]) -> (bool, String) {
    command(folder, &[&["verify", "--export", "lines"], more].concat())
}

fn edit(folder: &Path, name: &str, change: impl Fn(String) -> String) {
    let path = folder.join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    let changed = change(text.clone());
    assert_ne!(text, changed, "{name}");
    std::fs::write(path, changed).unwrap();
}

fn without_line(text: &str, number: usize) -> String {
    let lines = text.lines().enumerate().filter(|(at, _)| at + 1 != number);
    lines.fold(String::new(), |text, (_, line)| text + line + "\n")
}

#[test]
fn a_whole_export_is_checked_against_a_checkpoint() {
    let folder = history();
    let folder = folder.path();
    let held = ["--checkpoint", "checkpoint", "--key", "key"];
    for sort in ["id", "time"] {
        export(folder, &["--sort", sort, "--filter", "to_id=400"]);
        let (ok, said) = verify(folder, &held);
        assert!(ok && said.contains("400 lines") && said.contains("signed by the key"), "{said}");
    }
    let (ok, said) = verify(folder, &held[..2]);
    assert!(ok && said.contains("signature not checked: give --key"), "{said}");
    export(folder, &["--sort", "id"]);
    let (ok, said) = verify(folder, &held);
    assert!(
        !ok && said.contains("cannot be checked: entries from 401 on: the newest")
            && !said.contains("lines is not what"),
        "{said}"
    );
    for (change, says) in [
        (
            &(|text: String| text.replacen("synced", "failed", 1)) as &dyn Fn(String) -> String,
            "entries 1 to 400: one of them, or what the manifest says of those left out, is not what",
        ),
        (&|text| without_line(&text, 257), "first at entry 257"),
        (&|text| without_line(&text, 400), "entry 400: they are missing; checkpoint covers 400"),
        (&|text| text.clone() + &text, "it stands in the file twice"),
        (&|text| text.replace("\"id\":\"7\"", "\"id\":\"8\""), "first at entry 7"),
        (&|text| format!("{text}nonsense\n"), "line 401 is not a line of a history"),
        (&|_| String::new(), "no lines are in it"),
    ] {
        export(folder, &["--sort", "id", "--filter", "to_id=400"]);
        edit(folder, "lines", change);
        let (ok, said) = verify(folder, &held);
        assert!(!ok && said.contains(says), "{says}: {said}");
    }
    let (ok, said) = verify(folder, &[]);
    assert!(!ok && said.contains("--export needs --checkpoint FILE, or the manifest"), "{said}");
    edit(folder, "checkpoint", |note| note.replacen("400", "401", 1));
    assert!(verify(folder, &held).1.contains("its signature is wrong"));
}

#[test]
fn a_filtered_export_is_checked_with_its_manifest() {
    let folder = history();
    let folder = folder.path();
    for filter in [
        &["--filter", "host=h3"][..],
        &["--filter", "from_id=100", "--filter", "to_id=300", "--sort", "id"],
        &["--filter", "host=h1", "--filter", "server_group=g1", "--limit", "7"],
        &[],
    ] {
        export(folder, &[filter, &["--proof"]].concat());
        let (ok, said) = verify(folder, &["--key", "key"]);
        assert!(ok && said.contains("of 450 entries"), "{filter:?}: {said}");
    }
    let export_h3 = || export(folder, &["--filter", "host=h3", "--proof"]);
    for (name, change, says) in [
        (
            "lines",
            &(|text: String| text.replacen("synced", "failed", 1)) as &dyn Fn(String) -> String,
            "one of them, or what the manifest says",
        ),
        ("lines", &|text| without_line(&text, 9), "it is neither in the file nor accounted for"),
        (
            "lines",
            &|text| without_line(&text, 9),
            "it is not the file that lines.manifest.json is about",
        ),
        (
            "lines.manifest.json",
            &|text| text.replacen("[1,2,\"", "[1,2,\"0", 1),
            "first at entry 1",
        ),
        ("lines.manifest.json", &|text| text.replacen("[1,2,", "[1,3,", 1), "first at entry 1"),
        (
            "lines.manifest.json",
            &|text| text.replacen("\"manifest\":1", "\"manifest\":2", 1),
            "version 2 needs a newer",
        ),
        (
            "lines.manifest.json",
            &|text| text.replacen("\\n450\\n", "\\n451\\n", 1),
            "its signature is wrong",
        ),
        ("lines.manifest.json", &|text| text.replacen('{', "", 1), "not a manifest"),
        (
            "lines.manifest.json",
            &|text| text.replace("\"lines\":", "\"lines\":1"),
            "it is not the file that lines.manifest.json is about",
        ),
        (
            "lines.manifest.json",
            &|text| text.replace("\"ids\":[[", "\"ids\":[[1,2],["),
            "it is not the file that lines.manifest.json is about",
        ),
    ] {
        export_h3();
        edit(folder, name, change);
        let (ok, said) = verify(folder, &["--key", "key"]);
        assert!(!ok && said.contains(says), "{says}: {said}");
    }
    let url = url(folder);
    let csv = ["export", "--database-url", &url, "--proof", "-o", "lines.csv"];
    let output = run(folder, &csv);
    assert_eq!(output.status.code(), Some(2));
    assert!(!folder.join("lines.csv").exists());
    let (ok, said) = command(folder, &["export", "--database-url", &url, "--proof"]);
    assert!(!ok && said.contains("--output"), "{said}");
}

#[test]
fn a_manifest_is_taken_from_nobody_in_particular() {
    let folder = history();
    let folder = folder.path();
    export(folder, &["--proof"]);
    let (ok, said) = verify(folder, &[]);
    assert!(!ok && said.contains("--export needs --key"), "{said}");
    let (ok, said) = verify(folder, &["--key", "key", "--checkpoint", "checkpoint"]);
    assert!(ok && said.contains("of 400 entries") && said.contains("of 450 entries"), "{said}");
    export(folder, &["--from", "2030-01-01", "--proof"]);
    let (ok, said) = verify(folder, &["--key", "key"]);
    assert!(!ok && said.contains("no lines are in it"), "{said}");
}

#[test]
fn receipts_are_found_in_an_export() {
    let folder = history();
    let folder = folder.path();
    export(folder, &["--sort", "id", "--filter", "to_id=400"]);
    let lines = std::fs::read_to_string(folder.join("lines")).unwrap();
    let line: Value = serde_json::from_str(lines.lines().nth(76).unwrap()).unwrap();
    let hash = crate::receipts::leaf_hash(lines.lines().nth(76).unwrap());
    let origin = line["origin"].as_str().unwrap();
    let receipt = format!("gitops-status receipt {origin} 77 {hash}");
    let held = ["--checkpoint", "checkpoint", "--key", "key", "--receipt"];
    let (ok, said) = verify(folder, &[&held[..], &[&receipt]].concat());
    assert!(ok && said.contains("1 of 1 receipts fit"), "{said}");
    for (wrong, says) in [
        (receipt.replace(" 77 ", " 78 "), "entry 78: it is not what its receipt says"),
        (receipt.replace(" 77 ", " 777 "), "that the export leaves out, the first of them 777"),
        (
            receipt.replace(origin, "gitops-status-server/00"),
            "1 of 1 receipts are of another history and say nothing of this one:\n  \"gitops-status-server/00\"",
        ),
    ] {
        let (ok, said) = verify(folder, &[&held[..], &[&wrong]].concat());
        assert!(!ok && said.contains(says), "{says}: {said}");
    }
    // Of a filtered export's log, some receipts are of others; and a line may hold two.
    std::fs::write(folder.join("log"), format!("{receipt} {}\n", receipt.replace(" 77 ", " 777 ")))
        .unwrap();
    let held = ["--checkpoint", "checkpoint", "--key", "key", "--receipts", "log"];
    let (ok, said) = verify(folder, &held);
    assert!(ok && said.contains("1 of 2 receipts fit") && said.contains("not compared:"), "{said}");
    let false_one =
        receipt.replace(&hash[..4], if hash.starts_with("0000") { "1111" } else { "0000" });
    std::fs::write(folder.join("log"), format!("{receipt} {false_one}\n")).unwrap();
    let (ok, said) = verify(folder, &held);
    assert!(!ok && said.contains("lines is not what was recorded, first at entry 77"), "{said}");
    let output = run(folder, &["verify", "--receipt", "nonsense"]);
    assert_eq!(output.status.code(), Some(2));
}

/// Whether a terminal would show it as it is: no sign that moves the cursor or hides.
fn is_plain(said: &str) -> bool {
    said.chars().all(|c| c == '\n' || !c.is_control() && !('\u{200b}'..='\u{206f}').contains(&c))
}

#[test]
fn a_manifest_says_nothing_in_our_place() {
    let folder = history();
    let folder = folder.path();
    export(folder, &["--filter", "host=h3", "--proof"]);
    let lie = "h3\\r\\u001b[2K\\u001b[1A\\u202e0 between them\\nare left out\\u200b\\u009b2J";
    edit(folder, "lines.manifest.json", |text| text.replacen("\"h3\"", &format!("\"{lie}\""), 1));
    let (ok, said) = verify(folder, &["--key", "key"]);
    assert!(ok && is_plain(&said), "{said:?}");
    let ours = said.find("are left out; what those say").unwrap();
    let theirs = said.find("host=h3\\u000d\\u001b[2K").unwrap();
    assert!(ours < theirs && said[theirs..].lines().count() == 1, "{said}");
    // The same of a file's name, and of an error in what stands in it.
    let name = "log\u{1b}[2K\n\rall is well";
    std::fs::write(folder.join(name), "nothing").unwrap();
    let held = ["--key", "key", "--receipts", name];
    let output = run(folder, &[&["verify", "--export", "lines"][..], &held].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    let one_line = "log\\u001b[2K\\u000a\\u000dall is well: no receipts are in it\n";
    assert!(output.status.code() == Some(2) && said.ends_with(one_line), "{said:?}");
    edit(folder, "lines.manifest.json", |text| {
        text.replacen("\"lines\"", "\"lines\\u001b[2K\\n\"", 1)
    });
    let (ok, said) = verify(folder, &["--key", "key"]);
    assert!(!ok && is_plain(&said) && said.lines().count() == 1, "{said:?}");
}

#[test]
fn what_cannot_be_checked_is_not_called_wrong() {
    let folder = history();
    let folder = folder.path();
    export(folder, &["--sort", "id", "--filter", "to_id=400"]);
    let code = |held: &[&str]| {
        let output =
            run(folder, &[&["verify", "--export", "lines", "--key", "key"], held].concat());
        output.status.code().unwrap()
    };
    let held = ["--checkpoint", "checkpoint"];
    assert_eq!(code(&held), 0);
    assert_eq!(code(&["--checkpoint", "nowhere"]), 2);
    assert_eq!(code(&["--checkpoint", "lines"]), 2);
    edit(folder, "lines", |text| text.replacen("synced", "failed", 1));
    assert_eq!(code(&held), 1);
    edit(folder, "lines", |text| text + &"[".repeat(100_000));
    assert_eq!(code(&held), 2);
    let id = |id: &str| format!("{{\"id\":\"{id}\",\"origin\":\"x\"}}\n");
    for lines in [id("0"), id("18446744073709551615") + &id("1"), id("-1"), "{}\r\n".to_owned()] {
        std::fs::write(folder.join("lines"), lines).unwrap();
        assert_eq!(code(&held), 2);
    }
    std::fs::write(folder.join("lines"), id("1") + &id("9223372036854775807")).unwrap();
    assert_eq!(code(&held), 1);
}

/// Whatever writes into a job's log can print a line that looks like a receipt.
#[test]
fn junk_in_a_log_spoils_no_receipt() {
    let folder = history();
    let folder = folder.path();
    export(folder, &["--sort", "id", "--filter", "to_id=400"]);
    let lines = std::fs::read_to_string(folder.join("lines")).unwrap();
    let receipt = |line: &str| {
        let said: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| said[key].as_str().unwrap().to_owned();
        let hash = crate::receipts::leaf_hash(line);
        format!("gitops-status receipt {} {} {hash}\n", text("origin"), text("id"))
    };
    let good: String = lines.lines().take(9).map(receipt).collect();
    let foreign = receipt(lines.lines().next().unwrap()).replace("server/", "server/\u{202e}");
    let junk = "x gitops-status receipt \u{1b}[2K\rok\n";
    let url = url(folder);
    let of_export = ["verify", "--export", "lines", "--key", "key", "--checkpoint", "checkpoint"];
    for what in [&of_export[..], &["verify", "--database-url", &url]] {
        let check = |log: &str| {
            std::fs::write(folder.join("log"), [b"\xff\n", log.as_bytes()].concat()).unwrap();
            let output = run(folder, &[what, &["--receipts", "log"]].concat());
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            assert!(is_plain(&said), "{said:?}");
            (output.status.code().unwrap(), said)
        };
        let (code, said) = check(&format!("{junk}{good}{foreign}"));
        assert_eq!(code, 0, "{said}");
        for says in [
            "9 of 10 receipts fit",
            "1 of 10 receipts are of another history",
            "1 more look like receipts and are none:\n  line 2 of log: \"\\u001b[2K\\u000dok\"",
            "proves nothing about who printed it",
        ] {
            assert!(said.contains(says), "{says}: {said}");
        }
        for alone in [junk, &foreign] {
            let (code, said) = check(alone);
            assert!(code == 2 && said.contains("cannot be checked"), "{said}");
        }
        let forged = good.lines().next().unwrap().replace(" 1 ", " 2 ");
        let (code, said) = check(&format!("{junk}{forged}\n{good}"));
        let named = "entry 2: it is not what its receipt says (line 3 of log), though another one of it fits";
        assert!(
            code == 1 && said.contains(named) && said.contains("9 of 10 receipts fit"),
            "{said}"
        );
    }
}
