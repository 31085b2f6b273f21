//! The Python of the virtual environment that scripts/test prepares.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// What to run when its packages are not there.
pub const REMEDY: &str = "run scripts/test, or: python3 -m venv .venv && \
    .venv/bin/pip install --require-hashes -r tests/clients/requirements.txt \
    -r tests/login/requirements.txt -r tests/offsite/requirements.txt \
    -r tests/generate/requirements.txt -r tests/alerts/requirements.txt (FIGW_TEST_PYTHON names another interpreter)";

/// Python with a script of the tests' directory; give it arguments and variables.
pub fn script(name: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = env::var_os("FIGW_TEST_PYTHON")
        .map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
    let mut command = Command::new(python);
    command.arg("-B").arg(root.join("tests").join(name)).env("NO_PROXY", "*");
    command
}

/// Runs it to its end; a missing interpreter or package fails the test with the remedy.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| {
        panic!("cannot run {}: {e}; {REMEDY}", command.get_program().display())
    });
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(!log.contains("ModuleNotFoundError"), "{log}\n{REMEDY}");
    output
}
