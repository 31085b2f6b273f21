//! The Globus services as they speak on the wire: requests, answers, formats. No decision of the
//! gateway's is taken here.

pub mod auth;
pub mod budget;
pub mod codec;
pub mod compute;
pub mod endpoint_config;
pub mod functions;
pub mod groups;
mod lenient;
pub mod oauth;
pub mod registry;
pub mod results;
pub mod service;
pub mod tokens;
pub mod transfer;
pub mod web;

pub use auth::{AuthClient, Introspection};
pub use groups::GroupsClient;
pub use service::{GlobusError, SendError, Service};
pub use tokens::{ServiceAccount, Tokens};
pub use web::WebClient;
