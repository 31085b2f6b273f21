//! figw's entry point: parse, run one command, map its outcome to an exit status.

use std::process::ExitCode;

use clap::Parser;
use figw::cli::{Cli, Context, Outcome};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let context = Context { global: cli.global };
    match cli.command.run(&context).await {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::NotGood) => ExitCode::FAILURE,
        Err(failure) => {
            tracing::error!("{failure}");
            ExitCode::from(failure.exit_status())
        }
    }
}
