//! `figw config`: check, show and convert the configuration.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Context, Failure, Outcome};
use crate::{config::import_env, http::server::Tls};

/// Arguments of `figw config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// What to do with it.
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check the configuration and every secret it refers to
    ///
    /// Exits 2 when something is wrong, with one line for each mistake.
    Check,
    /// Print the effective values, secrets masked
    ///
    /// As YAML, each value that was set carries the file and line or the variable that set it.
    Show,
    /// Turn a FIRST .env file into YAML on standard output
    ///
    /// What is not taken over is reported on standard error.
    ImportEnv(ImportEnvArgs),
}

/// Arguments of `figw config import-env`.
#[derive(Debug, Args)]
struct ImportEnvArgs {
    /// The .env file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write secrets into the YAML, instead of references to their environment variables
    #[arg(long)]
    inline_secrets: bool,
}

impl ConfigArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the configuration is wrong, or a file cannot be read.
    pub fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self.command {
            ConfigCommand::Check => check(context),
            ConfigCommand::Show => show(context),
            ConfigCommand::ImportEnv(args) => import(&args, context),
        }
    }
}

fn check(context: &Context) -> Result<Outcome, Failure> {
    let loaded = context.config()?;
    loaded.check_secrets().map_err(Failure::usage)?;
    let warnings = loaded.warnings();
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    Tls::load(&loaded.config.server.tls).map_err(Failure::usage)?;
    let file = loaded.path.as_ref().map(|path| path.display().to_string());
    let text = file
        .as_ref()
        .map_or_else(|| "OK: no file, built-in values".to_owned(), |file| format!("OK: {file}"));
    let value = json!({ "ok": true, "file": file, "warnings": warnings });
    context.print(&value, text)?;
    Ok(Outcome::Done)
}

fn show(context: &Context) -> Result<Outcome, Failure> {
    let loaded = context.config()?;
    context.print(&loaded.config, loaded.to_yaml().trim_end())?;
    Ok(Outcome::Done)
}

fn import(args: &ImportEnvArgs, context: &Context) -> Result<Outcome, Failure> {
    let file = args.file.display();
    let text = std::fs::read_to_string(&args.file)
        .map_err(|error| Failure::usage(format!("{file}: {error}")))?;
    let imported = import_env(&text, args.inline_secrets)
        .map_err(|error| Failure::usage(format!("{file}: {error}")))?;
    for note in &imported.notes {
        tracing::warn!("{note}");
    }
    context.print(
        &json!({"yaml": imported.yaml, "notes": imported.notes}),
        imported.yaml.trim_end(),
    )?;
    Ok(Outcome::Done)
}
