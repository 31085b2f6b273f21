//! The gateway's certificate and its key.

use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::public_key::PublicKey;

use super::{Finding, Subject};

/// Shortest RSA key that is taken for safe, in bits.
const LEAST_RSA: usize = 2048;

/// The certificate's own key is long enough.
pub(super) fn key(subject: &Subject) -> Finding {
    let Some(path) = &subject.server().tls.certificate else {
        return Finding::not_applicable("server.tls is not set");
    };
    let read = CertificateDer::pem_file_iter(path).and_then(|mut all| all.next().transpose());
    let Ok(Some(certificate)) = read else {
        let evidence = format!("{} holds no certificate that can be read", path.display());
        return Finding::fail(evidence, "put the certificate and its chain there, in PEM");
    };
    let parsed = x509_parser::parse_x509_certificate(&certificate);
    let Ok((_, parsed)) = parsed else {
        let evidence = format!("the certificate in {} cannot be read", path.display());
        return Finding::fail(evidence, "have it issued anew");
    };
    match parsed.public_key().parsed() {
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
