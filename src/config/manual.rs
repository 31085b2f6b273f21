//! `figw-config(5)`, the configuration's manual page.

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use serde_json::Value;

use super::{
    Config,
    schema::{Kind, Node, join, root},
    yaml::explanation,
};

/// The page in the form that `man` reads.
#[must_use]
pub fn manual() -> String {
    let mut page = Roff::new();
    let version = concat!("figw ", env!("CARGO_PKG_VERSION"));
    page.control("TH", ["figw-config", "5", "", version, ""]);
    page.control("SH", ["NAME"]);
    page.text([roman("figw-config - figw's configuration file")]);
    introduction(&mut page);
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    if let Kind::Section { keys, .. } = &root().kind {
        for (name, node) in keys {
            page.control("SH", [name.to_uppercase().as_str()]);
            section(&mut page, node, &defaults[name.as_str()], name);
        }
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("figw"), roman("(1), "), bold("figw-config"), roman("(1)")]);
    page.render()
}

fn introduction(page: &mut Roff) {
    page.control("SH", ["DESCRIPTION"]);
    paragraph(
        page,
        "One YAML file. Every key has a default. An unknown key, a value of the wrong type or out \
         of range is an error that names the file, the line and the key. `figw config check` \
         checks the file, and `figw config show` prints the values in effect.",
    );
    paragraph(
        page,
        "Durations are written 250ms, 10s, 5m, 2h. Sizes are written 64KiB, 100MiB, or as a plain \
         number of bytes.",
    );
    paragraph(
        page,
        "A secret is the text itself, {env: NAME} for an environment variable, or {file: PATH} for \
         a file, whose last line break is not part of it. {vault: \"mount/path#field\"} is \
         understood, but cannot be read by this version.",
    );
    page.control("SH", ["FILES"]);
    paragraph(
        page,
        "The file named by -c, or else by the variable FIGW_CONFIG. When none is named, \
         ./config.yaml, or else /etc/figw/config.yaml, or else the defaults.",
    );
    page.control("SH", ["ENVIRONMENT"]);
    paragraph(
        page,
        "The variable FIGW_SERVER__LISTEN sets server.listen, and so on for every key: the path in \
         capitals, its parts joined by two underscores. Entries of a list are numbered from 0, as \
         in FIGW_INSTANCES__0__URL; a whole list is written as in YAML, such as [a, b].",
    );
}

fn paragraph(page: &mut Roff, text: &str) {
    page.control("PP", []);
    page.text([roman(text)]);
}

fn section(page: &mut Roff, node: &Node, default: &Value, path: &str) {
    for text in explanation(node) {
        paragraph(page, &text);
    }
    if let Kind::List(entry) = &node.kind {
        entries(page, entry, &Value::Null, &format!("{path}[]"));
    } else {
        entries(page, node, default, path);
    }
}

fn entries(page: &mut Roff, node: &Node, defaults: &Value, path: &str) {
    let Kind::Section { keys, .. } = &node.kind else { return };
    for (name, node) in keys {
        let path = join(path, name);
        let default = &defaults[name.as_str()];
        page.control("TP", []);
        page.text(heading(&path, node, default));
        page.text([roman(explanation(node).join(" "))]);
        entries(page, node, default, &path);
        if let Kind::Map(entry) = &node.kind {
            entries(page, entry, &Value::Null, &format!("{path}.NAME"));
        }
    }
}

/// The key with its default, where it has one.
fn heading(path: &str, node: &Node, default: &Value) -> Vec<Inline> {
    let mut heading = vec![bold(path)];
    let text = match default {
        _ if matches!(node.kind, Kind::Section { .. }) => return heading,
        Value::Null => return heading,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    heading.extend([roman(" (default "), italic(text), roman(")")]);
    heading
}
