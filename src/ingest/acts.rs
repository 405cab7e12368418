//! Bodies of acts of people: `POST /hosts/…/retire` and `/alias` (contract section 7).

use super::fields::{FieldError, Fields};
use super::json::{self, Json, Object};
use super::{Refusal, shorten_warnings};
use crate::domain::names::HostKey;

/// An act's body, understood, and what was repaired or ignored in it.
pub type Understood<T> = Result<(T, Vec<String>), Refusal>;

/// `{"reason": …}`; the reason may be missing.
pub fn parse_retire(body: &[u8]) -> Understood<Option<String>> {
    read(object(body)?, |fields| Some(fields.text("reason")))
}

/// `{"alias_of": {"server_group": …, "host": …}}`: the former name.
pub fn parse_alias(body: &[u8]) -> Understood<HostKey> {
    let mut outer = object(body)?;
    let wrong = |message: String| {
        let errors = vec![FieldError::at(None, "alias_of", message)];
        Refusal::Fields { errors, subjects: Vec::new(), reports: 0 }
    };
    let at = outer.iter().position(|(name, _)| name == "alias_of");
    let inner = match at.map(|at| outer.swap_remove(at).1) {
        Some(Json::Object(inner)) => inner,
        Some(other) => return Err(wrong(format!("must be an object, not {other}"))),
        None => {
            let message = "is required: the former name, {\"server_group\": …, \"host\": …}";
            return Err(wrong(message.into()));
        }
    };
    let (key, warnings) = read(inner, |fields| fields.key("server_group", "host"))?;
    let ((), mut more) = read(outer, |_| Some(()))?;
    more.extend(warnings);
    shorten_warnings(&mut more);
    Ok((key, more))
}

fn object(body: &[u8]) -> Result<Object, Refusal> {
    match json::parse(body).map_err(Refusal::Json)? {
        Json::Object(object) => Ok(object),
        other => Err(Refusal::body(format!("must be an object, not {other}"))),
    }
}

fn read<T>(object: Object, read: impl FnOnce(&mut Fields) -> Option<T>) -> Understood<T> {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let mut fields = Fields::new(object, None, &mut errors, &mut warnings);
    match read(&mut fields) {
        Some(read) if !fields.finish(0) => {
            shorten_warnings(&mut warnings);
            Ok((read, warnings))
        }
        _ => Err(Refusal::Fields { errors, subjects: Vec::new(), reports: 0 }),
    }
}
