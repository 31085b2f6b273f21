//! What the commands do.

pub mod database;
pub mod login;
pub mod serve;
