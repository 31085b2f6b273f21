//! `figw man`: manual pages, one for each command, for the configuration file, for metrics and for
//! what happens when something fails.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory};
use clap_mangen::Man;

use super::{Cli, Context, Failure, Outcome};
use crate::{config, ops::health::faults, telemetry};

/// Arguments of `figw man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Directory to write the pages to; it is made if it is not there
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// A manual page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Such as `figw-key-create.1`.
    pub file_name: String,
    /// What `man` reads.
    pub content: Vec<u8>,
}

/// Every manual page, by file name.
///
/// # Errors
/// Never in practice: pages are rendered into memory.
pub fn pages() -> std::io::Result<Vec<Page>> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let page = |name: &str, text: String| Page { file_name: name.to_owned(), content: text.into() };
    let mut pages = vec![
        page("figw-config.5", config::manual()),
        page("figw-faults.7", faults::manual()),
        page("figw-metrics.7", telemetry::metrics::manual()),
    ];
    add_pages(&root, &mut pages)?;
    pages.sort_by(|a, b| a.file_name.cmp(&b.file_name));
    Ok(pages)
}

fn add_pages(command: &clap::Command, pages: &mut Vec<Page>) -> std::io::Result<()> {
    for subcommand in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        add_pages(subcommand, pages)?;
    }
    let man = Man::new(command.clone()).source(concat!("figw ", env!("CARGO_PKG_VERSION")));
    let mut content = Vec::new();
    man.render(&mut content)?;
    pages.push(Page { file_name: man.get_filename(), content });
    Ok(())
}

impl ManArgs {
    /// Writes the pages.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn run(&self, context: &Context) -> Result<Outcome, Failure> {
        let directory = &self.directory;
        let pages = pages().map_err(anyhow::Error::new)?;
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot make directory {}", directory.display()))?;
        for page in &pages {
            let path = directory.join(&page.file_name);
            std::fs::write(&path, &page.content)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        let names: Vec<&str> = pages.iter().map(|page| page.file_name.as_str()).collect();
        let text = format!("{} pages written to {}", names.len(), directory.display());
        context.print(&serde_json::json!({"directory": directory, "pages": names}), text)?;
        Ok(Outcome::Done)
    }
}
