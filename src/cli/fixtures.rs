//! `figw fixtures`: the catalogue as files.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Context, Failure, Outcome,
    changes::{Refused, Report},
};
use crate::{
    catalog::{
        edits::{self, Action, Change},
        fixtures::{self, Fixtures, Load, Problem, Problems, Source},
    },
    domain::SecretSource,
};

/// The catalogue as files: FIRST's Django JSON or figw's own YAML
#[derive(Debug, Subcommand)]
pub enum FixturesCommand {
    /// Load files as one set: all of it or nothing
    Load(Files),
    /// Write the whole catalogue to standard output as YAML, or as JSON with `--output json`
    Dump,
    /// Check files without a database
    Check(Files),
}

/// The files to read.
#[derive(Debug, Args)]
pub struct Files {
    /// Files in either format
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl FixturesCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever kept it from being done.
    pub async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Load(files) => load(&files.read(NOT_LOADED)?, context).await,
            Self::Dump => dump(context).await,
            Self::Check(files) => check(&files.read("")?, context),
        }
    }
}

impl Files {
    /// `consequence` follows the count of problems in the refusal.
    fn read(&self, consequence: &str) -> Result<Fixtures, Failure> {
        let sources =
            self.files.iter().map(|path| read_file(path)).collect::<Result<Vec<_>, _>>()?;
        fixtures::read(&sources).map_err(|problems| refusal(&problems, consequence))
    }
}

fn read_file(path: &Path) -> Result<Source, Failure> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Source { name, text }),
        Err(error) => Err(anyhow::Error::new(error).context(format!("cannot read {name}")).into()),
    }
}

/// What a refusal means for `fixtures load`.
const NOT_LOADED: &str = ", nothing was loaded";

fn refusal(problems: &Problems, consequence: &str) -> Failure {
    let count = problems.as_slice().len();
    let noun = if count == 1 { "problem" } else { "problems" };
    anyhow::anyhow!("{count} {noun}{consequence}:\n{problems}").into()
}

/// What loading did.
#[derive(Debug, Serialize)]
struct Loaded {
    created: usize,
    changed: usize,
    unchanged: usize,
    #[serde(flatten)]
    report: Report,
}

impl Loaded {
    fn new(changes: Vec<Change>, warnings: &[Problem]) -> Self {
        let count = |action| changes.iter().filter(|change| change.action == action).count();
        Self {
            created: count(Action::Created),
            changed: count(Action::Changed),
            unchanged: count(Action::Unchanged),
            report: Report { warnings: texts(warnings), changes },
        }
    }
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { created, changed, unchanged, report } = self;
        writeln!(f, "{}", report.table())?;
        write!(f, "{created} created, {changed} changed, {unchanged} unchanged")
    }
}

fn texts(warnings: &[Problem]) -> Vec<String> {
    warnings.iter().map(ToString::to_string).collect()
}

async fn load(fixtures: &Fixtures, context: &Context) -> Result<Outcome, Failure> {
    let store = context.store().await?;
    let load = edits::apply(store.as_ref(), |current| {
        let mut load = fixtures.plan(current).map_err(|p| Refused(refusal(&p, NOT_LOADED)))?;
        Ok::<_, Refused>((std::mem::take(&mut load.plan.edits), load))
    })
    .await
    .map_err(|Refused(failure)| failure)?;
    let loaded = Loaded::new(load.plan.changes, &load.warnings);
    loaded.report.warn(context);
    context.print(&loaded, &loaded)?;
    Ok(Outcome::Done)
}

/// What a check found.
#[derive(Debug, Serialize)]
struct Checked {
    valid: bool,
    objects: usize,
    /// References to what is not in the files.
    unchecked: usize,
    warnings: Vec<String>,
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.objects == 1 { "object" } else { "objects" };
        write!(f, "{} {noun}, no mistakes found", self.objects)?;
        let (references, were) = match self.unchecked {
            0 => return Ok(()),
            1 => ("reference", "was"),
            _ => ("references", "were"),
        };
        let count = self.unchecked;
        write!(f, "; {count} {references} to something outside these files {were} not checked")
    }
}

fn check(fixtures: &Fixtures, context: &Context) -> Result<Outcome, Failure> {
    let Load { warnings, unchecked, .. } =
        fixtures.check().map_err(|problems| refusal(&problems, ""))?;
    let warnings = texts(&warnings);
    let checked = Checked { valid: true, objects: fixtures.len(), unchecked, warnings };
    for warning in &checked.warnings {
        context.hint(format_args!("warning: {warning}"));
    }
    context.print(&checked, &checked)?;
    Ok(Outcome::Done)
}

async fn dump(context: &Context) -> Result<Outcome, Failure> {
    let data = context.store().await?.catalog().await?;
    for endpoint in &data.endpoints {
        if let Some(SecretSource::Plain(_)) = endpoint.settings.api_key() {
            context.hint(format_args!(
                "warning: the dump holds the API key of endpoint `{}` in plain text",
                endpoint.slug
            ));
        }
    }
    let document = fixtures::dump(data);
    let yaml = serde_yaml::to_string(&document).map_err(anyhow::Error::new)?;
    context.print(&document, yaml.trim_end())?;
    Ok(Outcome::Done)
}
