//! Secrets: not in the configuration file, not readable for others, not to be guessed.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::ExposeSecret;
use zxcvbn::{Score, zxcvbn};

use super::{Finding, Subject, urls};
use crate::{
    config::Secret,
    domain::{SecretSource, secret::SecretReference},
    ops::health,
};

/// The end of a URL's parameter that holds a secret.
const SECRET_PARAMETERS: [&str; 4] = ["password", "secret_access_key", "token", "sslpassword"];

/// How long the file systems may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// So many characters are looked at; looking at more takes long.
const LOOKED_AT: usize = 64;

/// No secret stands in the configuration file itself.
pub(super) fn outside(subject: &Subject) -> Finding {
    let secrets = subject.config().secrets();
    let literal = secrets.iter().filter(|secret| match secret.source() {
        SecretSource::Plain(text) => holds_secret(text) && subject.is_in_file(secret.key()),
        SecretSource::Reference(_) => false,
    });
    let names: Vec<_> = literal.map(|secret| secret.key().to_owned()).collect();
    if names.is_empty() {
        let is_one = |source: &SecretSource| match source {
            SecretSource::Plain(text) => holds_secret(text),
            SecretSource::Reference(_) => true,
        };
        return Finding::pass(match secrets.iter().filter(|one| is_one(one.source())).count() {
            0 => "no secret is set".to_owned(),
            1 => "one secret is set, and not in the file".to_owned(),
            count => format!("{count} secrets are set, none in the file"),
        });
    }
    Finding::fail(
        format!("the configuration file itself holds {}", names.join(", ")),
        format!(
            "write it into a file of its own (mode 0600), and `{}: {{file: PATH}}` here",
            names.first().map(String::as_str).unwrap_or_default()
        ),
    )
}

/// A URL without a password is no secret; any other text is.
fn holds_secret(text: &str) -> bool {
    if text.starts_with("sqlite:") {
        return false;
    }
    match urls::each(text).first() {
        Some(url) if text.contains("://") => {
            let is_webhook = matches!(url.scheme(), "https" | "http") && url.path().len() > 1;
            let mut parameters = url.query_pairs();
            is_webhook
                || url.password().is_some()
                || parameters.any(|(name, _)| SECRET_PARAMETERS.contains(&name.as_ref()))
        }
        _ => true,
    }
}

/// Others can neither read a secret nor change the configuration.
pub(super) async fn permissions(subject: &Subject) -> Finding {
    // Each file, with the bits that must not be set.
    let mut looked_at = Vec::new();
    if let Some(file) = &subject.loaded.path {
        let holds_any = subject.config().secrets().iter().any(|secret| {
            matches!(secret.source(), SecretSource::Plain(text) if holds_secret(text))
                && subject.is_in_file(secret.key())
        });
        looked_at.push((file.clone(), if holds_any { 0o027 } else { 0o022 }));
    }
    let secrets = subject.config().secrets();
    let files = secrets.iter().filter_map(|secret| match secret.source() {
        SecretSource::Reference(SecretReference::File(path)) => Some(PathBuf::from(path)),
        _ => None,
    });
    let keys = subject.server().tls.key.iter().chain(&subject.config().backup.identities).cloned();
    looked_at.extend(files.chain(keys).map(|path| (path, 0o027)));
    let complaints = health::within(PATIENCE, move || {
        let complaints = looked_at.iter().filter_map(|(path, bits)| complaint(path, *bits));
        complaints.collect::<Vec<_>>()
    });
    let Some(mut complaints) = complaints.await else {
        let evidence = "the file system of the configuration or of a secret does not answer";
        return Finding::fail(evidence, "look at the mounts");
    };
    complaints.sort();
    complaints.dedup();
    let good = "only their owner can change the files, and others cannot read the secret ones";
    Finding::unless(&complaints, "run `chmod u=rw,g=r,o= FILE` on each", good)
}

/// Says what is wrong with a file of which these bits must not be set.
fn complaint(path: &Path, forbidden: u32) -> Option<String> {
    // A file that is not there is somebody else's complaint.
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & forbidden != 0).then(|| format!("{} has mode {mode:04o}", path.display()))
}

