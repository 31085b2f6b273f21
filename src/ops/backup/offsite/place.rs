//! Where off-site copies go: `backup.offsite_url` as an object store.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
    time::Duration,
};

use object_store::{
    BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    client::{HttpClient, HttpConnector},
    local::LocalFileSystem,
    multipart::MultipartStore,
    path::Path,
};
use url::Url;
use uuid::Uuid;

use super::{
    super::{error::BackupError, repository::create_private},
    options::{Options, check_endpoint},
};
use crate::outbound;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Where AWS's machines ask for credentials.
pub(super) const INSTANCE_METADATA: &str = "169.254.169.254";

/// How long to put up with a store that does not answer as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// A question that somebody waits for, or that can go unanswered.
    Question,
    /// A transfer, which passing faults must not end.
    Transfer,
}

impl Patience {
    /// How long passing faults are retried, when the URL says `in_url`.
    fn retry_for(self, in_url: Option<Duration>) -> Duration {
        const QUESTION: Duration = Duration::from_secs(3);
        match self {
            Self::Question => in_url.unwrap_or(QUESTION).min(QUESTION),
            Self::Transfer => in_url.unwrap_or(Duration::from_mins(1)),
        }
    }

    /// How long one request may take. Those of a transfer carry a piece of a few
    /// MiB, two of them beside each other.
    const fn request(self) -> Duration {
        match self {
            Self::Question => Duration::from_secs(10),
            Self::Transfer => Duration::from_mins(2),
        }
    }
}

/// An object store, and the prefix in it under which backups lie.
#[derive(Clone)]
pub struct Place {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) prefix: Path,
    /// What messages call it: nothing secret.
    pub(super) shown: String,
    /// The directory of a `file://` URL.
    pub(super) directory: Option<PathBuf>,
    /// The store once more, where it numbers uploads in pieces.
    pub(super) multipart: Option<Arc<dyn MultipartStore>>,
    /// The directory of the backups that it is for.
    pub(super) backups: Option<PathBuf>,
    /// The markers that were found in it before; none when it was not used before.
    pub(super) known: BTreeSet<Uuid>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({})", self.shown)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Place {
    /// Understands the URL. Nobody is asked for anything yet.
    ///
    /// # Errors
    /// [`BackupError::Invalid`] when it makes no sense; the message repeats nothing secret.
    pub fn open(url: &str, patience: Patience) -> Result<Self, BackupError> {
        let parsed = Url::parse(url).map_err(invalid)?;
        match parsed.scheme() {
            "s3" => open_s3(&parsed, patience),
            "file" => open_directory(&parsed),
            other => Err(invalid(format!("{other}:// is not supported; use s3:// or file://"))),
        }
    }

    /// Where a file of a backup lies.
    pub(super) fn key(&self, id: &str, name: &str) -> Path {
        self.prefix.clone().join(id).join(name)
    }
}

pub(super) fn invalid(why: impl fmt::Display) -> BackupError {
    BackupError::Invalid(format!("backup.offsite_url: {why}"))
}

fn open_directory(url: &Url) -> Result<Place, BackupError> {
    let is_plain = url.query().is_none() && url.fragment().is_none();
    let directory = url.to_file_path().ok().filter(|path| is_plain && path.is_absolute());
    let directory = directory.ok_or_else(|| invalid("must be file:///path, and no more"))?;
    let prefix = Path::from_absolute_path(&directory).map_err(invalid)?;
    let shown = directory.display().to_string();
    // The store creates files as the process may; they are for their owner alone.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let store = Arc::new(LocalFileSystem::new().with_fsync(true));
    Ok(Place {
        store,
        prefix,
        shown,
        directory: Some(directory),
        multipart: None,
        backups: None,
        known: BTreeSet::new(),
    })
}

