//! Plain types without I/O: what the gateway talks about.

pub mod access;
pub mod batch;
pub mod catalog;
pub mod endpoint;
pub mod figures;
pub mod human;
pub mod key;
pub mod moment;
pub mod report;
pub mod secret;
pub mod slug;
pub mod task;
pub mod trouble;
pub mod usage;

pub use access::{AccessPolicy, Caller, Login};
pub use batch::{Batch, BatchJob, BatchMetrics, BatchOutcome, BatchStatus};
pub use catalog::{
    Adapter, Cluster, DirectApi, Echo, Endpoint, EndpointSettings, Federation, Maintenance, Metis,
    Policy, Route, Target,
};
pub use key::{ApiKey, KeyHash};
pub use moment::Moment;
pub use secret::SecretSource;
pub use task::{RemoteTask, TaskOutcome};
pub use trouble::{Health, Trouble};
pub use usage::{AccessRow, PromptRow, TokenCount, UsageRow};
