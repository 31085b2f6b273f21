//! What is inside a message between instances.

use super::{
    post::{PostKind, PostRefusal},
    seal::{Label, Seal},
};

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// A post of the function.
    Post(PostKind),
    /// A post could not be passed on, so that the stream has a gap.
    Lost,
}

impl Word {
    const ALL: [Self; 4] = [
        Self::Post(PostKind::Data),
        Self::Post(PostKind::Error),
        Self::Post(PostKind::Done),
        Self::Lost,
    ];

    /// Which checks the body has to pass.
    pub(super) const fn kind(self) -> PostKind {
        match self {
            Self::Post(kind) => kind,
            Self::Lost => PostKind::Error,
        }
    }
}

/// What one instance asks another.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question<'a> {
    pub(super) word: Word,
    /// What the function has shown.
    pub(super) token: &'a [u8],
    pub(super) body: &'a [u8],
}

impl<'a> Question<'a> {
    /// Longest token, in bytes; no stream has a longer one.
    pub(super) const LONGEST_TOKEN: usize = 255;

    /// Its parts, one after the other; `None` when the token is too long to be one.
    pub(super) fn head(&self) -> Option<[u8; 2]> {
        let word = place(&Word::ALL, &self.word)?;
        Some([word, u8::try_from(self.token.len()).ok()?])
    }

    pub(super) fn read(content: &'a [u8]) -> Option<Self> {
        let ([word, length], rest) = content.split_first_chunk()?;
        let (token, body) = rest.split_at_checked(usize::from(*length))?;
        Some(Self { word: *Word::ALL.get(usize::from(*word))?, token, body })
    }
}

/// What became of a post.
pub(super) type Verdict = Result<(), PostRefusal>;

/// The content of an answer.
pub(super) fn code(verdict: Verdict) -> u8 {
    match verdict {
        Ok(()) => 0,
        // The list is short, and holds all of them.
        Err(refusal) => place(&PostRefusal::ALL, &refusal).map_or(u8::MAX, |place| place + 1),
    }
}

/// Reads an answer's content.
fn verdict(code: u8) -> Option<Verdict> {
    let Some(place) = code.checked_sub(1) else { return Some(Ok(())) };
    PostRefusal::ALL.get(usize::from(place)).map(|refusal| Err(*refusal))
}

/// The verdict in a closed answer, if it was closed under this label.
pub(super) fn opened(seal: &Seal, label: &Label, answer: &[u8]) -> Option<Verdict> {
    match seal.open(label, answer)?.as_slice() {
        [code] => verdict(*code),
        _ => None,
    }
}

fn place<T: PartialEq>(all: &[T], one: &T) -> Option<u8> {
    u8::try_from(all.iter().position(|other| other == one)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_are_read_as_they_were_written() {
        for word in Word::ALL {
            let question = Question { word, token: b"the token", body: b"{\"data\": 1}" };
            let head = question.head().unwrap();
            let content = [&head[..], question.token, question.body];
            assert_eq!(Question::read(&content.concat()), Some(question));
        }
        for refusal in PostRefusal::ALL {
            assert_eq!(verdict(code(Err(refusal))), Some(Err(refusal)));
        }
        assert_eq!(verdict(code(Ok(()))), Some(Ok(())));
    }

    #[test]
    fn what_makes_no_sense_is_not_read() {
        for content in [&b""[..], b"\x00", b"\x04\x00", b"\x00\x05four"] {
            assert_eq!(Question::read(content), None, "{content:?}");
        }
        assert_eq!(verdict(11), None);
        let long = Question { word: Word::Lost, token: &[b'x'; 256], body: b"" };
        assert_eq!(long.head(), None);
    }
}
