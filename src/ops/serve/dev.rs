//! `figw serve --dev`: everything that trying figw out takes, made on the spot.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use jiff::Timestamp;
use reqwest::Url;
use serde::Deserialize;

use super::ServeError;
use crate::{
    auth::keys,
    config::{Config, SecretUrl},
    domain::{
        AccessPolicy, Adapter, Cluster, DirectApi, Echo, Endpoint, EndpointSettings, KeyHash,
        Route, SecretSource,
    },
    http::server::bind,
    ops::database,
    outbound,
    store::{self, CatalogEdit, Store, migrate},
};

/// Where `--dev` keeps its database and state.
pub const DIRECTORY: &str = "figw-dev";

/// The cluster that `--dev` makes, and the name of its key.
const NAME: &str = "dev";

/// What was made.
pub struct Dev {
    /// The configuration to serve with.
    pub config: Config,
    /// The open, migrated store.
    pub store: Arc<dyn Store>,
    /// What to tell the person at the terminal.
    pub greeting: String,
}

/// Makes the database, the catalogue and a key below `./figw-dev`.
///
/// # Errors
/// That the configuration lets others in, what cannot be made, or that `backend` does not list its
/// models.
pub async fn prepare(config: Config, backend: Option<&Url>) -> Result<Dev, ServeError> {
    let listen = config.server.listen;
    if !listen.ip().is_loopback() {
        return Err(ServeError::Configuration(format!(
            "--dev serves on loopback only; server.listen is {listen}"
        )));
    }
    Ok(make(adjusted(config)?, backend).await?)
}

async fn make(config: Config, backend: Option<&Url>) -> anyhow::Result<Dev> {
    try_ports(&config)?;
    make_directory(Path::new(DIRECTORY))?;
    // Asked before anything is changed: a back end that is away leaves the catalogue as it was.
    let (framework, endpoints) = match backend {
        Some(url) => ("api", listed_endpoints(url).await?),
        None => ("echo", vec![endpoint("echo", "echo", EndpointSettings::Echo(Echo::default()))]),
    };
    let options = database::options(&config)?;
    migrate::apply(&options, Duration::from_secs(10), &mut |_| {}).await?;
    let store = store::open(&options).await?;
    replace_catalog(&*store, framework, &endpoints).await?;
    let key = key(&*store).await?;
    let models: Vec<_> = endpoints.iter().map(|e| e.model.as_str()).collect();
    let greeting = greeting(&config, &key, &models, backend);
    Ok(Dev { config, store, greeting })
}

fn adjusted(mut config: Config) -> anyhow::Result<Config> {
    let directory =
        std::env::current_dir().context("cannot tell the working directory")?.join(DIRECTORY);
    let database = directory.join("figw.db");
    let url = format!("sqlite:{}", database.display());
    config.database.url = SecretUrl::new("database.url", SecretSource::Plain(url));
    config.server.state_dir = directory.join("state");
    config.server.drain_grace = Duration::ZERO;
    Ok(config)
}

/// Finds a taken port before anything is made, and names the variables: `--dev` has no file in
/// which a key could be set.
fn try_ports(config: &Config) -> anyhow::Result<()> {
    bind(config.server.listen, "FIGW_SERVER__LISTEN")?;
    bind(config.server.admin_listen, "FIGW_SERVER__ADMIN_LISTEN")?;
    Ok(())
}

fn make_directory(path: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(path)
        .with_context(|| format!("cannot make ./{}; run figw where you may write", path.display()))
}

#[derive(Deserialize)]
struct Models {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}

/// An endpoint for every model that the back end lists.
async fn listed_endpoints(url: &Url) -> anyhow::Result<Vec<Endpoint>> {
    let base = url.as_str().trim_end_matches('/');
    let base = if base.ends_with("/v1") { base.to_owned() } else { format!("{base}/v1") };
    let list = format!("{base}/models");
    let client = outbound::client(Duration::from_secs(10))?;
    let response = match client.get(&list).send().await {
        Ok(response) => response,
        Err(error) => bail!("--backend: cannot reach {list}: {}", outbound::failure(&error)),
    };
    if !response.status().is_success() {
        bail!("--backend: {list} answered {}", response.status());
    }
    let models: Models = response
        .json()
        .await
        .with_context(|| format!("--backend: {list} did not answer with a list of models"))?;
    if models.data.is_empty() {
        bail!("--backend: {list} lists no model");
    }
    let settings =
        DirectApi { api_url: base, api_key: None, request_timeout: None, max_in_flight: None };
    Ok(models
        .data
        .iter()
        .map(|model| endpoint("api", &model.id, EndpointSettings::DirectApi(settings.clone())))
        .collect())
}

