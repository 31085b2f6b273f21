//! What instances with the same service accounts tell each other of Globus Compute's answers.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::{
    cache::{Answers, Cache},
    globus::ServiceAccount,
};

/// Answers that instances with exactly these accounts share; `None` when nothing is shared.
pub(super) fn shared_by<'a>(
    cache: &Cache,
    accounts: impl Iterator<Item = &'a ServiceAccount>,
) -> Option<Answers> {
    let mut accounts: Vec<_> =
        accounts.map(|account| (&account.id, account.secret.expose_secret())).collect();
    accounts.sort_unstable();
    accounts.dedup();
    let (mut scope, mut secret) = (Sha256::new(), Sha256::new());
    for (id, its_secret) in accounts {
        scope.update(format!("{id}\n"));
        secret.update(format!("{id}\n{its_secret}\n"));
    }
    let secret = SecretString::from(URL_SAFE_NO_PAD.encode(secret.finalize()));
    Answers::new(cache, secret, URL_SAFE_NO_PAD.encode(&scope.finalize()[..12]))
}
