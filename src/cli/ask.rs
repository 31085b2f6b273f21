//! Questions to a person on the terminal, for values that no flag gave.

use std::fmt::Display;

use dialoguer::{Input, MultiSelect, Select};

use super::Failure;

fn failed(error: dialoguer::Error) -> Failure {
    anyhow::Error::new(error).context("the question was not answered").into()
}

/// Asks for a text that is not empty, offering `default` if there is one.
pub(super) fn text(question: &str, default: Option<String>) -> Result<String, Failure> {
    let input = Input::<String>::new().with_prompt(question);
    match default {
        Some(default) => input.default(default).interact_text(),
        None => input.interact_text(),
    }
    .map_err(failed)
}

/// Asks for a text that may be left empty.
pub(super) fn optional_text(question: &str) -> Result<Option<String>, Failure> {
    let answer = Input::<String>::new()
        .with_prompt(format!("{question} (empty for none)"))
        .allow_empty(true)
        .interact_text()
        .map_err(failed)?;
    Ok(Some(answer.trim().to_owned()).filter(|answer| !answer.is_empty()))
}

/// Lets the person choose one of `choices` and returns its index.
pub(super) fn choose<T: Display>(question: &str, choices: &[T]) -> Result<usize, Failure> {
    Select::new().with_prompt(question).items(choices).default(0).interact().map_err(failed)
}

/// Lets the person choose any of `choices`, all chosen at first, and returns their indices.
pub(super) fn choose_many<T: Display>(
    question: &str,
    choices: &[T],
) -> Result<Vec<usize>, Failure> {
    MultiSelect::new()
        .with_prompt(question)
        .items(choices)
        .defaults(&vec![true; choices.len()])
        .interact()
        .map_err(failed)
}

/// Asks for a whole number, offering 0.
pub(super) fn number(question: &str) -> Result<u64, Failure> {
    Input::new().with_prompt(question).default(0).interact_text().map_err(failed)
}
