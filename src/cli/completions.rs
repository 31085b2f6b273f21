//! `figw completions`: completion scripts for shells, from the command tree.

use clap::{Args, CommandFactory, ValueEnum};

use super::{Cli, Context, Failure, Outcome};

/// Arguments of `figw completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// A shell that has a completion script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU Bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}

impl Shell {
    /// The name under which the shell looks for figw's script.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Bash => "figw.bash",
            Self::Zsh => "_figw",
            Self::Fish => "figw.fish",
        }
    }
}

/// The completion script for a shell.
#[must_use]
pub fn script(shell: Shell) -> Vec<u8> {
    let generator = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(generator, &mut Cli::command(), "figw", &mut script);
    script
}

impl CompletionsArgs {
    /// Writes the script to standard output.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn run(&self, context: &Context) -> Result<Outcome, Failure> {
        context.print_raw(&script(self.shell))?;
        Ok(Outcome::Done)
    }
}