fn open_s3(url: &Url, patience: Patience) -> Result<Place, BackupError> {
    let bucket = url.host_str().filter(|bucket| !bucket.is_empty());
    let bucket = bucket.ok_or_else(|| invalid("must name a bucket: s3://bucket/prefix"))?;
    if !url.username().is_empty() || url.password().is_some() || url.port().is_some() {
        return Err(invalid(
            "keys and address do not belong before the bucket; write \
             s3://bucket/prefix?endpoint=…&access_key_id=…&secret_access_key=…",
        ));
    }
    let options = Options::read(url.query().unwrap_or_default())?;
    let prefix = Path::from_url_path(url.path()).map_err(invalid)?;
    let mut builder = from_environment(options.access_key_id.is_some()).with_bucket_name(bucket);
    for (key, value) in [
        (AmazonS3ConfigKey::Region, &options.region),
        (AmazonS3ConfigKey::AccessKeyId, &options.access_key_id),
        (AmazonS3ConfigKey::SecretAccessKey, &options.secret_access_key),
        (AmazonS3ConfigKey::Token, &options.session_token),
    ] {
        if let Some(value) = value {
            builder = builder.with_config(key, value);
        }
    }
    let endpoint = endpoint(&options, &builder)?;
    if let Some(endpoint) = &endpoint {
        require_keys(&builder, endpoint)?;
    }
    let builder = address(builder, endpoint.as_deref(), bucket, options.virtual_hosted);
    let store = builder
        .with_http_connector(Connector { timeout: patience.request() })
        .with_retry(retry(patience.retry_for(options.retry_for)))
        // Not every store knows how to remove many objects with one request.
        .with_disable_bulk_delete(true)
        .build()
        .map_err(|error| invalid(outbound::reason(&error)))?;
    let at = endpoint.map(|endpoint| format!(" at {endpoint}")).unwrap_or_default();
    let shown = format!("s3://{bucket}/{prefix}{at}");
    let store = Arc::new(store);
    Ok(Place {
        store: Arc::clone(&store) as Arc<dyn ObjectStore>,
        prefix,
        shown,
        directory: None,
        multipart: Some(store),
        backups: None,
        known: BTreeSet::new(),
    })
}

/// What the environment says, as AWS's own programs read it. Its keys count as a whole: where the
/// URL has a key, the environment's session token would not belong to it.
fn from_environment(has_own_keys: bool) -> AmazonS3Builder {
    use AmazonS3ConfigKey::{AccessKeyId, SecretAccessKey, Token};
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| name.starts_with("AWS_"))?;
        let value = value.into_string().ok().filter(|value| !value.is_empty())?;
        Some((name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>().ok()?, value))
    });
    variables
        .filter(|(key, _)| !(has_own_keys && matches!(key, AccessKeyId | SecretAccessKey | Token)))
        .fold(AmazonS3Builder::new(), |builder, (key, value)| builder.with_config(key, value))
}

/// The store's address, unless it is AWS itself.
fn endpoint(options: &Options, builder: &AmazonS3Builder) -> Result<Option<String>, BackupError> {
    if options.endpoint.is_some() {
        return Ok(options.endpoint.clone());
    }
    let from_environment = builder
        .get_config_value(&AmazonS3ConfigKey::S3Endpoint)
        .or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Endpoint));
    from_environment.map(|endpoint| check_endpoint(&endpoint)).transpose()
}

/// Only machines of AWS are given keys by the place that they run in.
fn require_keys(builder: &AmazonS3Builder, endpoint: &str) -> Result<(), BackupError> {
    let sources = [
        AmazonS3ConfigKey::AccessKeyId,
        AmazonS3ConfigKey::WebIdentityTokenFile,
        AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
        AmazonS3ConfigKey::ContainerCredentialsFullUri,
    ];
    let is_unsigned = builder.get_config_value(&AmazonS3ConfigKey::SkipSignature);
    if is_unsigned.as_deref() == Some("true")
        || sources.iter().any(|key| builder.get_config_value(key).is_some())
    {
        return Ok(());
    }
    Err(invalid(format!(
        "there is no access key for {endpoint}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
         ?access_key_id=…&secret_access_key=… in the URL"
    )))
}

