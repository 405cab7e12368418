//! Builds the server with a planted bug: the sources are copied below `target/`, edited there, and compiled
//! with the dependencies that the release build has compiled already. `src/` itself is never touched.

use crate::planted::{PLANTED, Planted};
use crate::run::{Failure, Outcome, Run, ensure, run_command};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the build needs.
const SOURCES: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "build.rs",
    ".cargo",
    "benches",
    "migrations",
    "openapi",
    "src",
    "tests",
];
/// A name of its own, so that the build does not overwrite the real binary.
const BINARY: &str = "\n[[bin]]\nname = \"planted\"\npath = \"src/main.rs\"\n";
/// Compiled without optimisation, to be quick.
const QUICK: &str = "profile.release.package.gitops-status-server.opt-level=0";

/// The planted bug of a name.
pub fn find(name: &str) -> Result<&'static Planted, Failure> {
    let found = PLANTED.iter().find(|planted| planted.name == name);
    found.ok_or_else(|| format!("there is no planted bug '{name}'").into())
}

/// Whether each edit of a bug finds its place in the sources exactly once; `edit` gets the edited text.
pub fn fit(
    root: &Path,
    planted: &Planted,
    mut edit: impl FnMut(&Path, String) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for (file, before, after) in planted.edits {
        let path = root.join(file);
        let text = std::fs::read_to_string(&path)?;
        let places = text.matches(before).count();
        ensure!(
            places == 1,
            "the planted bug {} no longer fits: {file} has this {places} times:\n{before}",
            planted.name
        );
        edit(&path, text.replace(before, after))?;
    }
    Ok(())
}

/// Builds the server with a bug in it.
pub fn build(run: &Run, planted: &Planted) -> Result<PathBuf, Failure> {
    // One copy for all, so that little is compiled anew; two runs take turns.
    let turn = std::fs::File::create(run.root.join("target/faults/source.lock"))?;
    turn.lock()?;
    let copy = run.root.join("target/faults/source");
    if copy.exists() {
        std::fs::remove_dir_all(&copy)?;
    }
    std::fs::create_dir_all(&copy)?;
    let sources = SOURCES.iter().map(|name| run.root.join(name)).filter(|path| path.exists());
    run_command(Command::new("cp").arg("-r").args(sources).arg(&copy))?;
    fit(&copy, planted, |path, text| Ok(std::fs::write(path, text)?))?;
    let manifest = copy.join("Cargo.toml");
    std::fs::write(&manifest, std::fs::read_to_string(&manifest)? + BINARY)?;
    let target = run.root.join("target");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args([
        "build",
        "--release",
        "--locked",
        "--quiet",
        "--bin",
        "planted",
        "--config",
        QUICK,
    ]);
    cargo.arg("--manifest-path").arg(&manifest);
    cargo.env("CARGO_TARGET_DIR", &target).env("CARGO_INCREMENTAL", "1");
    run_command(&mut cargo)?;
    let binary = run.folder().join("gitops-status-server");
    std::fs::copy(target.join("release/planted"), &binary)?;
    Ok(binary)
}

/// Runs a fault with the bug that it is there for as well: it must be found, or the fault proves nothing.
pub fn with_control(run: &Run, fault: impl Fn(&Run) -> Outcome) -> Outcome {
    let said = fault(run)?;
    if run.is_planted() {
        return Ok(said);
    }
    let normal = find("synchronous-normal")?;
    match fault(&run.planted(build(run, normal)?)?) {
        Err(lost) if normal.explains(&lost.to_string()) => {
            Ok(format!("{said}; negative control: NORMAL loses reports"))
        }
        Err(other) => Err(format!("negative control: {other}").into()),
        Ok(said) => {
            let what = "negative control: synchronous=NORMAL lost nothing, so this proves nothing";
            Err(format!("{what} ({said})").into())
        }
    }
}
