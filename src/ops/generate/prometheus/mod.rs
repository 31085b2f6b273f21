//! Prometheus for figw: what is scraped, and what is alerted of.

mod rules;

use std::path::PathBuf;

use serde_json::{Map, Value, json};
use url::Url;

use super::{GenerateError, GeneratedFile, fleet, one_line};
use crate::config::Config;

/// The rules' file, which stands beside `prometheus.yml`.
const RULES: &str = "figw-rules.yml";

/// What Prometheus is to be told.
#[derive(Debug, Clone)]
pub struct Prometheus {
    /// A file with `server.admin_token`, as Prometheus finds it.
    pub credentials_file: PathBuf,
}

impl Prometheus {
    /// Renders `prometheus.yml` and `figw-rules.yml`.
    ///
    /// # Errors
    /// When an address or a path cannot be written into the file.
    pub fn render(&self, config: &Config) -> Result<Vec<GeneratedFile>, GenerateError> {
        let scrape = format!("{SCRAPE_HEAD}{}", yaml(&self.scrape(config)?)?);
        let rules = format!("{RULES_HEAD}{}", yaml(&rules::groups(config))?);
        Ok(vec![GeneratedFile::new("prometheus.yml", scrape), GeneratedFile::new(RULES, rules)])
    }

    fn scrape(&self, config: &Config) -> Result<Value, GenerateError> {
        let mut job = Map::new();
        job.insert("job_name".into(), "figw".into());
        if config.server.admin_token.is_some() {
            let file = self
                .credentials_file
                .to_str()
                .ok_or_else(|| GenerateError::new("--credentials-file must be a path in UTF-8"))?;
            let file = one_line("--credentials-file", file)?;
            job.insert(
                "authorization".into(),
                json!({ "type": "Bearer", "credentials_file": file }),
            );
        }
        job.insert("static_configs".into(), targets(config)?.into());
        Ok(json!({
            "global": { "scrape_interval": "15s", "evaluation_interval": "15s" },
            "rule_files": [RULES],
            "scrape_configs": [job],
        }))
    }
}

const SCRAPE_HEAD: &str = "\
# Prometheus for figw, made by `figw generate prometheus`. Where there is a Prometheus already, add the
# job to its scrape_configs and the rules to its rule_files. figw-metrics(7) lists the metrics.
";

const RULES_HEAD: &str = "\
# Alerts of figw, made by `figw generate prometheus`. `severity` is critical for what callers notice or
# soon will, and warning for what can wait for the morning.
";

/// Each instance under its own name; without any, the one that this configuration makes.
fn targets(config: &Config) -> Result<Vec<Value>, GenerateError> {
    if config.instances.is_empty() {
        let address = fleet::reachable(config.server.admin_listen);
        return Ok(vec![json!({ "targets": [address.to_string()] })]);
    }
    let instances = config.instances.iter().enumerate();
    instances
        .map(|(index, instance)| {
            target(&instance.name, instance.admin_url.as_url(), &format!("instances[{index}]"))
        })
        .collect()
}

fn target(name: &str, url: &Url, key: &str) -> Result<Value, GenerateError> {
    let missing = || GenerateError::new(format!("{key}.admin_url has no host or no port"));
    let (host, port) = url.host_str().zip(url.port_or_known_default()).ok_or_else(missing)?;
    let name = one_line(&format!("{key}.name"), name)?;
    let mut labels = Map::new();
    labels.insert("instance".into(), name.into());
    if url.scheme() != "http" {
        labels.insert("__scheme__".into(), url.scheme().into());
    }
    let path = url.path().trim_end_matches('/');
    if !path.is_empty() {
        labels.insert("__metrics_path__".into(), format!("{path}/metrics").into());
    }
    Ok(json!({ "targets": [format!("{host}:{port}")], "labels": labels }))
}

fn yaml(document: &Value) -> Result<String, GenerateError> {
    serde_yaml::to_string(document)
        .map_err(|error| GenerateError::new(format!("cannot be written as YAML: {error}")))
}
