//! Everything on one host, for Docker Compose.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{
    GenerateError, GeneratedFile, Nginx,
    contained::{ADMIN_PORT, Contained, PORT, USER, image, quoted},
    descriptors, seconds_to_stop,
    template::{fill, lines},
};
use crate::config::{Config, Instance, Network};

/// Where Compose shows a service its secrets.
const SECRETS: &str = "/run/secrets";

/// The most instances on one host.
const MOST: usize = 100;

/// The first instance's place in the network; lower ones are for what Docker numbers itself.
const FIRST_HOST: usize = 100;

/// What Compose is to be told.
#[derive(Debug, Clone)]
pub struct Compose {
    /// figw's image.
    pub image: String,
    /// How many instances; as many as are configured when not given, but at least two.
    pub instances: Option<usize>,
    /// Names of the site.
    pub server_names: Vec<String>,
    /// Addresses of nginx and the instances.
    pub subnet: Ipv4Net,
}

impl Compose {
    /// Renders `compose.yaml` and the files beside it.
    ///
    /// # Errors
    /// When there would be too many instances, or a name cannot be written into a file.
    pub fn render(&self, config: &Config) -> Result<Vec<GeneratedFile>, GenerateError> {
        let count = self.instances.unwrap_or_else(|| config.instances.len().max(2));
        if !(1..=MOST).contains(&count) {
            return Err(GenerateError::new(format!("--instances must be 1 to {MOST}")));
        }
        let addresses: Vec<Ipv4Addr> =
            self.subnet.hosts().skip(FIRST_HOST - 1).take(count).collect();
        if addresses.len() < count {
            return Err(GenerateError::new(format!(
                "--subnet {} has no room for {count} instances; a /24 has",
                self.subnet
            )));
        }
        let contained = self.contained(config, count)?;
        let nginx = Nginx {
            server_names: self.server_names.clone(),
            certificate: Some((
                format!("{SECRETS}/tls_certificate").into(),
                format!("{SECRETS}/tls_key").into(),
            )),
            access_log: Some("/dev/stdout".into()),
            ..Nginx::default()
        };
        let head = "# figw in a container, made by `figw generate compose`. Secrets are files, see compose.yaml.\n";
        Ok(vec![
            GeneratedFile::new("compose.yaml", self.yaml(&contained, &addresses)?),
            GeneratedFile::new("config.yaml", format!("{head}{}", contained.yaml()?)),
            GeneratedFile::new("nginx.conf", nginx.render(&contained.config)?.content),
            GeneratedFile::new(
                "Dockerfile",
                fill(include_str!("templates/Dockerfile"), &[("uid", &USER.to_string())]),
            ),
        ])
    }

    /// The configuration with what Compose brings instead of what is configured.
    fn contained(&self, config: &Config, count: usize) -> Result<Contained, GenerateError> {
        let mut config = config.clone();
        config.database.migration_url = None;
        config.database.read_replicas.clear();
        config.backup.replication_url = None;
        let proxies: Network = self.subnet.to_string().parse().map_err(GenerateError::new)?;
        config.server.trusted_proxies = vec![proxies];
        config.server.proxy_protocol = false;
        config.instances.clear();
        for number in 1..=count {
            let url = |port| {
                format!("http://{}:{port}", name(number)).parse().map_err(GenerateError::new)
            };
            config.instances.push(Instance {
                name: name(number),
                url: url(PORT)?,
                admin_url: url(ADMIN_PORT)?,
                // In a container there is nothing to restart the others with.
                restart: Vec::new(),
            });
        }
        Ok(Contained::new(&config, SECRETS, true))
    }

    fn yaml(&self, contained: &Contained, addresses: &[Ipv4Addr]) -> Result<String, GenerateError> {
        let config = &contained.config;
        let server = &config.server;
        let names: Vec<String> = (1..=addresses.len()).map(name).collect();
        let port = PORT.to_string();
        let instance = |(name, address): (&String, &Ipv4Addr)| {
            let address = address.to_string();
            let values = [("name", name.as_str()), ("address", &address), ("port", &port)];
            fill(include_str!("templates/compose-instance.yaml"), &values)
        };
        let instances: Vec<_> = names.iter().zip(addresses).map(instance).collect();
        let of_others = ["postgres_password", "redis_password", "tls_certificate", "tls_key"];
        let described = ["cache.redis_url", "database.url", "server.admin_token"];
        let secrets = contained.secrets.iter().map(String::as_str);
        let more: Vec<_> = secrets.clone().filter(|name| !described.contains(name)).collect();
        let secret_file =
            |name: &str| format!("{name}: {{file: {}}}", quoted(&format!("./secrets/{name}")));
        let of_figw = u64::from(config.database.max_connections) * names.len() as u64;
        let values = [
            (
                "more_secrets",
                if more.is_empty() { "nothing more".to_owned() } else { more.join(", ") },
            ),
            ("image", quoted(image(&self.image)?)),
            ("uid", USER.to_string()),
            ("figw_secrets", lines(secrets.clone().map(|name| format!("- {name}")))),
            ("stop", seconds_to_stop(server).to_string()),
            ("files", descriptors(server).to_string()),
            ("connections", (of_figw + 50).max(100).to_string()),
            ("instances", instances.join("\n").trim_end().to_owned()),
            (
                "nginx_waits",
                lines(names.iter().map(|name| format!("{name}: {{condition: service_healthy}}"))),
            ),
            ("secrets", lines(of_others.into_iter().chain(secrets).map(secret_file))),
            ("volumes", lines(names.iter().map(|name| format!("{name}-state:")))),
            ("subnet", self.subnet.to_string()),
        ];
        let values = values.each_ref().map(|(name, value)| (*name, value.as_str()));
        Ok(fill(include_str!("templates/compose.yaml"), &values))
    }
}

fn name(number: usize) -> String {
    format!("figw-{number}")
}