/// Sets address and style: the bucket in the path where there is an endpoint, unless told else.
fn address(
    builder: AmazonS3Builder,
    endpoint: Option<&str>,
    bucket: &str,
    virtual_hosted: Option<bool>,
) -> AmazonS3Builder {
    let builder = match virtual_hosted {
        Some(virtual_hosted) => builder.with_virtual_hosted_style_request(virtual_hosted),
        None => builder,
    };
    let style = builder.get_config_value(&AmazonS3ConfigKey::VirtualHostedStyleRequest);
    let Some(endpoint) = endpoint else { return builder };
    let endpoint = match endpoint.split_once("://") {
        Some((scheme, host))
            if style.as_deref() == Some("true") && !host.starts_with(&format!("{bucket}.")) =>
        {
            format!("{scheme}://{bucket}.{host}")
        }
        _ => endpoint.to_owned(),
    };
    builder
        .with_allow_http(endpoint.starts_with("http://"))
        // This one counts before `Endpoint`, which the environment may have set.
        .with_config(AmazonS3ConfigKey::S3Endpoint, endpoint)
}

fn retry(retry_for: Duration) -> RetryConfig {
    let backoff = BackoffConfig { max_backoff: LONGEST_PAUSE, ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: 100, retry_timeout: retry_for }
}

/// Connects as the rest of figw does: the machine's trusted roots, ring, no redirects.
#[derive(Debug)]
struct Connector {
    timeout: Duration,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let option = |key| options.get_config_value(&key);
        let connect = option(ClientConfigKey::ConnectTimeout)
            .and_then(|text| humantime::parse_duration(&text).ok())
            .map_or(CONNECT, |wanted| wanted.min(CONNECT));
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(outbound::tls_config())
            .user_agent(concat!("figw/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .https_only(option(ClientConfigKey::AllowHttp).as_deref() != Some("true"))
            .connect_timeout(connect)
            .timeout(self.timeout)
            .http1_only()
            .build();
        client
            .map(HttpClient::new)
            .map_err(|error| object_store::Error::Generic { store: "S3", source: Box::new(error) })
    }
}

impl Place {
    /// Makes sure that a directory is there to be written to.
    ///
    /// # Errors
    /// When it cannot be created.
    pub(super) fn create(&self) -> Result<(), BackupError> {
        match &self.directory {
            Some(directory) => create_private(directory)
                .map_err(|error| BackupError::io("create", directory, &error)),
            None => Ok(()),
        }
    }

    /// Whether copies would go to where the backups themselves are.
    pub(super) fn is_within(&self, backups: &FilePath) -> bool {
        let real = |path: &FilePath| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        self.directory.as_deref().is_some_and(|directory| real(directory) == real(backups))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_shows_nothing_secret() {
        let url = "s3://copies/a/b?endpoint=https://h:9000&access_key_id=AKIA&secret_access_key=pw";
        let place = Place::open(url, Patience::Question).unwrap();
        assert_eq!(place.to_string(), "s3://copies/a/b at https://h:9000");
        assert_eq!(format!("{place:?}"), "Place(s3://copies/a/b at https://h:9000)");
        assert_eq!(place.key("id", "part").as_ref(), "a/b/id/part");
    }

    #[test]
    fn the_bucket_stands_in_the_host_only_when_told() {
        let endpoint = |virtual_hosted, endpoint| {
            let builder = AmazonS3Builder::new().with_bucket_name("copies");
            address(builder, endpoint, "copies", virtual_hosted)
                .get_config_value(&AmazonS3ConfigKey::S3Endpoint)
        };
        let hosted = Some("https://copies.s3.example.org");
        assert_eq!(endpoint(None, Some("http://h:9000")).as_deref(), Some("http://h:9000"));
        assert_eq!(endpoint(Some(true), Some("https://s3.example.org")).as_deref(), hosted);
        assert_eq!(endpoint(Some(true), hosted).as_deref(), hosted);
        assert_eq!(endpoint(Some(true), None), None, "AWS itself");
    }

    #[test]
    fn a_directory_is_a_plain_path() {
        let place = Place::open("file:///var/copies", Patience::Question).unwrap();
        assert_eq!(place.directory.as_deref(), Some(FilePath::new("/var/copies")));
        for url in ["file://host/var/copies", "file:///x?y=z", "http://x", "nonsense"] {
            let error = Place::open(url, Patience::Question).unwrap_err();
            assert!(matches!(error, BackupError::Invalid(_)), "{url}: {error}");
        }
    }
}
