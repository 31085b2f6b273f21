//! Short-lived state: answers kept for a while, and what instances share.

pub mod kept;
mod shared;

pub use kept::Kept;
pub use redis::Script;
pub use shared::{Cache, CacheError, PATIENCE};
