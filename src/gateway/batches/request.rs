//! The body of a batch's submission: FIRST's three fields and no others.

use serde_json::{Map, Value};

use super::Refusal;

/// The longest path or model name, in bytes.
const LONGEST_TEXT: usize = 1_024;

/// What a caller asks to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRequest {
    /// The model.
    pub model: String,
    /// The file of requests; a path on the cluster.
    pub input_file: String,
    /// Where answers shall go; a path on the cluster.
    pub output_folder_path: Option<String>,
}

impl BatchRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// 400 with the field that is wrong.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let fields: Map<String, Value> = serde_json::from_slice(body)
            .map_err(|error| invalid(None, format!("The body must be a JSON object: {error}.")))?;
        let known = ["model", "input_file", "output_folder_path"];
        if let Some(unknown) = fields.keys().find(|field| !known.contains(&field.as_str())) {
            let shown: String = unknown.chars().filter(|c| !c.is_control()).take(64).collect();
            let message = format!("Unknown field '{shown}'; a batch has {}.", known.join(", "));
            return Err(invalid(Some(&shown), message));
        }
        let needed = |field| {
            text(&fields, field)?
                .ok_or_else(|| invalid(Some(field), format!("'{field}' is missing.")))
        };
        let request = Self {
            model: needed("model")?,
            input_file: needed("input_file")?,
            output_folder_path: text(&fields, "output_folder_path")?,
        };
        check_path("input_file", &request.input_file)?;
        if let Some(path) = &request.output_folder_path {
            check_path("output_folder_path", path)?;
        }
        Ok(request)
    }
}

/// A field's text; `null` is as good as no field.
fn text(fields: &Map<String, Value>, field: &str) -> Result<Option<String>, Refusal> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.is_empty() && text.len() <= LONGEST_TEXT => {
            Ok(Some(text.clone()))
        }
        Some(_) => {
            let message = format!("'{field}' must be a string of 1 to {LONGEST_TEXT} bytes.");
            Err(invalid(Some(field), message))
        }
    }
}

/// Whether a path means what it says. Like FIRST, figw leaves to the function which directories it
/// opens, and what a relative path is relative to.
fn check_path(field: &str, path: &str) -> Result<(), Refusal> {
    if path.chars().any(char::is_control) {
        return Err(invalid(Some(field), format!("'{field}' must not have control characters.")));
    }
    if path.split('/').any(|segment| segment == "..") {
        return Err(invalid(Some(field), format!("'{field}' must not have '..' in it.")));
    }
    Ok(())
}

fn invalid(param: Option<&str>, message: String) -> Refusal {
    let refusal = Refusal::new(http::StatusCode::BAD_REQUEST, "invalid_batch", message);
    match param {
        Some(param) => refusal.param(param),
        None => refusal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(body: &str) -> (Option<String>, String) {
        let refusal = BatchRequest::parse(body.as_bytes()).unwrap_err();
        assert_eq!(refusal.status, http::StatusCode::BAD_REQUEST, "{body}");
        (refusal.param, refusal.message)
    }

    #[test]
    fn first_s_bodies_are_read() {
        let body = br#"{"model": "m", "input_file": "/data/in.jsonl"}"#;
        let request = BatchRequest::parse(body).unwrap();
        assert_eq!((request.model.as_str(), request.input_file.as_str()), ("m", "/data/in.jsonl"));
        assert_eq!(request.output_folder_path, None);
        let body = r#"{"output_folder_path": "out/é..x", "model": "m", "input_file": "in"}"#;
        let request = BatchRequest::parse(body.as_bytes()).unwrap();
        assert_eq!(request.output_folder_path.as_deref(), Some("out/é..x"));
    }

    #[test]
    fn anything_else_is_refused_by_the_name_of_its_field() {
        for (body, param) in [
            (r#"{"model": "m"}"#, "input_file"),
            (r#"{"input_file": "/in"}"#, "model"),
            (r#"{"model": "", "input_file": "/in"}"#, "model"),
            (r#"{"model": 3, "input_file": "/in"}"#, "model"),
            (r#"{"model": "m", "input_file": null}"#, "input_file"),
            (r#"{"model": "m", "input_file": "/a/../b"}"#, "input_file"),
            (r#"{"model": "m", "input_file": ".."}"#, "input_file"),
            (r#"{"model": "m", "input_file": "/a\n"}"#, "input_file"),
            (r#"{"model": "m", "input_file": "/a\u0000"}"#, "input_file"),
            (
                r#"{"model": "m", "input_file": "/in", "output_folder_path": "/../o"}"#,
                "output_folder_path",
            ),
            (
                r#"{"model": "m", "input_file": "/in", "output_folder_path": []}"#,
                "output_folder_path",
            ),
            (r#"{"model": "m", "input_file": "/in", "input_file_id": "f"}"#, "input_file_id"),
        ] {
            let (named, message) = wrong(body);
            assert_eq!(named.as_deref(), Some(param), "{body}");
            assert!(message.contains(param), "{message}");
        }
        let long = format!(r#"{{"model": "m", "input_file": "/{}"}}"#, "a".repeat(LONGEST_TEXT));
        assert_eq!(wrong(&long).0.as_deref(), Some("input_file"));
        for body in ["", "[]", "{", "\"x\"", "{\"model\": \"m\"} x"] {
            assert_eq!(wrong(body).0, None, "{body}");
        }
    }
}
