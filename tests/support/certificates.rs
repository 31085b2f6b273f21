//! Certificates for 127.0.0.1 that begin and end when a test wants.

use std::{fs, path::Path};

use rcgen::{CertificateParams, KeyPair};
use time::{Duration as Days, OffsetDateTime};

/// Writes `certificate.pem` and `key.pem` into a directory: signed by itself, begun 100 days ago, and
/// ending in so many.
pub fn write_certificate(directory: &Path, days_left: i64) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).expect("names");
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Days::days(100);
    params.not_after = now + Days::days(days_left);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    for (name, text) in [("certificate.pem", certificate.pem()), ("key.pem", key.serialize_pem())] {
        let new = directory.join(format!("{name}.new"));
        fs::write(&new, text).expect("a file");
        fs::rename(new, directory.join(name)).expect("a file in its place");
    }
}
