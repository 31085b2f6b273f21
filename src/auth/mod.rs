//! Bearer token to caller.

pub mod keys;
