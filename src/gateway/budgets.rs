//! How long each part of a request may take.

use std::time::Duration;

/// Separate budgets for separate ways of being slow. Connecting has its own, in the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// From sending the request to the answer's first byte.
    pub first_byte: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// From receiving the request to the answer's last byte.
    pub total: Duration,
}
