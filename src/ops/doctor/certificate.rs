//! The gateway's certificate and its key.

use std::{path::Path, time::Duration};

use rustls::{
    Error,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::{certificate::X509Certificate, public_key::PublicKey};

use super::{Finding, Outcome, Subject, health as found_by_health};
use crate::ops::health;

/// Shortest RSA key that is taken for safe, in bits.
const LEAST_RSA: usize = 2048;

/// How long the file system may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The check of `figw health` that looks at certificates, and its number of the file's own.
const CHECK: &str = "certificate";
const LEFT_IN_FILE: &str = "certificate_left_file";

/// The certificate's key is long enough, and is the one in `server.tls.key`.
pub(super) async fn key(subject: &Subject) -> Finding {
    let tls = &subject.server().tls;
    let Some(path) = tls.certificate.clone() else {
        return Finding::not_applicable("server.tls is not set");
    };
    let key = tls.key.clone();
    let looked = health::within(PATIENCE, move || look(&path, key.as_deref()));
    let hangs =
        || Finding::fail("the file system of server.tls does not answer", "look at its mount");
    looked.await.unwrap_or_else(hangs)
}

fn look(path: &Path, key: Option<&Path>) -> Finding {
    let Some(certificate) = first_in(path) else {
        let evidence = format!("{} holds no certificate that can be read", path.display());
        return Finding::fail(evidence, "put the certificate and its chain there, in PEM");
    };
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(&certificate) else {
        let evidence = format!("the certificate in {} cannot be read", path.display());
        return Finding::fail(evidence, "have it issued anew");
    };
    let finding = strength(&parsed);
    if finding.outcome != Outcome::Pass {
        return finding;
    }
    let strange = key.and_then(|key| strangeness(&certificate, path, key));
    strange.unwrap_or(finding)
}

fn first_in(path: &Path) -> Option<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path).ok()?.next()?.ok()
}

fn strength(certificate: &X509Certificate<'_>) -> Finding {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) if key.key_size() < LEAST_RSA => Finding::fail(
            format!("its RSA key has {} bits", key.key_size()),
            "make a new key, such as with `openssl ecparam -name prime256v1 -genkey`, and a \
             certificate for it",
        ),
        Ok(PublicKey::RSA(key)) => Finding::pass(format!("an RSA key of {} bits", key.key_size())),
        Ok(PublicKey::EC(point)) => {
            Finding::pass(format!("an elliptic-curve key of {} bits", point.key_size()))
        }
        Ok(_) => Finding::pass("a key of another kind"),
        Err(_) => Finding::warn("its key is of no kind that is known", "look at it with openssl"),
    }
}

/// What keeps the key in a file from being used with the certificate.
fn strangeness(certificate: &CertificateDer<'static>, path: &Path, key: &Path) -> Option<Finding> {
    let read = match PrivateKeyDer::from_pem_file(key) {
        Ok(read) => read,
        Err(pem::Error::Io(error)) => {
            return Some(Finding::warn(
                format!("{}: {error}, so it cannot be held against the certificate", key.display()),
                "run `figw doctor` as a user who may read it, or correct server.tls.key",
            ));
        }
        Err(error) => {
            return Some(Finding::fail(
                format!("{}: {error}", key.display()),
                "put the certificate's private key there, in PEM, not encrypted",
            ));
        }
    };
    let remedy = format!(
        "put the key there that {} was issued for, or have a certificate issued for this one",
        path.display()
    );
    let chain = vec![certificate.clone()];
    match CertifiedKey::from_der(chain, read, &ring::default_provider()) {
        Ok(_) => None,
        Err(Error::InconsistentKeys(_)) => {
            let evidence = format!("{} is not the key of {}", key.display(), path.display());
            Some(Finding::fail(evidence, remedy))
        }
        Err(error) => Some(Finding::fail(format!("{}: {error}", key.display()), remedy)),
    }
}

/// When the certificate ends. One that nobody serves yet is judged by its file.
pub(super) async fn validity(subject: &Subject) -> Finding {
    let Some(found) = health::find(&subject.behind, CHECK).await else {
        return found_by_health::nothing();
    };
    let is_good = match &subject.server().tls.certificate {
        Some(path) if subject.running.is_err() => is_good(path, &found).await,
        _ => false,
    };
    let finding = found_by_health::judged(found, CHECK);
    if finding.outcome == Outcome::Fail && is_good {
        return Finding::warn(
            finding.evidence,
            "start the gateway (`systemctl start figw`), and run `figw doctor` again",
        );
    }
    finding
}

/// Whether the certificate in the file is valid, and for long enough.
async fn is_good(path: &Path, found: &health::Finding) -> bool {
    let left = found.measures.iter().find(|measure| measure.name == LEFT_IN_FILE);
    let is_long = left.is_some_and(|left| left.critical.is_none_or(|least| left.value > least));
    let path = path.to_owned();
    let is_valid = health::within(PATIENCE, move || {
        first_in(&path).is_some_and(|certificate| {
            x509_parser::parse_x509_certificate(&certificate)
                .is_ok_and(|(_, parsed)| parsed.validity().is_valid())
        })
    });
    is_long && is_valid.await == Some(true)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair};
    use time::{Duration as Days, OffsetDateTime};

    use super::super::subject::tests::subject;
    use super::*;

    /// Writes a certificate and its key that begin and end so many days from now.
    fn write(directory: &Path, begin: i64, end: i64) {
        let mut params = CertificateParams::new(vec!["gw.example.org".to_owned()]).unwrap();
        params.not_before = OffsetDateTime::now_utc() + Days::days(begin);
        params.not_after = OffsetDateTime::now_utc() + Days::days(end);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(directory.join("certificate.pem"), certificate.pem()).unwrap();
        fs::write(directory.join("key.pem"), key.serialize_pem()).unwrap();
    }

    #[test]
    fn a_key_must_be_the_certificate_s() {
        let directory = tempfile::tempdir().unwrap();
        let (path, key) =
            (directory.path().join("certificate.pem"), directory.path().join("key.pem"));
        write(directory.path(), -1, 90);
        let other = fs::read(&key).unwrap();
        write(directory.path(), -1, 90);
        assert_eq!(look(&path, Some(&key)).outcome, Outcome::Pass);
        for (content, outcome, word) in [
            (Some(&other[..]), Outcome::Fail, "key.pem is not the key of"),
            (Some(b"no key"), Outcome::Fail, "key.pem: "),
            (None, Outcome::Warn, "so it cannot be held against the certificate"),
        ] {
            match content {
                Some(content) => fs::write(&key, content).unwrap(),
                None => fs::remove_file(&key).unwrap(),
            }
            let found = look(&path, Some(&key));
            assert_eq!(found.outcome, outcome, "{found:?}");
            assert!(found.evidence.contains(word), "{found:?}");
        }
    }

    #[tokio::test]
    async fn a_good_certificate_that_nobody_serves_yet_is_no_failure() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().display();
        let yaml = format!(
            "server: {{listen: '127.0.0.1:9', \
             tls: {{certificate: {place}/certificate.pem, key: {place}/key.pem}}}}"
        );
        let subject = subject(&yaml).await;
        for (begin, end, outcome, word) in [
            (-1, 400, Outcome::Warn, "served: "),
            (-1, 1, Outcome::Fail, "renew it"),
            (-2, -1, Outcome::Fail, "expired"),
            (1, 400, Outcome::Fail, "not valid before"),
        ] {
            write(directory.path(), begin, end);
            let found = validity(&subject).await;
            assert_eq!(found.outcome, outcome, "{found:?}");
            assert!(found.evidence.contains(word), "{found:?}");
        }
    }
}
