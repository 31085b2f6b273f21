//! Where generated files go.

use std::{
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use crate::{
    cli::{Context, Failure, Outcome, Output},
    ops::generate::GeneratedFile,
};

/// Where generated files go.
#[derive(Debug, Args)]
pub(super) struct Destination {
    /// Write into this directory, each file under its own name, instead of standard output
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

impl Destination {
    /// Writes the files, or prints them.
    pub(super) fn deliver(
        self,
        context: &Context,
        files: &[GeneratedFile],
    ) -> Result<Outcome, Failure> {
        if let Some(directory) = self.into {
            let written = write_all(context, &directory, files)?;
            context.print(&json!({ "written": written }), written.join("\n"))?;
            return Ok(Outcome::Done);
        }
        match (context.global.output, files) {
            (Output::Json, _) => context.print(&json!({ "files": files }), "")?,
            (_, [file]) => context.print_raw(file.content.as_bytes())?,
            (_, files) => {
                let part = |file: &GeneratedFile| format!("### {}\n{}", file.name, file.content);
                let parts: Vec<_> = files.iter().map(part).collect();
                context.print_raw(parts.join("\n").as_bytes())?;
                context.hint("These are several files: --into DIR writes each under its name.");
            }
        }
        Ok(Outcome::Done)
    }
}

/// Writes the files, each at once and whole. One that was changed by hand is replaced only after a
/// question.
fn write_all(
    context: &Context,
    directory: &Path,
    files: &[GeneratedFile],
) -> Result<Vec<String>, Failure> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot make the directory {}", directory.display()))?;
    let mut changed = Vec::new();
    for file in files {
        let path = directory.join(&file.name);
        match fs::read(&path) {
            Ok(found) if found != file.content.as_bytes() => changed.push(file.name.as_str()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let failed = format!("cannot read {}", path.display());
                return Err(anyhow::Error::new(error).context(failed).into());
            }
        }
    }
    if !changed.is_empty() {
        context.confirm(&format!(
            "Replace {} in {}, which would change?",
            changed.join(", "),
            directory.display()
        ))?;
    }
    let mut written = Vec::new();
    for file in files {
        let path = directory.join(&file.name);
        write(directory, &path, &file.content)
            .with_context(|| format!("cannot write {}", path.display()))?;
        written.push(path.display().to_string());
    }
    Ok(written)
}

/// Generated files hold no secrets: everybody may read them, as their programs must.
fn write(directory: &Path, path: &Path, content: &str) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(content.as_bytes())?;
    let mode = if content.starts_with("#!") { 0o755 } else { 0o644 };
    file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}
