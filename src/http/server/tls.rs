//! TLS on the public listener: Mozilla's intermediate profile, with keys and certificates that are
//! replaced while serving.

use std::{
    fmt::Display,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use tokio_rustls::TlsAcceptor;

use crate::config;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// How long before its end a certificate is warned of. Automatic renewal comes earlier than this.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Keys and certificates in use. Clones share them.
#[derive(Debug, Clone)]
pub struct Tls {
    files: Files,
    current: Arc<ArcSwap<ServerConfig>>,
}

#[derive(Debug, Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

/// What tells one state of the files from another: another inode, a change of content, owner or
/// permissions.
type Marks = Vec<Option<(u64, i64, i64, u64)>>;

impl Tls {
    /// Loads the files that the configuration names; none when it names none.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn load(settings: &config::Tls) -> Result<Option<Self>, String> {
        let (Some(certificate), Some(key)) = (&settings.certificate, &settings.key) else {
            return Ok(None);
        };
        let files = Files {
            certificate: certificate.clone(),
            key: key.clone(),
            client_ca: settings.client_ca.clone(),
        };
        let current = Arc::new(ArcSwap::from_pointee(files.load()?));
        Ok(Some(Self { files, current }))
    }

    /// What shakes hands with the newest keys.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Loads the files anew. What cannot be used changes nothing.
    pub fn reload(&self) {
        match self.files.load() {
            Ok(new) => {
                self.current.store(Arc::new(new));
                tracing::info!("certificate and key reloaded");
            }
            Err(why) => tracing::error!("the old certificate stays in use: {why}"),
        }
    }

    /// Reloads whenever the files have changed, and have then stayed as they are for a moment:
    /// certificate and key are not replaced at once.
    pub async fn follow(self) {
        let mut loaded = self.files.marks();
        let mut before = loaded.clone();
        loop {
            tokio::time::sleep(LOOK).await;
            let now = self.files.marks();
            if now != loaded && now == before {
                loaded.clone_from(&now);
                self.reload();
            }
            before = now;
        }
    }
}

impl Files {
    fn load(&self) -> Result<ServerConfig, String> {
        let chain = certificates(&self.certificate, "server.tls.certificate")?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| {
            let advice = match error {
                pem::Error::Io(_) => "",
                _ => "; it must hold one private key in PEM, not encrypted",
            };
            unusable("server.tls.key", &self.key, &format!("{error}{advice}"))
        })?;
        if let Some(not_after) = chain.first().and_then(not_after) {
            tell_expiry(&self.certificate, not_after);
        }
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| error.to_string())?
            .with_client_cert_verifier(self.clients()?)
            .with_single_cert(chain, key)
            .map_err(|error| {
                let why = format!("{error}; it must be the key of {}", self.certificate.display());
                unusable("server.tls.key", &self.key, &why)
            })?;
        config.alpn_protocols = ["h2", "http/1.1", "http/1.0"].map(Into::into).to_vec();
        // New keys with each load: a session of a client whose authority has gone does not go on.
        config.ticketer = ring::Ticketer::new().map_err(|error| error.to_string())?;
        Ok(config)
    }

    fn clients(&self) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let Some(path) = &self.client_ca else { return Ok(Arc::new(NoClientAuth)) };
        let mut authorities = RootCertStore::empty();
        for authority in certificates(path, "server.tls.client_ca")? {
            authorities
                .add(authority)
                .map_err(|error| unusable("server.tls.client_ca", path, &error))?;
        }
        let provider = Arc::new(ring::default_provider());
        WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider)
            .build()
            .map(|verifier| verifier as Arc<dyn ClientCertVerifier>)
            .map_err(|error| unusable("server.tls.client_ca", path, &error))
    }

    fn marks(&self) -> Marks {
        let files = [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()];
        let mark = |path: &PathBuf| {
            let found = fs::metadata(path).ok()?;
            Some((found.ino(), found.ctime(), found.ctime_nsec(), found.len()))
        };
        files.into_iter().flatten().map(mark).collect()
    }
}

/// When a certificate is no longer valid.
fn not_after(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()
}

fn tell_expiry(path: &Path, not_after: Timestamp) {
    #[allow(clippy::cast_precision_loss, reason = "seconds of this century are exact")]
    metrics::gauge!("figw_tls_certificate_expiry_timestamp_seconds")
        .set(not_after.as_second() as f64);
    let certificate = path.display();
    let left = not_after.duration_since(Timestamp::now());
    if left.is_negative() {
        tracing::warn!(%certificate, %not_after, "the certificate has expired: clients will refuse it");
    } else if left < SOON {
        tracing::warn!(%certificate, %not_after, "the certificate expires soon");
    }
}

fn certificates(path: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let all: Vec<_> = read.map_err(|error| unusable(key, path, &error))?;
    if all.is_empty() {
        return Err(unusable(key, path, &"it holds no certificate in PEM"));
    }
    Ok(all)
}

fn unusable(key: &str, path: &Path, why: &dyn Display) -> String {
    format!("{key}: {} cannot be used: {why}", path.display())
}
