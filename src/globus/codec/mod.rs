//! How Globus Compute writes arguments and results (`PROTOCOL.md`, 6).

/// A plain Python value.
#[derive(Debug, Clone, PartialEq)]
pub enum PyValue {
    /// `None`
    None,
    /// `True` or `False`
    Bool(bool),
    /// An integer that fits.
    Int(i64),
    /// An integer that does not, in decimal digits.
    BigInt(String),
    /// A float, also NaN and infinities.
    Float(f64),
    /// A `str`.
    Text(String),
    /// `bytes`
    Bytes(Vec<u8>),
    /// A list or a tuple.
    List(Vec<PyValue>),
    /// A dict, in its order.
    Dict(Vec<(PyValue, PyValue)>),
}

/// Why a buffer cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(pub String);

/// The payload of a task whose function gets one positional argument, the JSON text `argument`, or
/// none.
#[must_use]
pub fn task_payload(argument: Option<&str>) -> String {
    let list = argument.map_or_else(|| "[]".to_owned(), |argument| format!("[{argument}]"));
    format!("{}\n11\n{list}5\n11\n{{}}", list.chars().count() + 3)
}

/// Reads one serialised buffer.
///
/// # Errors
/// What is wrong with it.
pub fn decode(_buffer: &str) -> Result<PyValue, CodecError> {
    Err(CodecError("cannot be read yet".to_owned()))
}

impl PyValue {
    /// The value as a JSON document: a `str` that holds JSON (or, failing that, a Python literal) is
    /// that document; anything else is written as JSON. NaN and infinities become `null`.
    #[must_use]
    pub fn into_document(self) -> String {
        String::new()
    }
}
