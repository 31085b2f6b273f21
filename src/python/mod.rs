//! Plain Python values (what `json` and `ast.literal_eval` know): as text, as pickles, as JSON
//! documents. Nothing in here can run code, whatever its input says.

mod document;
pub mod pickle;
pub mod text;

/// Containers stand in at most this many others: as deep as JSON readers usually go, and far from
/// the end of any stack.
pub const MAX_DEPTH: usize = 127;

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
    /// A `str`. Half a surrogate pair stands as U+FFFD.
    Text(String),
    /// `bytes`
    Bytes(Vec<u8>),
    /// A list, a tuple or a set.
    List(Vec<PyValue>),
    /// A dict, in its order.
    Dict(Vec<(PyValue, PyValue)>),
}

/// Why something is not a plain Python value: what was found, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReadError(pub String);

impl ReadError {
    fn too_deep() -> Self {
        Self(format!("nested deeper than {MAX_DEPTH} levels"))
    }
}
