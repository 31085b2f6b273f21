//! The configuration's schema as a tree: what the loader checks against and what the example file
//! and the manual page are rendered from.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Config;

/// A key, or an entry of a list or map.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// The doc comment, as paragraphs.
    pub(super) doc: String,
    /// Whether `null` is allowed.
    pub(super) optional: bool,
    pub(super) kind: Kind,
}

/// What a value may be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Section {
        keys: Vec<(String, Node)>,
        required: Vec<String>,
    },
    Map(Box<Node>),
    List(Box<Node>),
    /// With the name of its form, as [`super::units`] knows it.
    Text(Option<String>),
    Secret,
    Integer {
        min: u64,
        max: u64,
    },
    /// A number from 0 to 1.
    Ratio,
    /// `true` or `false`.
    Flag,
    /// Allowed texts, each with what it means.
    Choice(Vec<(String, String)>),
}

/// The whole schema.
pub(super) fn root() -> &'static Node {
    static ROOT: LazyLock<Node> = LazyLock::new(|| {
        let generator =
            SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true).into_generator();
        Node::from_json(&generator.into_root_schema_for::<Config>().to_value())
    });
    &ROOT
}

impl Node {
    /// The node of that key or index, if there can be one.
    pub(super) fn child(&self, segment: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Section { keys, .. } => {
                keys.iter().find(|(name, _)| name == segment).map(|(_, node)| node)
            }
            Kind::Map(entry) => Some(entry),
            Kind::List(entry) => segment.parse::<usize>().is_ok().then_some(entry),
            _ => None,
        }
    }

    fn from_json(schema: &Value) -> Self {
        let doc = schema["description"].as_str().unwrap_or_default().to_owned();
        if let Some(inner) = optional_part(schema) {
            let inner = Self::from_json(inner);
            let doc = if doc.is_empty() { inner.doc } else { doc };
            return Self { doc, optional: true, kind: inner.kind };
        }
        let (name, optional) = type_name(schema);
        let kind = match name {
            _ if schema["oneOf"].is_array() => Kind::Choice(choices(&schema["oneOf"])),
            "object" if schema["properties"].is_object() => section(schema),
            "object" => Kind::Map(Box::new(Self::from_json(&schema["additionalProperties"]))),
            "array" => Kind::List(Box::new(Self::from_json(&schema["items"]))),
            "boolean" => Kind::Flag,
            "number" => Kind::Ratio,
            "integer" => Kind::Integer {
                min: schema["minimum"].as_u64().unwrap_or(0),
                max: schema["maximum"].as_u64().unwrap_or(u64::from(u32::MAX)),
            },
            _ => match schema["format"].as_str() {
                Some("secret") => Kind::Secret,
                format => Kind::Text(format.map(str::to_owned)),
            },
        };
        Self { doc, optional, kind }
    }
}

/// The schema beside `null` in an `anyOf` of two.
fn optional_part(schema: &Value) -> Option<&Value> {
    schema["anyOf"].as_array()?.iter().find(|part| part["type"] != "null")
}

/// The type's name, and whether `null` stands beside it.
fn type_name(schema: &Value) -> (&str, bool) {
    match &schema["type"] {
        Value::String(name) => (name, false),
        Value::Array(names) => (
            names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or_default(),
            names.iter().any(|name| name == "null"),
        ),
        _ => ("", false),
    }
}

fn choices(one_of: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    one_of.as_array().map_or_else(Vec::new, |all| {
        all.iter().map(|one| (text(&one["const"]), text(&one["description"]))).collect()
    })
}

fn section(schema: &Value) -> Kind {
    let keys = schema["properties"].as_object().map_or_else(Vec::new, |all| {
        all.iter().map(|(name, schema)| (name.clone(), Node::from_json(schema))).collect()
    });
    let required = schema["required"].as_array().map_or_else(Vec::new, |all| {
        all.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    });
    Kind::Section { keys, required }
}

/// The path of a key below `parent`.
pub(super) fn join(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(node: &Node, path: &str, visit: &mut dyn FnMut(&str, &Node)) {
        visit(path, node);
        match &node.kind {
            Kind::Section { keys, .. } => {
                for (key, node) in keys {
                    each(node, &join(path, key), visit);
                }
            }
            Kind::Map(entry) => each(entry, &format!("{path}.*"), visit),
            Kind::List(entry) => each(entry, &format!("{path}[0]"), visit),
            _ => {}
        }
    }

    #[test]
    fn every_key_is_explained() {
        each(root(), "", &mut |path, node| {
            let is_entry = path.ends_with('*') || path.ends_with(']');
            assert!(is_entry || !node.doc.is_empty(), "{path} has no doc comment");
        });
    }

    #[test]
    fn the_tree_knows_each_kind() {
        let at = |path: &str| {
            path.split('.').fold(root(), |node, segment| node.child(segment).unwrap()).clone()
        };
        assert_eq!(at("server.admin_token").kind, Kind::Secret);
        assert!(at("server.admin_token").optional);
        assert_eq!(at("server.listen").kind, Kind::Text(Some("address".into())));
        assert_eq!(at("database.max_connections").kind, Kind::Integer { min: 1, max: 1000 });
        assert_eq!(at("backup.keep.last").kind, Kind::Integer { min: 0, max: u32::MAX.into() });
        assert_eq!(at("server.proxy_protocol").kind, Kind::Flag);
        assert!(matches!(at("logging.format").kind, Kind::Choice(all) if all.len() == 2));
        assert!(matches!(at("auth.globus.authorized_groups_per_idp").kind, Kind::Map(_)));
        assert_eq!(at("instances.0.url").kind, Kind::Text(Some("http-url".into())));
    }
}
