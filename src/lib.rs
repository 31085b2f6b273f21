//! figw: a production inference gateway with its operator's tools, in one program.
//!
//! The modules stand on floors; each imports only from the floors below its own.
//! `ARCHITECTURE.md` tells the same as a map with reasons.
//!
//! - floor 5: [`cli`] — one file per subcommand
//! - floor 4: [`http`] — listeners and routes; [`ops`] — what the commands do
//! - floor 3: [`gateway`] — the life of one request; [`auth`] — bearer token to caller
//! - floor 2: [`backends`], [`catalog`], [`limits`]
//! - floor 1: [`store`], [`cache`], [`globus`], [`outbound`], [`disk`], [`telemetry`],
//!   [`workers`]
//! - floor 0: [`config`], which may use [`domain`]; `domain`, [`python`] and [`spreadsheet`] use
//!   nothing of ours

pub mod auth;
pub mod backends;
pub mod cache;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod disk;
pub mod domain;
pub mod gateway;
pub mod globus;
pub mod http;
pub mod limits;
pub mod ops;
pub mod outbound;
pub mod python;
pub mod spreadsheet;
pub mod store;
pub mod telemetry;
pub mod workers;
