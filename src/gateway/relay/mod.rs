//! Answers on their way from a back end to the caller.

pub mod sse;
pub mod stream;
pub mod usage;
pub mod whole;

pub use stream::{EventRelay, FirstEvents};
pub use whole::LongRelay;
