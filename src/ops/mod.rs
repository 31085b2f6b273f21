//! What the commands do.

pub mod alert;
mod anew;
pub mod backup;
pub mod cron;
pub mod database;
pub mod doctor;
mod door;
pub mod drill;
pub mod generate;
pub mod globus;
pub mod health;
pub mod login;
pub mod recovery;
pub mod restore;
pub mod rolling;
pub mod serve;
pub mod shell;
pub mod trial;
