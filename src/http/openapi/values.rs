//! Which values parameters and fields may have, where the types they are derived from do not say:
//! closed lists of words, forms, lengths. By name, because a name means the same everywhere.

use crate::domain::review::GroupBy;
use crate::domain::words::{FileKind, Kind, Source, Status, ValidationStatus};
use crate::http::host_filter::HOST_FILTERS;
use crate::ingest::{
    ARRAY_MAX_REPORTS, FILES_MAX, LABEL_NAME_MAX_CHARS, LABEL_VALUE_MAX_CHARS, LABELS_MAX,
    PATH_MAX_BYTES, TEXT_MAX_BYTES,
};
use serde_json::Value;
use utoipa::Number;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{AdditionalProperties, ArrayItems, Object, SchemaType, Type};
use utoipa::openapi::{OpenApi, RefOr, Required, Schema};

macro_rules! date {
    () => {
        "(19[7-9][0-9]|[2-9][0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    };
}
macro_rules! clock {
    () => {
        concat!(
            date!(),
            "[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?",
            "( ?([Zz]|[+-](0[0-9]|1[0-3]):?[0-5][0-9]))?"
        )
    };
}

/// What a value may be.
enum Values {
    /// One of these words.
    Words(Vec<&'static str>),
    /// Of this form, and at most so many characters.
    Form(&'static str, usize),
    /// At most so many characters; perhaps at least one.
    Text(usize),
    /// A whole number up to this.
    Upto(usize),
}
use Values::{Form, Text, Upto, Words};

/// A name: no control characters, and more than blanks and dots.
const NAME: &str = r"^[^\x00-\x1f\x7f-\x9f]*[^\s.\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$";
/// A time as senders give it; empty is no time. (A pattern knows no calendar.)
const TIME: &str = concat!("^$|^", clock!(), "$");
/// A time as readers give it: also a date, seconds, milliseconds, now and before.
const BOUND: &str = concat!(
    "^$|^now(-[0-9]{1,4}[smhdw])?$|^[0-9]{10}$|^[0-9]{13}$|^",
    date!(),
    "$|^",
    clock!(),
    "$"
);
const PERIOD: &str = r"^([0-9]{4}(-Q[1-4]|-(0[1-9]|1[0-2]))?|(this|last)-(year|quarter|month))$";
const NAME_CHARS: usize = 255;

/// Fills in what may be where.
pub fn fill_in(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let operations = [&mut item.get, &mut item.post, &mut item.put, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            fill_in_parameters(path, operation);
        }
    }
    let schemas = document.components.as_mut().map(|components| &mut components.schemas);
    for (name, schema) in schemas.into_iter().flatten() {
        let RefOr::T(schema) = schema else { continue };
        match (name.as_str(), schema) {
            (
                "PipelineReport" | "CronReport" | "V1Report" | "FileObject" | "V1File"
                | "RetireBody" | "FormerName",
                Schema::Object(object),
            ) => {
                for (field, schema) in &mut object.properties {
                    limit(schema, field_values(field));
                    limit_file_list(field, schema);
                    limit_labels(field, schema);
                }
            }
            ("PipelineBody" | "CronBody" | "V1Body", Schema::OneOf(either)) => {
                for choice in &mut either.items {
                    if let RefOr::T(Schema::Array(array)) = choice {
                        (array.min_items, array.max_items) = (Some(1), Some(ARRAY_MAX_REPORTS));
                    }
                }
            }
            ("ReportedFile" | "V1ReportedFile", Schema::OneOf(either)) => {
                limit(&mut either.items[0], Some(Form(r"[^\x00]", PATH_MAX_BYTES)));
            }
            _ => {}
        }
    }
}

fn fill_in_parameters(path: &str, operation: &mut Operation) {
    if path.contains("/job/")
        && let Some(RefOr::T(body)) = &mut operation.request_body
    {
        // An empty push is a push.
        body.required = Some(Required::False);
    }
    let Some(parameters) = &mut operation.parameters else { return };
    parameters.retain_mut(|parameter| {
        let RefOr::T(parameter) = parameter else { return true };
        if let Some(schema) = &mut parameter.schema {
            limit(schema, parameter_values(path, &parameter.name));
        }
        // That path names the stretch.
        path != "/reviews/{period}" || !["from", "to"].contains(&parameter.name.as_str())
    });
}

fn parameter_values(path: &str, name: &str) -> Option<Values> {
    let reviews = path.starts_with("/reviews");
    Some(match name {
        "status" => Words(Status::WORDS.into()),
        "source" => Words(Source::WORDS.into()),
        "kind" => Words(Kind::WORDS.into()),
        "order" => Words(vec!["asc", "desc"]),
        "sort" => Words(vec!["time", "id"]),
        "stale" => Words(vec!["0", "1", "false", "true"]),
        "format" if reviews => Words(vec!["json", "csv"]),
        "format" => Words(vec!["json", "csv", "ndjson"]),
        "group_by" if reviews => Words(GroupBy::WORDS.into()),
        "group_by" => Words(HOST_FILTERS.into()),
        "limit" => Upto(10_000),
        "after_id" | "from_id" | "to_id" | "as_of" | "at_least" => Upto(i64::MAX as usize),
        "from" | "to" | "at" | "known_at" => Form(BOUND, 64),
        "step" => Form(r"^$|^[1-9][0-9]{0,4}[smhd]?$", 16),
        "period" => Form(PERIOD, 16),
        "Idempotency-Key" => Form(r"[!-~]", NAME_CHARS),
        "server_group" | "host" if path.starts_with("/hosts") => Form(NAME, NAME_CHARS),
        _ => return None,
    })
}

fn field_values(name: &str) -> Option<Values> {
    Some(match name {
        "server_group" | "host" | "repo" | "server" => Form(NAME, NAME_CHARS),
        "status" => Words(Status::WORDS.into()),
        "sync_status" => Words(vec!["SYNCED", "OUT_OF_SYNC", "UNKNOWN"]),
        "validation_status" => Words(ValidationStatus::WORDS.into()),
        "kind" => Words(FileKind::WORDS.into()),
        "sha256" => Form(r"^$|^[0-9A-Fa-f]{64}$", 64),
        "path" | "name" => Form(r"[^\x00]", PATH_MAX_BYTES),
        "last_pipeline_run" | "last_cron_check" | "last_check" => Form(TIME, 64),
        "project_name" | "repo_name" | "server_type" | "environment" | "commit_sha" | "branch"
        | "updated_by" | "run_id" | "run_url" | "reason" => Text(TEXT_MAX_BYTES),
        _ => return None,
    })
}

/// Writes into a schema what its values may be; of a list, its items.
fn limit(schema: &mut RefOr<Schema>, values: Option<Values>) {
    let Some(values) = values else { return };
    match schema {
        RefOr::T(Schema::Array(array)) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                limit(items, Some(values));
            }
        }
        RefOr::T(Schema::Object(object)) => limit_object(object, values),
        _ => {}
    }
}

