//! The committed figures, with what they were measured, and the verdict.

use super::TOLERANCE;
use super::benches::Bench;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

/// What counts depend on besides the program: with other tools they are not compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools(BTreeMap<String, String>);

impl Tools {
    /// Those of this machine; `features` are the processor's, as valgrind shows them.
    pub fn here(features: String) -> Self {
        let first_line = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().map(|output| output.stdout);
            let text = String::from_utf8(output.unwrap_or_default()).unwrap_or_default();
            text.lines().next().unwrap_or("none").to_owned()
        };
        // SQLite is compiled by it; the number without the name of whoever packed it.
        let cc = first_line("cc", &["--version"]);
        let tools = [
            ("rustc", first_line("rustc", &["--version"])),
            ("cc", cc.rsplit(' ').next().unwrap_or_default().to_owned()),
            ("libc", first_line("getconf", &["GNU_LIBC_VERSION"])),
            ("processor", features),
        ];
        Self(tools.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// In what they differ from those found here, in words.
    pub fn difference(&self, here: &Self) -> Option<String> {
        let said = |tools: &Self, name: &String| tools.0.get(name).cloned().unwrap_or_default();
        let different: Vec<String> = here
            .0
            .iter()
            .filter(|(name, value)| said(self, name) != **value)
            .map(|(name, value)| format!("{name} '{}', here it is '{value}'", said(self, name)))
            .collect();
        (!different.is_empty()).then(|| different.join("; "))
    }
}

/// What the processor can do, of that which libraries choose their code by.
pub fn features() -> String {
    let mut features = vec![std::env::consts::ARCH];
    #[cfg(target_arch = "x86_64")]
    for (name, has) in [
        ("sse4.2", std::is_x86_feature_detected!("sse4.2")),
        ("pclmulqdq", std::is_x86_feature_detected!("pclmulqdq")),
        ("avx", std::is_x86_feature_detected!("avx")),
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("bmi2", std::is_x86_feature_detected!("bmi2")),
        ("sha", std::is_x86_feature_detected!("sha")),
    ] {
        if has {
            features.push(name);
        }
    }
    features.join(" ")
}

/// `benches/instructions.json`.
#[derive(Debug, Clone)]
pub struct Figures {
    /// What they were measured with.
    pub tools: Tools,
    /// Instructions per unit, by bench.
    pub instructions: BTreeMap<String, u64>,
}

impl Figures {
    /// Reads the file; without one there are none.
    pub fn committed() -> Result<Self, String> {
        let Ok(text) = std::fs::read_to_string(path()) else {
            return Ok(Self { tools: Tools(BTreeMap::new()), instructions: BTreeMap::new() });
        };
        let value: Value = serde_json::from_str(&text).map_err(|error| format!("{error}"))?;
        let object = |name: &str| value[name].as_object().cloned().unwrap_or_default();
        let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
        let tools = object("tools").into_iter().map(|(name, value)| (name, text(value)));
        let counts = object("instructions").into_iter();
        let counts = counts.filter_map(|(name, value)| Some((name, value.as_u64()?)));
        Ok(Self { tools: Tools(tools.collect()), instructions: counts.collect() })
    }

    /// Writes the file.
    pub fn write(&self) -> Result<(), String> {
        let value = json!({ "tools": self.tools.0, "instructions": self.instructions });
        let mut text = serde_json::to_string_pretty(&value).unwrap();
        text.push('\n');
        std::fs::write(path(), text).map_err(|error| format!("{}: {error}", path().display()))
    }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.json")
}

/// By how many percent a count lies above the committed one.
fn above(count: f64, committed: u64) -> f64 {
    (count / committed as f64 - 1.0) * 100.0
}

/// A line for each bench.
pub fn table(benches: &[&Bench], counts: &[f64], committed: &Figures) -> String {
    let mut text = format!(
        "{:<14} {:<8} {:>14} {:>14} {:>9}\n",
        "bench", "per", "instructions", "committed", ""
    );
    for (bench, count) in benches.iter().zip(counts) {
        let (was, difference) = match committed.instructions.get(bench.name) {
            Some(was) => (was.to_string(), format!("{:+.2} %", above(*count, *was))),
            None => ("-".into(), String::new()),
        };
        let guarded = if bench.guarded { "guarded" } else { "" };
        let Bench { name, unit, .. } = bench;
        let row = format!("{name:<14} {unit:<8} {count:>14.0} {was:>14} {difference:>9} {guarded}");
        writeln!(text, "{}", row.trim_end()).unwrap();
    }
    text
}

/// Whether every guarded count is near the committed one.
pub fn judge(benches: &[&Bench], counts: &[f64], committed: &Figures) -> Result<(), String> {
    let mut wrong = Vec::new();
    for (bench, count) in benches.iter().zip(counts).filter(|(bench, _)| bench.guarded) {
        let Some(was) = committed.instructions.get(bench.name) else {
            wrong.push(format!("{} has no committed figure (bless it)", bench.name));
            continue;
        };
        let above = above(*count, *was);
        if above.abs() > TOLERANCE {
            let much = format!("{} is {:.1} %", bench.name, above.abs());
            wrong.push(if above > 0.0 {
                format!("{much} above the committed figure (find out why, or bless it)")
            } else {
                format!("{much} below the committed figure (bless it)")
            });
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}
