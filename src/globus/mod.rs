//! The Globus services as they speak on the wire: requests, answers, formats. No decision of the
//! gateway's is taken here.

pub mod auth;
pub mod codec;
pub mod groups;
pub mod service;
pub mod tokens;

pub use auth::{AuthClient, Introspection};
pub use groups::GroupsClient;
pub use service::{GlobusError, Service};
pub use tokens::{ServiceAccount, Tokens};
