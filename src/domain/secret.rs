//! Where a secret comes from. The value itself is read by [`crate::config`].

use serde::{Deserialize, Serialize};

/// A secret as configuration and catalogue write it: the text itself, or a place to read it from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SecretSource {
    /// The secret's own text.
    Plain(String),
    /// A place to read it from when it is needed.
    Reference(SecretReference),
}

/// A place that holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum SecretReference {
    /// An environment variable of the gateway's process.
    Env(String),
    /// A file; a trailing line break is not part of the secret.
    File(String),
    /// `mount/path#field` in `HashiCorp` Vault.
    Vault(String),
}

impl std::fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(_) => f.write_str("Plain(***)"),
            Self::Reference(reference) => reference.fmt(f),
        }
    }
}