fn endpoint(framework: &str, model: &str, settings: EndpointSettings) -> Endpoint {
    Endpoint {
        slug: Endpoint::default_slug(NAME, framework, model),
        cluster: NAME.to_owned(),
        framework: framework.to_owned(),
        model: model.to_owned(),
        settings,
        access: AccessPolicy::default(),
        tpm_model: 0,
        tpm_user: 0,
        enabled: true,
    }
}

/// Makes the cluster `dev` hold exactly `endpoints`, and leaves the rest of the catalogue alone.
async fn replace_catalog(
    store: &dyn Store,
    framework: &str,
    endpoints: &[Endpoint],
) -> anyhow::Result<()> {
    let current = store.catalog().await?;
    let adapter = endpoints.first().map_or(Adapter::Echo, |e| e.settings.adapter());
    let cluster = Cluster {
        name: NAME.to_owned(),
        adapter,
        frameworks: vec![framework.to_owned()],
        routes: Route::ALL.to_vec(),
        access: AccessPolicy::default(),
        settings: serde_json::Map::new(),
        maintenance: None,
    };
    let gone = current
        .endpoints
        .iter()
        .filter(|old| old.cluster == NAME && !endpoints.iter().any(|new| new.slug == old.slug))
        .map(|old| CatalogEdit::RemoveEndpoint(old.slug.clone()));
    let edits: Vec<_> = gone
        .chain([CatalogEdit::PutCluster(cluster)])
        .chain(endpoints.iter().cloned().map(CatalogEdit::PutEndpoint))
        .collect();
    store.edit_catalog(current.version, &edits).await?;
    Ok(())
}

/// The key of an earlier start if it still opens the door, or else a new one, kept for the next.
async fn key(store: &dyn Store) -> anyhow::Result<String> {
    let path = PathBuf::from(DIRECTORY).join("api-key");
    let now = Timestamp::now();
    if let Ok(text) = fs::read_to_string(&path) {
        let hash = KeyHash::of(text.trim());
        if store.keys().await?.iter().any(|known| known.hash == hash && known.is_valid(now)) {
            return Ok(text.trim().to_owned());
        }
    }
    let request = keys::KeyRequest {
        name: NAME.to_owned(),
        user: "dev@localhost".to_owned(),
        ..Default::default()
    };
    let (text, key) = keys::generate(request, now)?;
    store.create_key(&key).await?;
    let _ = fs::remove_file(&path);
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| writeln!(file, "{}", *text))
        .map_err(|error| anyhow!("cannot write {}: {error}", path.display()))?;
    Ok(text.to_string())
}

fn greeting(config: &Config, key: &str, models: &[&str], backend: Option<&Url>) -> String {
    let address = config.server.listen;
    let model = models.first().copied().unwrap_or("echo");
    let what = match backend {
        None => "the built-in model `echo`".to_owned(),
        Some(url) => format!("{} of {url}: {}", plural(models.len()), models.join(", ")),
    };
    let question = serde_json::json!({
        "model": model,
        "messages": [{ "role": "user", "content": "Hello, figw!" }],
    });
    format!(
        "figw serves {what}\n\n  \
         base URL  http://{address}/v1\n  \
         API key   {key}\n  \
         state     ./{DIRECTORY}\n\n\
         Paste this into another terminal:\n\n\
         curl http://{address}/v1/chat/completions -H 'Authorization: Bearer {key}' \
         -H 'Content-Type: application/json' -d '{question}'\n\n\
         Ctrl-C stops it."
    )
}

fn plural(models: usize) -> String {
    if models == 1 { "1 model".to_owned() } else { format!("{models} models") }
}
