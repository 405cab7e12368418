//! Status files of v1 and v2, taken over as reports of source `import` (contract section 5).
//!
//! v1: one object. v2: `{"version":"2.0","servers":{"GROUP/HOST":{row}}}`.

use super::fields::{FieldError, Fields};
use super::json::{self, Json, Object};
use super::{legacy, pipeline};
use crate::domain::max_age::StaleAfter;
use crate::domain::report::{Report, Source, Status};
use crate::domain::time::Timestamp;

/// Parses a status file. An empty file, an empty object, and v1's placeholder without names hold
/// no reports. Errors name every wrong place, one a line.
pub fn parse(bytes: &[u8], ages: &StaleAfter) -> Result<Vec<Report>, String> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Vec::new());
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let Json::Object(mut file) = json::parse(bytes)? else {
        return Err("a status file is one JSON object".into());
    };
    if let Some(at) = file.iter().position(|(key, _)| key == "servers") {
        return match file.swap_remove(at).1 {
            Json::Object(servers) => v2(servers, ages),
            other => Err(format!("servers: must be an object by GROUP/HOST, not {other}")),
        };
    }
    if file.is_empty() {
        return Ok(Vec::new());
    }
    if !file.iter().any(|(key, _)| key == "sync_status") {
        return Err("neither a v1 object (repo, server, sync_status …) nor a v2 file \
                    (version, servers)"
            .into());
    }
    v1(file, ages)
}

fn v1(object: Object, ages: &StaleAfter) -> Result<Vec<Report>, String> {
    let blank = |name: &str| match object.iter().find(|(key, _)| key == name) {
        None | Some((_, Json::Null)) => true,
        Some((_, Json::Text(text))) => text.trim().is_empty(),
        Some(_) => false,
    };
    if blank("repo") && blank("server") {
        return Ok(Vec::new());
    }
    let read = |fields: &mut Fields| {
        let key = fields.key("repo", "server");
        let mut content = legacy::v1_content(fields);
        content.last_cron_check = fields.time("last_check");
        content.repo_name = key.as_ref().map(|key| key.server_group.to_string());
        let time = content.last_cron_check;
        Some(pipeline::finish(Source::Import, key?, time, content, None, ages))
    };
    read_one(object, "", read).map(|report| vec![report])
}

fn v2(servers: Object, ages: &StaleAfter) -> Result<Vec<Report>, String> {
    let mut reports = Vec::with_capacity(servers.len());
    let mut problems = Vec::new();
    for (name, server) in servers {
        let place = format!("servers[{name:?}]");
        let result = match server {
            Json::Object(row) => v2_row(row, &name, &place, ages),
            other => Err(format!("{place}: must be an object, not {other}")),
        };
        match result {
            Ok(report) => reports.push(report),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(reports) } else { Err(problems.join("\n")) }
}

fn v2_row(mut row: Object, name: &str, place: &str, ages: &StaleAfter) -> Result<Report, String> {
    // The row names its server; a file that leaves it out has it in the key.
    if let Some((group, host)) = name.split_once('/') {
        for (field, value) in [("server_group", group), ("host", host)] {
            if !row.iter().any(|(key, _)| key == field) {
                row.push((field.into(), Json::Text(value.into())));
            }
        }
    }
    read_one(row, place, |fields| {
        let key = fields.key("server_group", "host");
        let mut content = pipeline::deployment_fields(fields);
        content.status = fields.required_word("status", Status::WORDS, Status::ALL);
        content.last_pipeline_run = fields.time("last_pipeline_run");
        content.last_cron_check = fields.time("last_cron_check");
        let newer: Option<Timestamp> = content.last_pipeline_run.max(content.last_cron_check);
        let reported_at = fields.time("timestamp").or(newer);
        let run = fields.run();
        Some(pipeline::finish(Source::Import, key?, reported_at, content, run, ages))
    })
}

fn read_one(
    object: Object,
    place: &str,
    read: impl FnOnce(&mut Fields) -> Option<Report>,
) -> Result<Report, String> {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let mut fields = Fields::new(object, None, &mut errors, &mut warnings);
    fields.quiet = true;
    let report = read(&mut fields);
    match report {
        Some(report) if errors.is_empty() => Ok(report),
        _ => Err(errors.iter().map(|error| located(place, error)).collect::<Vec<_>>().join("\n")),
    }
}

fn located(place: &str, error: &FieldError) -> String {
    let dot = if place.is_empty() { "" } else { "." };
    format!("{place}{dot}{}: {}", error.field, error.message)
}
