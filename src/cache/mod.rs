//! Short-lived state: what instances share.

mod shared;

pub use shared::{Cache, CacheError};
