//! What was asked and answered, as far as `logging.prompts` has it stored.

use bytes::Bytes;

use crate::{
    config::Prompts,
    domain::{PromptRow, UsageRow},
};

/// What is kept of each text where only the beginning is.
const BEGINNING: usize = 2 * 1024;

/// What is kept of each text at most: what waits for the database has to fit into memory.
const LONGEST: usize = 16 * 1024 * 1024;

/// Stands for the rest of a text that is not kept.
const ELLIPSIS: &str = "…";

/// The texts of one request, gathered until its account is closed.
#[derive(Debug)]
pub struct Transcript {
    /// All of the body, shared with whoever else has it, or a copy of its beginning.
    prompt: Bytes,
    is_prompt_cut: bool,
    answer: Vec<u8>,
    most: usize,
    is_answer_cut: bool,
}

impl Transcript {
    /// Of a request with this body; none when nothing is stored.
    #[must_use]
    pub fn of(body: &Bytes, prompts: Prompts) -> Option<Self> {
        let (prompt, most) = match prompts {
            Prompts::Off => return None,
            Prompts::Truncated if body.len() > BEGINNING => {
                (Bytes::copy_from_slice(&body[..BEGINNING]), BEGINNING)
            }
            Prompts::Truncated => (body.clone(), BEGINNING),
            Prompts::Full => (body.slice(..body.len().min(LONGEST)), LONGEST),
        };
        let is_prompt_cut = prompt.len() < body.len();
        Some(Self { prompt, is_prompt_cut, answer: Vec::new(), most, is_answer_cut: false })
    }

    /// Another piece of the answer's body.
    pub fn answered(&mut self, bytes: &[u8]) {
        let room = self.most - self.answer.len();
        self.is_answer_cut |= bytes.len() > room;
        self.answer.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// As it is stored beside the request's row.
    #[must_use]
    pub fn into_row(self, usage: &UsageRow) -> PromptRow {
        PromptRow {
            id: usage.id,
            started_at: usage.started_at,
            prompt: text(&self.prompt, self.is_prompt_cut),
            answer: (!self.answer.is_empty()).then(|| text(&self.answer, self.is_answer_cut)),
        }
    }
}

/// Bytes as text; what is cut may end in the middle of a character.
fn text(bytes: &[u8], is_cut: bool) -> String {
    if !is_cut {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let whole = match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    };
    format!("{}{ELLIPSIS}", String::from_utf8_lossy(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(prompts: Prompts, body: &str, pieces: &[&str]) -> Option<(String, String)> {
        let mut transcript = Transcript::of(&Bytes::from(body.to_owned()), prompts)?;
        for piece in pieces {
            transcript.answered(piece.as_bytes());
        }
        Some((
            text(&transcript.prompt, transcript.is_prompt_cut),
            text(&transcript.answer, transcript.is_answer_cut),
        ))
    }

    #[test]
    fn nothing_the_beginning_or_all_of_it_is_kept() {
        assert_eq!(stored(Prompts::Off, "a", &["b"]), None);
        let long = "é".repeat(3_000);
        let full = stored(Prompts::Full, &long, &[&long, "."]).unwrap();
        assert_eq!(full, (long.clone(), format!("{long}.")));
        let (prompt, answer) = stored(Prompts::Truncated, &long, &["x", &long]).unwrap();
        assert_eq!(prompt, format!("{}…", "é".repeat(1_024)));
        assert_eq!(answer, format!("x{}…", "é".repeat(1_023)), "no character is cut in two");
        let short = stored(Prompts::Truncated, "a", &["b", "c"]).unwrap();
        assert_eq!(short, ("a".to_owned(), "bc".to_owned()));
    }

    #[test]
    fn what_is_no_text_is_kept_as_well_as_can_be() {
        assert_eq!(text(b"a\xffb", false), "a\u{fffd}b");
        assert_eq!(text(b"a\xffb\xc3", true), "a\u{fffd}b\u{fffd}…");
    }
}
