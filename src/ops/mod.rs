//! What the commands do.

pub mod database;
pub mod doctor;
pub mod globus;
pub mod login;
pub mod serve;
