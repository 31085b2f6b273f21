//! A reader of pickles that hold plain values, protocols 2 to 5.
//!
//! A pickle is a program for a small stack machine. Plain values need about forty of its seventy
//! instructions; those that import names and call things are refused, each by its name. What a
//! pickle claims about its own lengths is believed only as far as there are bytes.
//! (The instructions are described in `pickletools` of Python's standard library.)

mod graph;
mod machine;
mod opcodes;

use super::{PyValue, ReadError};
use machine::Machine;

/// Reads the value that a pickle holds. Bytes after the end of the pickle are left alone, as Python
/// leaves them.
///
/// A value that occurs several times is read as often. Together, such repetitions have at most 64
/// MiB: with no such bound, a pickle of 300 bytes can stand for more than fits on any machine.
///
/// # Errors
/// Which instruction, at which byte, is not that of a plain value.
pub fn read(bytes: &[u8]) -> Result<PyValue, ReadError> {
    let (graph, root) = Machine::new(bytes).run()?;
    graph.into_value(root)
}

#[cfg(test)]
mod tests;
