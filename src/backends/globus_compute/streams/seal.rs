//! What instances say to each other about streams, closed to everybody else.
//!
//! Messages hold tokens and the models' words, and go through Redis, which others may read and write.
//! So they are encrypted and authenticated (XChaCha20-Poly1305) with a key that is made from the
//! streaming secret, which all instances have. The label, which can be read, is authenticated, too: a
//! message cannot be sent to somebody else, nor an answer given to another question.

use chacha20poly1305::{AeadInPlace, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::instance::Instance;

/// What the key is for. Changes with the form of the messages.
const PURPOSE: &[u8] = b"figw: streams between instances, 1";

const NONCE: usize = 24;
const TAG: usize = 16;

/// A question, or its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Question = 1,
    Answer = 2,
}

/// What can be read on the outside of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) sort: Sort,
    /// The instance that got a post.
    pub(super) asker: Instance,
    /// The instance that holds the stream.
    pub(super) holder: Instance,
    /// Numbers the asker's questions.
    pub(super) number: u64,
}

impl Label {
    pub(super) const LENGTH: usize = 1 + 2 * Instance::LENGTH + 8;

    fn bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[0] = self.sort as u8;
        bytes[1..7].copy_from_slice(&self.asker.bytes());
        bytes[7..13].copy_from_slice(&self.holder.bytes());
        bytes[13..].copy_from_slice(&self.number.to_be_bytes());
        bytes
    }

    /// The label of a message.
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        let (sort, rest) = message.split_first()?;
        let sort = match sort {
            1 => Sort::Question,
            2 => Sort::Answer,
            _ => return None,
        };
        let (asker, rest) = rest.split_first_chunk()?;
        let (holder, rest) = rest.split_first_chunk()?;
        let (number, _) = rest.split_first_chunk()?;
        Some(Self {
            sort,
            asker: Instance::from_bytes(*asker),
            holder: Instance::from_bytes(*holder),
            number: u64::from_be_bytes(*number),
        })
    }
}

/// Closes and opens messages.
pub(super) struct Seal(XChaCha20Poly1305);

impl Seal {
    /// With a key made from the streaming secret, which may have any length.
    pub(super) fn new(secret: &SecretString) -> Option<Self> {
        let secret = secret.expose_secret().as_bytes();
        let mut key = <Hmac<Sha256> as Mac>::new_from_slice(secret).ok()?;
        key.update(PURPOSE);
        Some(Self(XChaCha20Poly1305::new(&key.finalize().into_bytes())))
    }

    /// The parts of a content as one message; `None` when the system has no random bytes to give.
    pub(super) fn close(&self, label: &Label, content: &[&[u8]]) -> Option<Vec<u8>> {
        const HEAD: usize = Label::LENGTH + NONCE;
        let length: usize = content.iter().map(|part| part.len()).sum();
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).ok()?;
        let mut message = Vec::with_capacity(HEAD + length + TAG);
        message.extend_from_slice(&label.bytes());
        message.extend_from_slice(&nonce);
        for part in content {
            message.extend_from_slice(part);
        }
        let (_, secret) = message.split_at_mut(HEAD);
        let nonce = XNonce::from_slice(&nonce);
        let tag = self.0.encrypt_in_place_detached(nonce, &label.bytes(), secret).ok()?;
        message.extend_from_slice(&tag);
        Some(message)
    }

    /// The content of a message, if it was closed by an instance with the same secret under exactly
    /// this label.
    pub(super) fn open(&self, label: &Label, message: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = message.get(Label::LENGTH..)?.split_first_chunk::<NONCE>()?;
        let (secret, tag) = rest.split_last_chunk::<TAG>()?;
        let (nonce, tag) = (XNonce::from_slice(nonce), Tag::from_slice(tag));
        let mut content = secret.to_vec();
        self.0.decrypt_in_place_detached(nonce, &label.bytes(), &mut content, tag).ok()?;
        Some(content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label() -> Label {
        Label {
            sort: Sort::Question,
            asker: Instance::new(),
            holder: Instance::new(),
            number: 0x0102_0304_0506_0708,
        }
    }

    #[test]
    fn a_message_opens_with_its_own_label_and_secret_only() {
        let (seal, label) = (Seal::new(&"secret".into()).unwrap(), label());
        let message = seal.close(&label, &[b"the ", b"token"]).unwrap();
        assert_eq!(Label::read(&message), Some(label));
        assert!(!message.windows(5).any(|bytes| bytes == b"token"));
        assert_eq!(seal.open(&label, &message).unwrap(), b"the token");
        assert!(Seal::new(&"another".into()).unwrap().open(&label, &message).is_none());
        for other in [
            Label { sort: Sort::Answer, ..label },
            Label { asker: label.holder, ..label },
            Label { holder: label.asker, ..label },
            Label { number: 1, ..label },
        ] {
            assert!(seal.open(&other, &message).is_none(), "{other:?}");
        }
    }

    #[test]
    fn no_byte_of_a_message_can_be_changed_or_left_out() {
        let (seal, label) = (Seal::new(&"secret".into()).unwrap(), label());
        let message = seal.close(&label, &[b"words"]).unwrap();
        for place in Label::LENGTH..message.len() {
            let mut changed = message.clone();
            changed[place] ^= 1;
            assert!(seal.open(&label, &changed).is_none(), "{place}");
        }
        for length in 0..message.len() {
            assert!(seal.open(&label, &message[..length]).is_none(), "{length}");
        }
    }
}
