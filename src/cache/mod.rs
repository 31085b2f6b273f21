//! Short-lived state: answers kept for a while, and what instances share.

mod answers;
mod inspect;
pub mod kept;
mod sealed;
mod shared;
mod subscription;

pub use answers::{Answers, Lives, Told};
pub use inspect::{Inspection, inspect};
pub use kept::Kept;
pub use redis::Script;
pub use sealed::SealedCache;
pub use shared::{Cache, CacheError, PATIENCE};
pub use subscription::{Heard, Subscription};
