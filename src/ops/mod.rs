//! What the commands do.

pub mod database;
