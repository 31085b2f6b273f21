//! A refusal in OpenAI's words.

use std::fmt::{self, Write as _};

use super::json::{Fault, MAX_DEPTH, Syntax};

/// Why a body is refused: the content of a 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// One line for a person. Values of the body are shortened and made printable.
    pub message: String,
    /// The field, as in `messages[0].content`; `None` when the body as a whole is wrong.
    pub param: Option<String>,
    /// OpenAI's machine-readable reason, as `missing_required_parameter`.
    pub code: Option<&'static str>,
}

/// A broken rule between the fields of an object.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) field: &'static str,
    pub(super) message: String,
    pub(super) code: &'static str,
}

impl Broken {
    /// Two parts that cannot, or can only, stand together.
    pub(super) fn combination(field: &'static str, message: &str) -> Self {
        Self { field, message: message.to_owned(), code: "invalid_parameter_combination" }
    }

    /// A part that another part, or its absence, demands. The message is the common one.
    pub(super) fn missing(field: &'static str) -> Self {
        Self { field, message: String::new(), code: MISSING }
    }
}

const MISSING: &str = "missing_required_parameter";

/// Where in the body a value stands, kept on the stack and spelled out only for a refusal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    step: Step<'p>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'p> {
    Root,
    Member(&'p str),
    Index(usize),
}

impl<'p> Path<'p> {
    pub(super) const ROOT: Self = Self { parent: None, step: Step::Root };

    pub(super) fn member(&'p self, name: &'p str) -> Self {
        Self { parent: Some(self), step: Step::Member(name) }
    }

    pub(super) fn index(&'p self, index: usize) -> Self {
        Self { parent: Some(self), step: Step::Index(index) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Member(name) => {
                let first = self.parent.is_none_or(|parent| matches!(parent.step, Step::Root));
                write!(f, "{}{}", if first { "" } else { "." }, Excerpt(name))
            }
        }
    }
}

/// A piece of the caller's text: at most 64 characters, none of them invisible.
pub(super) struct Excerpt<'a>(pub(super) &'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 64;
        let mut chars = self.0.chars();
        for char in chars.by_ref().take(LONGEST) {
            // `escape_debug` knows what is printable; quotes need no escape here.
            if matches!(char, '\'' | '"' | '\\') {
                f.write_char(char)?;
            } else {
                char.escape_debug().try_for_each(|escaped| f.write_char(escaped))?;
            }
        }
        if chars.next().is_some() { f.write_str("...") } else { Ok(()) }
    }
}

impl Invalid {
    fn at(path: &Path<'_>, code: &'static str, message: String) -> Self {
        Self { message, param: Some(path.to_string()), code: Some(code) }
    }

    /// The body as a whole is not what it should be.
    pub(super) fn body(code: &'static str, message: impl Into<String>) -> Self {
        Self { message: message.into(), param: None, code: Some(code) }
    }

    pub(super) fn missing(path: &Path<'_>) -> Self {
        Self::at(path, MISSING, format!("Missing required parameter: '{path}'."))
    }

    pub(super) fn wrong_type(path: &Path<'_>, expected: &str, got: &str) -> Self {
        let message =
            format!("Invalid type for '{path}': expected {expected}, but got {got} instead.");
        Self::at(path, "invalid_type", message)
    }

    pub(super) fn unsupported_value<'v>(
        path: &Path<'_>,
        value: &str,
        supported: impl Iterator<Item = &'v str>,
    ) -> Self {
        let quoted: Vec<_> = supported.map(|value| format!("'{value}'")).collect();
        let list = match quoted.as_slice() {
            [rest @ .., last] if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
            one => one.concat(),
        };
        let excerpt = Excerpt(value);
        let message =
            format!("Invalid value: '{excerpt}'. Supported values for '{path}' are: {list}.");
        Self::at(path, "invalid_value", message)
    }

    pub(super) fn out_of_range(
        path: &Path<'_>,
        code: &'static str,
        reason: &str,
        sign: &str,
        limit: &dyn fmt::Display,
        got: &dyn fmt::Display,
    ) -> Self {
        let message = format!(
            "Invalid '{path}': {reason}. Expected a value {sign} {limit}, but got {got} instead."
        );
        Self::at(path, code, message)
    }

    /// Too short or too long; `what` is "array", "string" or "object".
    pub(super) fn length(
        path: &Path<'_>,
        code: &'static str,
        what: &str,
        limit: (&str, usize),
        got: usize,
    ) -> Self {
        let (bound, length) = limit;
        let message = format!(
            "Invalid '{path}': expected {what} with {bound} length {length}, but got length {got} instead."
        );
        Self::at(path, code, message)
    }

    pub(super) fn pattern(path: &Path<'_>, value: &str) -> Self {
        let message = format!(
            "Invalid '{path}': '{}' has characters other than letters, digits, '_' and '-'.",
            Excerpt(value)
        );
        Self::at(path, "invalid_value", message)
    }

    pub(super) fn duplicate(path: &Path<'_>) -> Self {
        let message = format!("Duplicate parameter: '{path}' is given more than once.");
        Self::at(path, "duplicate_parameter", message)
    }

    pub(super) fn look_alike(path: &Path<'_>, name: &str) -> Self {
        let message = format!(
            "Ambiguous parameter: '{}' differs from '{path}' only by case, and some back ends \
             take one for the other.",
            Excerpt(name)
        );
        Self::at(path, "duplicate_parameter", message)
    }

    pub(super) fn broken(path: &Path<'_>, broken: Broken) -> Self {
        let path = path.member(broken.field);
        if broken.code == MISSING {
            return Self::missing(&path);
        }
        Self::at(&path, broken.code, broken.message)
    }

    /// Puts a line and a column to what is wrong with the JSON.
    pub(super) fn syntax(body: &str, syntax: &Syntax) -> Self {
        let before = &body.as_bytes()[..syntax.at.min(body.len())];
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
        let place = format!("line {line} column {column}");
        match syntax.fault {
            Fault::Malformed(what) => Self::body(
                "invalid_json",
                format!("The body of the request is not valid JSON: {what} at {place}."),
            ),
            Fault::TooDeep => Self::body(
                "nested_too_deeply",
                format!(
                    "The body of the request is nested too deeply: more than {MAX_DEPTH} levels \
                     at {place}."
                ),
            ),
            Fault::NumberRange => Self::body(
                "number_out_of_range",
                format!("The body of the request has a number too large for any type at {place}."),
            ),
        }
    }
}
