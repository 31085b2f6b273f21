//! What the commands do.

pub mod database;
pub mod serve;
