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
    let content = with_notes(&String::from_utf8_lossy(&content)).into_bytes();
    pages.push(Page { file_name: man.get_filename(), content });
    Ok(())
}

/// The page with what `clap_mangen` calls EXTRA as its NOTES, whose lists are filled to the width of the
/// reader's terminal. Other lines that begin with spaces are examples, and stay as they are.
fn with_notes(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let (mut in_notes, mut in_item) = (false, false);
    for line in page.lines() {
        let (indent, rest) = (line.len() - line.trim_start().len(), line.trim_start());
        let (before, line) = match (indent, item(rest)) {
            _ if line.starts_with(".SH ") => {
                (in_notes, in_item) = (line == ".SH EXTRA", false);
                (String::new(), if in_notes { ".SH NOTES" } else { line })
            }
            _ if !in_notes => (String::new(), line),
            (2, Some((marker, rest))) => {
                in_item = true;
                (format!(".IP {marker} 4\n"), rest)
            }
            (4.., _) if in_item => (String::new(), rest),
            (0, _) if in_item && !rest.is_empty() => {
                in_item = false;
                (".PP\n".to_owned(), line)
            }
            _ => (String::new(), line),
        };
        text.push_str(&before);
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// A list's item: its number or name, and what follows.
fn item(line: &str) -> Option<(&str, &str)> {
    let (marker, rest) = line.split_once(' ')?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b"_.".contains(&b));
    let is_item = marker.strip_suffix('.').is_some_and(is_number)
        || marker.strip_suffix(':').is_some_and(is_name);
    is_item.then_some((marker, rest))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_filled_and_examples_are_not() {
        let page = ".SH OPTIONS\n  1. x\n.SH EXTRA\nBefore:\n\n  1. one\n     and more\n  2. two\n\
                    \u{20}\u{20}a.b_c: three\n\n\
                    After:\n\n  name = value\n.SH VERSION\n";
        let expected = ".SH OPTIONS\n  1. x\n.SH NOTES\nBefore:\n\n.IP 1. 4\none\nand more\n.IP 2. 4\ntwo\n\
                        .IP a.b_c: 4\nthree\n\n\
                        .PP\nAfter:\n\n  name = value\n.SH VERSION\n";
        assert_eq!(with_notes(page), expected);
    }
}
