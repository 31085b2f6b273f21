//! `retention`: how long rows are kept.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{AgeForm, PositiveDurationForm};
use crate::domain::human::{age, duration};

/// How long rows are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Requests for inference, such as `90d`.
    #[serde(with = "age")]
    #[schemars(with = "Option<AgeForm>")]
    pub usage: Option<Duration>,
    /// All other requests of known callers.
    #[serde(with = "age")]
    #[schemars(with = "Option<AgeForm>")]
    pub access: Option<Duration>,
    /// Texts of prompts and answers, where `logging.prompts` has them stored; `null` keeps them for ever.
    #[serde(with = "age")]
    #[schemars(with = "Option<AgeForm>")]
    pub prompts: Option<Duration>,
    /// Time between two looks for what has become too old.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub every: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            usage: None,
            access: None,
            prompts: Some(Duration::from_hours(30 * 24)),
            every: Duration::from_hours(1),
        }
    }
}
