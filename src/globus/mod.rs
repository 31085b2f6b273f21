//! The Globus services as they speak on the wire: requests, answers, formats. No decision of the
//! gateway's is taken here.

pub mod codec;
pub mod endpoint_config;
pub mod functions;
pub mod registry;
pub mod service;
pub mod tokens;

pub use service::{GlobusError, Service};
pub use tokens::{ServiceAccount, Tokens};
