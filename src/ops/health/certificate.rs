//! When the gateway's certificate is valid: that of the file, and the one that clients are shown.

use std::{io, path::Path, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::net::TcpStream;
use url::Url;

use super::{Finding, Measure, State, Subject};
use crate::{
    config,
    ops::door::{self, Witness},
};

/// How long the handshake, or the file, may take.
const LONGEST: Duration = Duration::from_secs(5);

/// What is known of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    /// Its bytes, which tell it from another.
    content: Vec<u8>,
    /// When it begins to be valid.
    not_before: Timestamp,
    /// When it ends.
    not_after: Timestamp,
}

pub(super) async fn check(subject: &Subject) -> Option<Finding> {
    let settings = &subject.config.health;
    let file = match (&subject.url, &subject.config.server.tls.certificate) {
        // The certificate of another gateway is in another place.
        (None, Some(path)) => Some(in_file(path).await),
        _ => None,
    };
    let served = as_served(subject).await;
    if file.is_none() && served.is_none() {
        return None;
    }
    Some(judge(settings, file.as_ref(), served.as_ref(), Timestamp::now()))
}

async fn in_file(path: &Path) -> Result<Seen, String> {
    let own = path.to_owned();
    let read = super::within(LONGEST, move || first_in(&own)).await;
    let hangs = || Err(format!("{}: its file system does not answer", path.display()));
    read.unwrap_or_else(hangs)
}

fn first_in(path: &Path) -> Result<Seen, String> {
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
    let moment = |second| Timestamp::from_second(second).map_err(|error| error.to_string());
    let validity = parsed.validity();
    Ok(Seen {
        content: certificate.to_vec(),
        not_before: moment(validity.not_before.timestamp())?,
        not_after: moment(validity.not_after.timestamp())?,
    })
}

/// The certificate that a client is shown; nothing where the gateway speaks plain HTTP.
async fn as_served(subject: &Subject) -> Option<Result<Seen, String>> {
    let Some(url) = &subject.url else {
        let server = &subject.config.server;
        server.tls.certificate.as_ref()?;
        let place = door::reachable(server.listen).to_string();
        return Some(shown(&place, door::connect(server), door::own_name(server)).await);
    };
    if url.scheme() != "https" {
        return None;
    }
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default()?;
    let name = ServerName::try_from(host.clone()).ok()?;
    let connecting = TcpStream::connect((host.as_str(), port));
    Some(shown(&place_of(url), connecting, name).await)
}

/// Host and port.
fn place_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The certificate that whoever is at this place shows.
async fn shown(
    place: &str,
    connecting: impl Future<Output = io::Result<TcpStream>>,
    name: ServerName<'static>,
) -> Result<Seen, String> {
    let witness = Arc::new(Witness::default());
    let shaking = async { witness.shake(connecting.await?, name).await };
    let shaken = tokio::time::timeout(LONGEST, shaking).await;
    // Whoever wants a certificate of the client's own has shown theirs before.
    match (witness.shown(), shaken) {
        (Some(certificate), _) => read(&certificate),
        (None, Ok(Err(error))) => Err(format!("{place}: {error}")),
        (None, Err(_)) => Err(format!("{place}: no handshake within {} s", LONGEST.as_secs())),
        (None, Ok(Ok(_))) => Err(format!("{place}: no certificate was shown")),
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
            Some(Ok(seen)) => {
                let left = seen.not_after.duration_since(now);
                let (state, validity) = validity(settings, seen, now);
                worst = worst.max(state);
                told.push(format!("{name}: {validity}"));
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

/// How one certificate is, and what there is to say about it.
fn validity(settings: &config::Health, seen: &Seen, now: Timestamp) -> (State, String) {
    let Seen { not_before, not_after, .. } = seen;
    if *not_before > now {
        let told = format!(
            "is not valid before {not_before}: clients refuse it; look at the clock, or renew it"
        );
        return (State::Critical, told);
    }
    let left = not_after.duration_since(now);
    let state = state(settings, left);
    let advice = if state == State::Ok { "" } else { "; renew it" };
    let told = if left.is_negative() {
        format!("expired at {not_after}: clients refuse it{advice}")
    } else {
        format!("valid until {not_after}{advice}")
    };
    (state, told)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_comes_near_and_a_file_that_nobody_serves_is_noticed() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let settings = config::Health::default();
        let seen = |days: i64, content: u8| {
            let not_after = now + SignedDuration::from_hours(24 * days);
            let not_before = now - SignedDuration::from_hours(24);
            Some(Ok(Seen { content: vec![content], not_before, not_after }))
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

    #[test]
    fn a_certificate_that_is_not_valid_yet_is_refused() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let not_before = now + SignedDuration::from_secs(1);
        let not_after = now + SignedDuration::from_hours(24 * 90);
        let early = Ok(Seen { content: vec![1], not_before, not_after });
        let settings = config::Health::default();
        let found = judge(&settings, None, Some(&early), now);
        assert_eq!(found.state, State::Critical);
        assert!(found.evidence.starts_with("served: is not valid before 2026-01-01T00:00:01Z"));
        assert_eq!(judge(&settings, None, Some(&early), not_before).state, State::Ok);
    }
}
