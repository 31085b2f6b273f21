//! Short-lived state that instances share: in memory, or in Redis where there is one.

pub mod kept;

pub use kept::Kept;
