//! When the gateway's certificate ends: that of the file, and the one that clients are shown.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Finding, Measure, State, Subject, gateway};
use crate::config;

/// How long the handshake may take.
const LONGEST: Duration = Duration::from_secs(5);

/// What is known of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    /// Its bytes, which tell it from another.
    content: Vec<u8>,
    /// When it ends.
    not_after: Timestamp,
}

pub(super) async fn check(subject: &Subject) -> Option<Finding> {
    let settings = &subject.config.health;
    let file = match (&subject.url, &subject.config.server.tls.certificate) {
        // The certificate of another gateway is in another place.
        (None, Some(path)) => Some(in_file(path)),
        _ => None,
    };
    let served = match address(subject).await {
        Some(Ok((address, name))) => Some(as_served(address, name).await),
        Some(Err(reason)) => Some(Err(reason)),
        None => None,
    };
    if file.is_none() && served.is_none() {
        return None;
    }
    Some(judge(settings, file.as_ref(), served.as_ref(), Timestamp::now()))
}

/// Where the gateway shakes hands, and under which name; nothing where it speaks plain HTTP.
async fn address(subject: &Subject) -> Option<Result<(SocketAddr, ServerName<'static>), String>> {
    let Some(url) = &subject.url else {
        subject.config.server.tls.certificate.as_ref()?;
        let address = gateway::reachable(subject.config.server.listen);
        return Some(Ok((address, ServerName::from(address.ip()))));
    };
    if url.scheme() != "https" {
        return None;
    }
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default()?;
    let name = ServerName::try_from(host.clone()).ok()?;
    let found = tokio::net::lookup_host((host.as_str(), port)).await;
    let found = found.map_err(|error| format!("{host}: {error}"));
    Some(found.and_then(|mut all| Ok((all.next().ok_or("it has no address")?, name))))
}

fn in_file(path: &Path) -> Result<Seen, String> {
    let first = CertificateDer::pem_file_iter(path).and_then(|mut all| all.next().transpose());
    match first {
        Ok(Some(certificate)) => read(&certificate),
        Ok(None) => Err(format!("{} holds no certificate", path.display())),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn read(certificate: &CertificateDer<'_>) -> Result<Seen, String> {
    let parsed = x509_parser::parse_x509_certificate(certificate);
    let (_, parsed) = parsed.map_err(|_| "the certificate cannot be read".to_owned())?;
    let not_after = Timestamp::from_second(parsed.validity().not_after.timestamp());
    let not_after = not_after.map_err(|error| error.to_string())?;
    Ok(Seen { content: certificate.to_vec(), not_after })
}

/// The certificate that a client is shown.
async fn as_served(address: SocketAddr, name: ServerName<'static>) -> Result<Seen, String> {
    let witness = Arc::new(Witness::default());
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(witness.clone())
        .with_no_client_auth();
    let shaking = async {
        let tcp = TcpStream::connect(address).await?;
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await
    };
    let shaken = tokio::time::timeout(LONGEST, shaking).await;
    // Whoever wants a certificate of the client's own has shown theirs before.
    let shown = witness.shown.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (shown, shaken) {
        (Some(certificate), _) => read(&certificate),
        (None, Ok(Err(error))) => Err(format!("{address}: {error}")),
        (None, Err(_)) => Err(format!("{address}: no handshake within {} s", LONGEST.as_secs())),
        (None, Ok(Ok(_))) => Err(format!("{address}: no certificate was shown")),
    }
}

fn judge(
    settings: &config::Health,
    file: Option<&Result<Seen, String>>,
    served: Option<&Result<Seen, String>>,
    now: Timestamp,
) -> Finding {
    let mut worst = State::Ok;
    let (mut told, mut ends) = (Vec::new(), Vec::new());
    for (name, seen) in [("file", file), ("served", served)] {
        match seen {
            None => {}
            Some(Err(reason)) => {
                worst = worst.max(State::Critical);
                told.push(format!("{name}: {reason}"));
            }
            Some(Ok(Seen { not_after, .. })) => {
                let left = not_after.duration_since(now);
                let state = state(settings, left);
                worst = worst.max(state);
                let advice = if state == State::Ok { "" } else { "; renew it" };
                told.push(if left.is_negative() {
                    format!("{name}: expired at {not_after}: clients refuse it{advice}")
                } else {
                    format!("{name}: valid until {not_after}{advice}")
                });
                let (warning, critical) =
                    (settings.certificate_warning, settings.certificate_critical);
                let name = format!("certificate_left_{name}");
                ends.push(
                    Measure::seconds(name, left.as_secs_f64())
                        .below(warning.as_secs_f64(), critical.as_secs_f64()),
                );
            }
        }
    }
    if let (Some(Ok(file)), Some(Ok(served))) = (file, served)
        && file.content != served.content
    {
        worst = worst.max(State::Warning);
        told.push("another one is served than the file has; see the gateway's log".to_owned());
    }
    Finding::new(worst, told.join("; ")).measuring(ends)
}

fn state(settings: &config::Health, left: SignedDuration) -> State {
    // Negative: over.
    let left = Duration::try_from(left).unwrap_or_default();
    match left {
        left if left <= settings.certificate_critical => State::Critical,
        left if left <= settings.certificate_warning => State::Warning,
        _ => State::Ok,
    }
}

/// Takes note of the certificate, and accepts whatever it is.
#[derive(Debug, Default)]
struct Witness {
    shown: Mutex<Option<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = Some(certificate.clone().into_owned());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_comes_near_and_a_file_that_nobody_serves_is_noticed() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let settings = config::Health::default();
        let seen = |days: i64, content: u8| {
            let not_after = now + SignedDuration::from_hours(24 * days);
            Some(Ok(Seen { content: vec![content], not_after }))
        };
        for (file, served, state) in [
            (seen(90, 1), seen(90, 1), State::Ok),
            (seen(13, 1), seen(13, 1), State::Warning),
            (seen(2, 1), seen(2, 1), State::Critical),
            (seen(-1, 1), seen(-1, 1), State::Critical),
            (seen(90, 1), seen(60, 2), State::Warning),
            (seen(90, 1), Some(Err("refused".to_owned())), State::Critical),
            (None, seen(90, 1), State::Ok),
        ] {
            let found = judge(&settings, file.as_ref(), served.as_ref(), now);
            assert_eq!(found.state, state, "{found:?}");
        }
    }
}
