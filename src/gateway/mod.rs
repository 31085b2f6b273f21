//! The life of one request.

pub mod scan;
