//! Whether a document has the schema's shape. Finds every mistake, and never repeats a value,
//! because any of them could be a secret in the wrong place.

use serde_yaml::{Mapping, Value};

use super::{
    schema::{Kind, Node, join, root},
    secret, units,
};

/// Less alike than this is no suggestion.
const LIKENESS: f64 = 0.75;

/// Key paths with what is wrong there, in the document's order.
pub(super) fn complaints(document: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    check(root(), document, "", &mut found);
    found
}

/// A section or a file of which every key is commented out reads as `null`; it means the defaults.
pub(super) fn fill_empty_sections(node: &Node, value: &mut Value) {
    let Kind::Section { keys, .. } = &node.kind else { return };
    if value.is_null() {
        *value = Value::Mapping(Mapping::new());
    }
    for (key, node) in keys {
        if let Some(value) = value.get_mut(key.as_str()) {
            fill_empty_sections(node, value);
        }
    }
}

type Found = Vec<(String, String)>;

fn check(node: &Node, value: &Value, path: &str, found: &mut Found) {
    if value.is_null() && node.optional {
        return;
    }
    let wrong = match (&node.kind, value) {
        (_, Value::Tagged(_)) => Some("must not carry a YAML tag".to_owned()),
        (Kind::Section { keys, required }, Value::Mapping(map)) => {
            check_section(keys, required, map, path, found);
            None
        }
        (Kind::Section { .. }, _) => Some("must be a section of keys with values".to_owned()),
        (Kind::Map(entry), Value::Mapping(map)) => {
            for (key, value) in map {
                check(entry, value, &join(path, &key_text(key)), found);
                if !key.is_string() {
                    found.push((path.to_owned(), "must have text as keys; use quotes".to_owned()));
                }
            }
            None
        }
        (Kind::Map(_), _) => Some("must be a map such as {name: …}".to_owned()),
        (Kind::List(entry), Value::Sequence(items)) => {
            for (index, item) in items.iter().enumerate() {
                check(entry, item, &format!("{path}[{index}]"), found);
            }
            None
        }
        (Kind::List(_), _) => Some("must be a list such as [first, second]".to_owned()),
        (Kind::Secret, value) => (!is_secret(value)).then(|| secret::FORMS.to_owned()),
        (Kind::Integer { min, max }, value) => integer_complaint(*min, *max, value),
        (Kind::Ratio, value) => {
            let is_ratio = value.as_f64().is_some_and(|number| (0.0..=1.0).contains(&number));
            (!is_ratio).then(|| "must be a number from 0 to 1".to_owned())
        }
        (Kind::Flag, value) => (!value.is_bool()).then(|| "must be true or false".to_owned()),
        (Kind::Choice(choices), value) => choice_complaint(choices, value),
        (Kind::Text(format), value) => text_complaint(format.as_deref(), value),
    };
    found.extend(wrong.map(|message| (path.to_owned(), message)));
}

fn check_section(
    keys: &[(String, Node)],
    required: &[String],
    map: &Mapping,
    path: &str,
    found: &mut Found,
) {
    for (key, value) in map {
        let name = key_text(key);
        if let Some((_, node)) = keys.iter().find(|(known, _)| *known == name) {
            check(node, value, &join(path, &name), found);
            continue;
        }
        let suggestion = suggestion(keys, &name)
            .map(|known| format!(", did you mean `{known}`?"))
            .unwrap_or_default();
        found.push((join(path, &name), format!("unknown key{suggestion}")));
    }
    for key in required {
        if map.get(key.as_str()).is_none() {
            found.push((path.to_owned(), format!("`{key}` is missing")));
        }
    }
}

/// The key as people see it; only texts can be right.
fn key_text(key: &Value) -> String {
    match key {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => "?".to_owned(),
    }
}

/// The nearest key of this section, or the same key of another section.
fn suggestion(siblings: &[(String, Node)], name: &str) -> Option<String> {
    siblings
        .iter()
        .map(|(known, _)| (strsim::jaro_winkler(known, name), known))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known.clone())
        .or_else(|| elsewhere(root(), "", name))
}

fn elsewhere(node: &Node, path: &str, name: &str) -> Option<String> {
    let Kind::Section { keys, .. } = &node.kind else { return None };
    keys.iter()
        .find(|(key, _)| key == name)
        .map(|(key, _)| join(path, key))
        .or_else(|| keys.iter().find_map(|(key, node)| elsewhere(node, &join(path, key), name)))
}

fn is_secret(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.is_empty(),
        Value::Mapping(map) if map.len() == 1 => ["env", "file", "vault"]
            .iter()
            .any(|kind| map.get(*kind).and_then(Value::as_str).is_some_and(|s| !s.is_empty())),
        _ => false,
    }
}

fn integer_complaint(min: u64, max: u64, value: &Value) -> Option<String> {
    match value.as_u64() {
        Some(number) if (min..=max).contains(&number) => None,
        _ => Some(format!("must be a whole number from {min} to {max}")),
    }
}

fn choice_complaint(choices: &[(String, String)], value: &Value) -> Option<String> {
    let known: Vec<&str> = choices.iter().map(|(name, _)| name.as_str()).collect();
    match value.as_str() {
        Some(text) if known.contains(&text) => None,
        _ => Some(format!("must be one of {}", known.join(", "))),
    }
}

fn text_complaint(format: Option<&str>, value: &Value) -> Option<String> {
    match (value, format) {
        (Value::String(text), Some(format)) => units::complaint(format, text),
        (Value::String(text), None) => text.is_empty().then(|| "must not be empty".to_owned()),
        (Value::Number(number), Some("size")) => units::complaint("size", &number.to_string()),
        // What form is wanted says more than that it is no text.
        (_, Some(format)) => units::complaint(format, "").or_else(|| Some("must be text".into())),
        (Value::Number(_) | Value::Bool(_), None) => Some("must be text; put it in quotes".into()),
        _ => Some("must be text".to_owned()),
    }
}
