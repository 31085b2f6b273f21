//! What the gateway tells about itself.

pub mod access;
pub mod context;
pub mod errors;
pub mod logs;
pub mod metrics;
pub mod scope;
pub mod traces;