/// Passwords and secrets that operators choose cannot be guessed.
pub(super) fn strength(subject: &Subject) -> Finding {
    let mut complaints = Vec::new();
    let mut looked_at = 0;
    for secret in subject.config().secrets() {
        let Ok(text) = secret.reveal() else { continue };
        let Some(password) = chosen(&secret, text.expose_secret()) else { continue };
        looked_at += 1;
        if let Some(complaint) = weakness(&password) {
            complaints.push(format!("{} {complaint}", secret.key()));
        }
    }
    if looked_at == 0 {
        return Finding::not_applicable("there is no password that an operator has chosen");
    }
    let remedy = "make another with `openssl rand -base64 32`, and give it to both sides";
    Finding::unless(&complaints, remedy, &format!("{looked_at} secrets are hard to guess"))
}

/// The password in a secret, where it is not made by a service: none without one, an empty one where
/// a server on another machine asks for none.
fn chosen(secret: &Secret, text: &str) -> Option<String> {
    match secret.key() {
        "server.admin_token" | "globus_compute.streaming_secret" | "dashboard.session_secret" => {
            Some(text.to_owned())
        }
        key if urls::is_store(key) => match urls::password(urls::each(text).first()?) {
            Some(password) => Some(password),
            // Redis lets everybody in who can reach it; PostgreSQL has other ways to tell who it is.
            None if key == "cache.redis_url" => Some(String::new()),
            None => None,
        },
        _ => None,
    }
}

fn weakness(password: &str) -> Option<&'static str> {
    if password.is_empty() {
        return Some("has no password");
    }
    let beginning: String = password.chars().take(LOOKED_AT).collect();
    // The names that figw's own files and examples suggest are the first ones to be tried.
    let guess = zxcvbn(&beginning, &["figw", "first", "postgres", "redis", "globus", "gateway"]);
    (guess.score() < Score::Three).then_some("is easy to guess")
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome, subject::tests::subject};
    use super::*;

    #[test]
    fn a_url_without_a_password_is_no_secret() {
        for (text, is_secret) in [
            ("sqlite:figw.db", false),
            ("postgres://figw@db/figw", false),
            ("postgres://figw:pw@db/figw", true),
            ("postgres://figw@db1:5432,db2:5432/figw", false),
            ("postgres://figw:pw@db1:5432,db2:5432/figw", true),
            ("redis://127.0.0.1:6379/0", false),
            ("s3://bucket/prefix?region=x", false),
            ("s3://bucket/prefix?secret_access_key=x", true),
            ("https://hooks.slack.com/services/T/B/X", true),
            ("a-token", true),
        ] {
            assert_eq!(holds_secret(text), is_secret, "{text}");
        }
    }

    #[tokio::test]
    async fn whatever_an_operator_has_chosen_is_looked_at() {
        let repeated = "a".repeat(40);
        for (yaml, complaint) in [
            (
                "database: {url: 'postgres://postgres:postgres@db1:5432,db2:5432/figw'}",
                "database.url is easy to guess",
            ),
            (
                "backup: {replication_url: 'postgres://repl:repl@db/postgres'}",
                "backup.replication_url is easy to guess",
            ),
            (
                &format!("dashboard: {{session_secret: {repeated}}}"),
                "dashboard.session_secret is easy to guess",
            ),
        ] {
            let found = strength(&subject(yaml).await);
            assert_eq!((found.outcome, found.evidence.as_str()), (Outcome::Fail, complaint));
        }
    }

    #[test]
    fn passwords_are_held_against_guessing() {
        for weak in ["", "figw", "password1", "redis123", "changeme", "gateway2024"] {
            assert!(weakness(weak).is_some(), "{weak}");
        }
        assert!(weakness(&"x".repeat(65)).is_some(), "long is not enough");
        for strong in ["kX9-vQ2m7Lr0Tz_pWb4n", "correct horse battery staple lamp"] {
            assert_eq!(weakness(strong), None, "{strong}");
        }
    }
}
