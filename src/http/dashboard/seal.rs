//! What browsers keep for figw, closed to them and to everybody else.
//!
//! A value is encrypted and authenticated (XChaCha20-Poly1305) with a key that is made from
//! `dashboard.session_secret`. What it is for is authenticated, too: a login that was only begun
//! cannot be shown as a session.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{AeadInPlace, KeyInit, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, de::DeserializeOwned};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const NONCE: usize = 24;

/// What the keys are for. Changes with the form of what is sealed.
const SEALS: &[u8] = b"figw: sessions of the dashboard, 1";
const TOKENS: &[u8] = b"figw: forms of the dashboard, 1";

/// What a sealed value is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Somebody who is logged in.
    Session,
    /// A login with Globus that has been begun.
    Login,
}

/// Closes and opens values.
pub(super) struct Seal {
    cipher: XChaCha20Poly1305,
    tokens: [u8; 32],
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal(***)")
    }
}

impl Seal {
    /// With keys made from a secret of any length.
    pub(super) fn new(secret: &SecretString) -> Option<Self> {
        let key = derived(secret, SEALS)?;
        let cipher = XChaCha20Poly1305::new(key.as_slice().into());
        Some(Self { cipher, tokens: *derived(secret, TOKENS)? })
    }

    /// The value as a text for a cookie; `None` when the system has no random bytes to give.
    pub(super) fn close(&self, purpose: Purpose, value: &impl Serialize) -> Option<String> {
        let mut content = Zeroizing::new(serde_json::to_vec(value).ok()?);
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).ok()?;
        let tag = self
            .cipher
            .encrypt_in_place_detached(XNonce::from_slice(&nonce), label(purpose), &mut content)
            .ok()?;
        let sealed = [&nonce[..], &tag, &content].concat();
        Some(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The value, if it was closed with the same secret for the same purpose.
    pub(super) fn open<T: DeserializeOwned>(&self, purpose: Purpose, sealed: &str) -> Option<T> {
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>()?;
        let (tag, content) = rest.split_first_chunk::<16>()?;
        let mut content = Zeroizing::new(content.to_vec());
        let nonce = XNonce::from_slice(nonce);
        self.cipher
            .decrypt_in_place_detached(nonce, label(purpose), &mut content, tag.into())
            .ok()?;
        serde_json::from_slice(&content).ok()
    }

    /// What a form must bring along that this page has shown to the holder of `binding`.
    pub(super) fn form_token(&self, binding: &str) -> String {
        let code = <Hmac<Sha256> as Mac>::new_from_slice(&self.tokens).map(|mut code| {
            code.update(binding.as_bytes());
            code.finalize().into_bytes()
        });
        // An HMAC takes keys of any length.
        code.map(|code| URL_SAFE_NO_PAD.encode(code)).unwrap_or_default()
    }

    /// Whether a form has brought it along.
    pub(super) fn is_form_token(&self, binding: &str, token: &str) -> bool {
        !binding.is_empty() && self.form_token(binding).as_bytes().ct_eq(token.as_bytes()).into()
    }
}

const fn label(purpose: Purpose) -> &'static [u8] {
    match purpose {
        Purpose::Session => b"session",
        Purpose::Login => b"login",
    }
}

fn derived(secret: &SecretString, purpose: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let mut key = <Hmac<Sha256> as Mac>::new_from_slice(secret.expose_secret().as_bytes()).ok()?;
    key.update(purpose);
    Some(Zeroizing::new(key.finalize().into_bytes().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_secret_and_purpose_open_it() {
        let seal = Seal::new(&"a secret".into()).unwrap();
        let sealed = seal.close(Purpose::Session, &"ada").unwrap();
        assert_eq!(seal.open::<String>(Purpose::Session, &sealed).as_deref(), Some("ada"));
        assert_eq!(seal.open::<String>(Purpose::Login, &sealed), None);
        let other = Seal::new(&"another".into()).unwrap();
        assert_eq!(other.open::<String>(Purpose::Session, &sealed), None);
        for at in 0..sealed.len() {
            let mut forged = sealed.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(seal.open::<String>(Purpose::Session, &forged), None, "{at}");
        }
        for nonsense in ["", "A", "%%%", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(seal.open::<String>(Purpose::Session, nonsense), None);
        }
    }

    #[test]
    fn a_form_is_bound_to_who_was_shown_it() {
        let seal = Seal::new(&"a secret".into()).unwrap();
        let token = seal.form_token("ada's");
        assert!(seal.is_form_token("ada's", &token));
        assert!(!seal.is_form_token("bob's", &token));
        assert!(!seal.is_form_token("", &seal.form_token("")));
    }
}