fn limit_object(object: &mut Object, values: Values) {
    match values {
        Words(words) => {
            let nullable = matches!(&object.schema_type, SchemaType::Array(types) if types.contains(&Type::Null));
            let words = words.into_iter().map(Value::from);
            object.enum_values = Some(words.chain(nullable.then_some(Value::Null)).collect());
        }
        Form(pattern, most) => {
            object.pattern = Some(pattern.to_owned());
            object.max_length = Some(most);
        }
        Text(most) => object.max_length = Some(most),
        Upto(most) => {
            object.maximum = Some(Number::UInt(most));
            if most < i64::MAX as usize {
                object.minimum = Some(Number::UInt(1));
            }
        }
    }
}

fn limit_file_list(field: &str, schema: &mut RefOr<Schema>) {
    if let ("changed_files" | "files", RefOr::T(Schema::Array(files))) = (field, schema) {
        files.max_items = Some(FILES_MAX);
    }
}

fn limit_labels(field: &str, schema: &mut RefOr<Schema>) {
    let text = |most| {
        let mut text = Object::with_type(Type::String);
        (text.min_length, text.max_length) = (Some(1), Some(most));
        Schema::Object(text)
    };
    if let ("labels", RefOr::T(Schema::Object(labels))) = (field, schema) {
        labels.max_properties = Some(LABELS_MAX);
        labels.property_names = Some(Box::new(text(LABEL_NAME_MAX_CHARS)));
        let value = RefOr::T(text(LABEL_VALUE_MAX_CHARS));
        labels.additional_properties = Some(Box::new(AdditionalProperties::RefOr(value)));
    }
}
