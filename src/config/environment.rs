//! Keys set by environment: `FIGW_SERVER__LISTEN=…`.

use std::ffi::OsString;

use serde_yaml::{Mapping, Value};

use super::schema::{Kind, Node, root};

/// A variable that sets a key.
#[derive(Debug)]
pub(super) struct Override {
    /// The variable's name.
    pub(super) variable: String,
    segments: Vec<String>,
    value: String,
}

/// The variables that set a key, by name, or the complaint about one.
///
/// Only names with `__` are keys, because every key stands in a section; `FIGW_CONFIG` is none.
pub(super) fn overrides(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<Override>, (String, String)> {
    let mut found = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str() else { continue };
        let Some(key) = name.strip_prefix("FIGW_").filter(|key| key.contains("__")) else {
            continue;
        };
        let segments = key.split("__").map(str::to_lowercase).collect();
        let Ok(value) = value.into_string() else {
            return Err((name.to_owned(), "is not UTF-8".to_owned()));
        };
        found.push(Override { variable: name.to_owned(), segments, value });
    }
    found.sort_by(|a, b| a.variable.cmp(&b.variable));
    Ok(found)
}

impl Override {
    /// The path of the key, such as `server.listen` or `instances[0].url`.
    pub(super) fn path(&self) -> String {
        let mut node = Some(root());
        let mut path = String::new();
        for segment in &self.segments {
            if node.is_some_and(|node| matches!(node.kind, Kind::List(_))) {
                path = format!("{path}[{segment}]");
            } else {
                path = super::schema::join(&path, segment);
            }
            node = node.and_then(|node| node.child(segment));
        }
        path
    }

    /// Puts the value into the document. What does not fit there is left to the check of its shape.
    pub(super) fn apply(&self, document: &mut Value) -> Result<(), String> {
        let mut node = Some(root());
        let mut place = document;
        for segment in &self.segments {
            place = enter(place, node, segment)?;
            node = node.and_then(|node| node.child(segment));
        }
        *place = match node {
            Some(node) => parse(node, &self.value)?,
            None => Value::String(self.value.clone()),
        };
        Ok(())
    }
}

/// The place of an entry in a section, map or list, made if it is not there yet.
fn enter<'a>(
    place: &'a mut Value,
    node: Option<&Node>,
    segment: &str,
) -> Result<&'a mut Value, String> {
    if let Some(Node { kind: Kind::List(_), .. }) = node {
        let index: usize = segment
            .parse()
            .map_err(|_| format!("`{segment}` must be the number of a list's entry, from 0"))?;
        if !place.is_sequence() {
            *place = Value::Sequence(Vec::new());
        }
        let Value::Sequence(items) = place else { return Err("must be a list".to_owned()) };
        if index == items.len() {
            items.push(Value::Null);
        }
        let length = items.len();
        return items
            .get_mut(index)
            .ok_or_else(|| format!("the list has {length} entries; the next one is {length}"));
    }
    if !place.is_mapping() {
        *place = Value::Mapping(Mapping::new());
    }
    let Value::Mapping(map) = place else { return Err("must be a section".to_owned()) };
    Ok(map.entry(Value::String(segment.to_owned())).or_insert(Value::Null))
}

/// Texts and secrets are taken as they are, so that nobody must quote a password twice; the rest
/// is YAML. Never repeats the value.
fn parse(node: &Node, text: &str) -> Result<Value, String> {
    let yaml = || serde_yaml::from_str(text).map_err(|_| "is not valid YAML".to_owned());
    match &node.kind {
        _ if node.optional && text.is_empty() => Ok(Value::Null),
        Kind::Text(_) | Kind::Choice(_) => Ok(Value::String(text.to_owned())),
        Kind::Secret => Ok(yaml()
            .ok()
            .filter(|value: &Value| value.is_mapping() && text.trim_start().starts_with('{'))
            .unwrap_or_else(|| Value::String(text.to_owned()))),
        Kind::Section { .. }
        | Kind::Map(_)
        | Kind::List(_)
        | Kind::Integer { .. }
        | Kind::Ratio
        | Kind::Flag => yaml(),
    }
}
