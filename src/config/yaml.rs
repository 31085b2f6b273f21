//! The configuration as YAML for people: the example file, and `figw config show`.

use std::fmt::Write;

use serde_json::Value;

use super::{
    Config, Loaded,
    schema::{Kind, Node, join, root},
};

/// Comments are wrapped to this many columns, their indentation included.
const WIDTH: usize = 96;

const HEADER: &str = "\
# figw's configuration: every key with its default value.
# figw reads the file named by -c or FIGW_CONFIG, else ./config.yaml, else /etc/figw/config.yaml.
# A key that is left out has its default. The variable FIGW_SERVER__LISTEN sets server.listen, and
# so on for every key. Durations are written 250ms, 10s, 5m, 2h; sizes 64KiB, 100MiB. A secret is
# text, {env: NAME} or {file: PATH}. `figw config check` checks the file; figw-config(5) tells more.
";

/// `config.example.yaml`: every key with its explanation and its default value.
#[must_use]
pub fn example() -> String {
    let mut writer = Writer { out: HEADER.to_owned(), purpose: Purpose::Example };
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    writer.entries(root(), &defaults, "", 0);
    writer.out
}

impl Loaded {
    /// The effective configuration as YAML, secrets masked, each value that was set with its place.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let mut writer = Writer { out: String::new(), purpose: Purpose::Show(self) };
        let values = serde_json::to_value(&self.config).unwrap_or_default();
        writer.entries(root(), &values, "", 0);
        writer.out
    }
}

/// The doc comment's paragraphs, with choices.
pub(super) fn explanation(node: &Node) -> Vec<String> {
    let mut paragraphs: Vec<String> = node
        .doc
        .split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    if let Kind::Choice(choices) = &node.kind {
        let all: Vec<String> =
            choices.iter().map(|(name, meaning)| format!("{name} ({meaning})")).collect();
        paragraphs.push(format!("One of: {}.", all.join(", ")));
    }
    paragraphs
}

/// What the YAML is for.
enum Purpose<'a> {
    /// Keys are explained, and an empty list of sections shows what an entry would look like.
    Example,
    /// Values carry the place that set them.
    Show(&'a Loaded),
}

struct Writer<'a> {
    out: String,
    purpose: Purpose<'a>,
}

impl Writer<'_> {
    fn entries(&mut self, section: &Node, values: &Value, path: &str, depth: usize) {
        let Kind::Section { keys, .. } = &section.kind else { return };
        for (name, node) in keys {
            let path = join(path, name);
            let indent = "  ".repeat(depth);
            if matches!(self.purpose, Purpose::Example) {
                self.out.push_str(if depth == 0 { "\n" } else { "" });
                for paragraph in explanation(node) {
                    self.comment(&indent, &paragraph);
                }
            }
            let value = &values[name.as_str()];
            if matches!(node.kind, Kind::Section { .. }) {
                self.line(&format!("{indent}{name}:"));
                self.entries(node, value, &path, depth + 1);
            } else {
                self.value(&indent, name, value, &path);
                self.template(node, value, &indent);
            }
        }
    }

    fn value(&mut self, indent: &str, name: &str, value: &Value, path: &str) {
        let origin = match &self.purpose {
            Purpose::Show(loaded) => loaded.origin(path),
            Purpose::Example => None,
        };
        let origin = origin.map(|origin| format!("  # {origin}")).unwrap_or_default();
        let text = serde_yaml::to_string(value).unwrap_or_default();
        let is_block = match value {
            Value::Array(items) => !items.is_empty(),
            Value::Object(entries) => !entries.is_empty(),
            Value::String(text) => text.contains('\n'),
            _ => false,
        };
        if is_block && !value.is_string() {
            self.line(&format!("{indent}{name}:{origin}"));
            for line in text.lines() {
                self.line(&format!("{indent}  {line}"));
            }
        } else if is_block {
            // A JSON string is a YAML string, and stays on its line.
            self.line(&format!("{indent}{name}: {value}{origin}"));
        } else {
            self.line(&format!("{indent}{name}: {}{origin}", text.trim_end()));
        }
    }

    /// What an entry of an empty list of sections would hold.
    fn template(&mut self, node: &Node, value: &Value, indent: &str) {
        let Kind::List(entry) = &node.kind else { return };
        let Kind::Section { keys, .. } = &entry.kind else { return };
        let is_empty = value.as_array().is_some_and(Vec::is_empty);
        if !is_empty || matches!(self.purpose, Purpose::Show(_)) {
            return;
        }
        self.comment(indent, "Each entry has these keys:");
        for (position, (name, node)) in keys.iter().enumerate() {
            let bullet = if position == 0 { '-' } else { ' ' };
            let doc = node.doc.split_whitespace().collect::<Vec<_>>().join(" ");
            self.comment(indent, &format!("  {bullet} {name}:  # {doc}"));
        }
    }

    fn comment(&mut self, indent: &str, text: &str) {
        for line in wrap(text, WIDTH.saturating_sub(indent.len() + 2)) {
            self.line(&format!("{indent}# {line}"));
        }
    }

    fn line(&mut self, text: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.out, "{text}");
    }
}

/// Lines of at most `width` characters where words allow; leading spaces are kept.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
