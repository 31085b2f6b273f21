//! What every subcommand is handed, and how it ends.

use std::{
    fmt::Display,
    io::{self, ErrorKind, IsTerminal, Write},
    sync::Arc,
};

use secrecy::SecretString;
use serde::Serialize;

use super::{GlobalArgs, Output};
use crate::{
    config::{Config, Loaded, secret},
    domain::SecretSource,
    ops::{database, health},
    store::{Store, StoreOptions},
};

/// A command that did its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done: exit status 0.
    Done,
    /// What was checked is not as it should be, and has been reported: exit status 1.
    NotGood,
    /// The result of `health`, which has exit statuses of its own.
    Health(health::State),
}

impl Outcome {
    /// The exit status.
    #[must_use]
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::NotGood => 1,
            Self::Health(state) => state.exit_status(),
        }
    }
}

/// Why a command did not do its work, and with it its exit status.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Wrong usage or configuration: exit status 2.
    #[error("{0}")]
    Usage(String),
    /// Another run holds the lock: exit status 75.
    #[error("{0}")]
    Busy(String),
    /// Anything else: exit status 1.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

impl Failure {
    /// Wrong usage or configuration.
    pub fn usage(message: impl Display) -> Self {
        Self::Usage(message.to_string())
    }

    /// The exit status, as `sysexits` and the manual have it.
    #[must_use]
    pub const fn exit_status(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Busy(_) => 75,
            Self::Failed(_) => 1,
        }
    }
}

impl From<crate::store::StoreError> for Failure {
    fn from(error: crate::store::StoreError) -> Self {
        match error {
            crate::store::StoreError::Invalid(message) => Self::Usage(message),
            other => Self::Failed(other.into()),
        }
    }
}

/// What became of writing to standard output. A reader that has seen enough, such as `head`, is no
/// failure.
fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("cannot write to standard output").into())
        }
        _ => Ok(()),
    }
}

/// Writes a result to standard output: `text` for people, `value` as JSON.
pub(super) fn print_as(
    output: Output,
    value: &impl Serialize,
    text: impl Display,
) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let result = match output {
        Output::Text | Output::Csv => writeln!(out, "{text}"),
        Output::Json => serde_json::to_writer_pretty(&mut out, value)
            .map_err(Into::into)
            .and_then(|()| writeln!(out)),
    };
    written(result)
}

/// What every subcommand is handed.
#[derive(Debug, Clone)]
pub struct Context {
    /// The options that every command takes.
    pub global: GlobalArgs,
}

impl Context {
    /// The configuration that the command line, the usual places and the environment give.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn config(&self) -> Result<Loaded, Failure> {
        Config::load(self.global.config.as_deref()).map_err(Failure::usage)
    }

    /// Writes bytes to standard output as they are.
    ///
    /// # Errors
    /// When standard output takes no more, such as a full disk.
    pub fn print_raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        written(out.write_all(bytes).and_then(|()| out.flush()))
    }

    /// Writes the command's result to standard output: `text` for people, `value` as JSON.
    ///
    /// # Errors
    /// When standard output takes no more, such as a full disk.
    pub fn print(&self, value: &impl Serialize, text: impl Display) -> Result<(), Failure> {
        print_as(self.global.output, value, text)
    }

    /// The database that the configuration names.
    ///
    /// # Errors
    /// When the configuration is wrong.
    pub fn store_options(&self) -> Result<StoreOptions, Failure> {
        database::options(&self.config()?.config).map_err(Failure::usage)
    }

    /// Opens the store that the configuration names, with the schema that this program expects.
    ///
    /// # Errors
    /// When the configuration is wrong, or the database is away or has another schema.
    pub async fn store(&self) -> Result<Arc<dyn Store>, Failure> {
        Ok(database::open(&self.store_options()?).await?)
    }

    /// Reads a secret; `place` names it in the error.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn reveal(&self, place: &str, source: &SecretSource) -> Result<SecretString, Failure> {
        secret::reveal(place, source).map_err(|error| anyhow::Error::new(error).into())
    }

    /// Writes a hint for people to standard error, unless `--quiet` was given.
    pub fn hint(&self, text: impl Display) {
        if !self.global.quiet {
            // A hint that nobody can read any more is no failure.
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// Whether a person can be asked: both standard input and standard error are a terminal.
    #[must_use]
    pub fn is_interactive(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks for a yes on a terminal; `--yes` answers it beforehand.
    ///
    /// # Errors
    /// When there is no terminal to ask on and `--yes` was not given, or the answer is no.
    pub fn confirm(&self, question: &str) -> Result<(), Failure> {
        if self.global.yes {
            return Ok(());
        }
        if !self.is_interactive() {
            return Err(Failure::usage(format!(
                "{question} There is no terminal to ask on; give --yes"
            )));
        }
        let agreed = dialoguer::Confirm::new()
            .with_prompt(question)
            .default(false)
            .interact()
            .map_err(anyhow::Error::new)?;
        if agreed {
            Ok(())
        } else {
            Err(anyhow::anyhow!("not confirmed, nothing was changed").into())
        }
    }
}
