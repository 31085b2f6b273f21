//! `figw doctor`

use std::{fmt::Write as _, path::PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum, builder::PossibleValuesParser};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::json;
use url::Url;

use super::{Context, Failure, Outcome, health::http_url};
use crate::{
    config::{Config, secret},
    domain::{SecretSource, secret::SecretReference},
    ops::doctor::{
        self, Line, Outcome as Found, Subject,
        attestation::{self, Attestation},
    },
};

/// The variable that may hold a key or a token to try.
const KEY_VARIABLE: &str = "FIGW_DOCTOR_KEY";

/// The checks and what can be attested, for the manual.
pub(super) fn checks() -> String {
    let mut text = "Checks, with the stage of those that are made in one alone:\n\n".to_owned();
    for (name, stages, about) in doctor::catalogue() {
        let stage = match stages {
            [doctor::Stage::Pre] => " (pre)",
            [doctor::Stage::Post] => " (post)",
            _ => "",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name}: {about}{stage}");
    }
    text.push_str("\nWhat is attested:\n\n");
    for (name, question) in attestation::catalogue() {
        let _ = writeln!(text, "  {name}: {question}");
    }
    text
}

/// Arguments of `figw doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Only the checks of one stage [default: all]
    #[arg(long, value_enum, value_name = "STAGE")]
    stage: Option<Stage>,
    /// Run this check only, or this group of checks, such as tls.key or tls; repeatable
    #[arg(long, value_name = "CHECK", value_parser = PossibleValuesParser::new(doctor::names()), hide_possible_values = true)]
    only: Vec<String>,
    /// Address at which clients reach the gateway [default: as server.listen has it]
    #[arg(long, value_name = "URL", value_parser = http_url)]
    url: Option<Url>,
    /// File with an API key or a Globus token, with which a request is sent all the way [default: the
    /// variable `FIGW_DOCTOR_KEY`]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Attest this instead of checking anything
    #[arg(long, value_name = "WHAT", requires = "by", value_parser = PossibleValuesParser::new(attestation::names()))]
    attest: Option<String>,
    /// Who attests it
    #[arg(long, value_name = "NAME", requires = "attest")]
    by: Option<String>,
    /// What else there is to say: where the plan is, for instance
    #[arg(long, value_name = "TEXT", requires = "attest")]
    note: Option<String>,
}

/// When a checklist is gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stage {
    /// Before figw goes into production
    Pre,
    /// Once it is in production
    Post,
}

impl From<Stage> for doctor::Stage {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Pre => Self::Pre,
            Stage::Post => Self::Post,
        }
    }
}

impl DoctorArgs {
    /// Runs the checks.
    ///
    /// # Errors
    /// When the configuration cannot be read.
    pub async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let loaded = context.config()?;
        if let (Some(what), Some(by)) = (&self.attest, &self.by) {
            return attest(&loaded.config, what, by, self.note.as_deref(), context);
        }
        if self.stage != Some(Stage::Post) && self.only.is_empty() && context.is_interactive() {
            ask(&loaded.config)?;
        }
        let credentials = self.credentials()?;
        let subject = Subject::new(loaded, self.url.clone(), credentials).await;
        let stage = self.stage.map(doctor::Stage::from);
        let lines = doctor::examine(&subject, stage, &self.only).await;
        let count = |outcome| lines.iter().filter(|line| line.finding.outcome == outcome).count();
        let (passed, warned, failed) = (count(Found::Pass), count(Found::Warn), count(Found::Fail));
        let summary = json!({
            "pass": passed, "warn": warned, "fail": failed,
            "not_applicable": count(Found::NotApplicable),
        });
        // A list on which nothing was looked at proves nothing.
        let ok = failed == 0 && passed + warned > 0;
        let value = json!({ "ok": ok, "stage": stage, "summary": summary, "checks": lines });
        let total = match passed + warned + failed {
            0 if lines.is_empty() => "no check: none of those is in this stage".to_owned(),
            0 => "nothing was checked; each line says why".to_owned(),
            _ => {
                let plural = if warned == 1 { "" } else { "s" };
                format!("{passed} passed, {warned} warning{plural}, {failed} failed")
            }
        };
        context.print(&value, format!("{}{total}", report(&lines)))?;
        Ok(if ok { Outcome::Done } else { Outcome::NotGood })
    }

    /// A key or a token to try, where one is given.
    fn credentials(&self) -> Result<Option<SecretString>, Failure> {
        let source = match &self.key_file {
            Some(path) => SecretReference::File(path.display().to_string()),
            None if std::env::var_os(KEY_VARIABLE).is_some_and(|value| !value.is_empty()) => {
                SecretReference::Env(KEY_VARIABLE.to_owned())
            }
            None => return Ok(None),
        };
        let secret = secret::reveal("--key-file", &SecretSource::Reference(source));
        Ok(Some(secret.map_err(Failure::usage)?))
    }
}

fn attest(
    config: &Config,
    what: &str,
    by: &str,
    note: Option<&str>,
    context: &Context,
) -> Result<Outcome, Failure> {
    if by.trim().is_empty() {
        return Err(Failure::usage("--by must name somebody"));
    }
    let attestation = Attestation {
        by: by.trim().to_owned(),
        at: Timestamp::now(),
        note: note.map(str::to_owned),
    };
    let value = json!({ "attested": what, "attestation": attestation });
    let path = attestation::keep(config, what, attestation)?;
    context
        .print(&value, format!("{what} attested by {}, kept in {}", by.trim(), path.display()))?;
    Ok(Outcome::Done)
}

/// Asks for what only a person can know, on a terminal.
fn ask(config: &Config) -> Result<(), Failure> {
    // A file that cannot be read is found by the checks, and keeps nobody from the others.
    for (name, question) in attestation::missing(config).unwrap_or_default() {
        let agreed = dialoguer::Confirm::new()
            .with_prompt(format!("{question}. Can you attest that?"))
            .default(false)
            .interact()
            .context("cannot ask")?;
        if !agreed {
            continue;
        }
        let ask = |prompt: &str, may_be_empty| {
            dialoguer::Input::<String>::new()
                .with_prompt(prompt)
                .allow_empty(may_be_empty)
                .interact_text()
                .context("cannot ask")
        };
        let by = ask("Your name", false)?.trim().to_owned();
        let note = Some(ask("A note (where the plan is, for instance)", true)?);
        let note = note.filter(|note| !note.trim().is_empty());
        attestation::keep(config, name, Attestation { by, at: Timestamp::now(), note })?;
    }
    Ok(())
}

/// A line for each check, and what to do below those that are not as they should be.
fn report(lines: &[Line]) -> String {
    let width = lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Line { name, finding } in lines {
        let word = match finding.outcome {
            Found::Pass => "pass",
            Found::Warn => "WARN",
            Found::Fail => "FAIL",
            Found::NotApplicable => "n/a ",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{word}  {name:<width$}  {}", finding.evidence);
        if let Some(remedy) = &finding.remedy {
            let _ = writeln!(text, "      {:<width$}  -> {remedy}", "");
        }
    }
    text
}
