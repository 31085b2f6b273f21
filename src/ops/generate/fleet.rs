//! The instances, as other programs reach them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::{Host, Url};

use super::GenerateError;
use crate::config::{Config, HttpUrl};

/// One of two fleets of which one serves, for switching between releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// The instances whose names hold the word `blue`.
    Blue,
    /// The instances whose names hold the word `green`.
    Green,
}

impl Color {
    /// The word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Green => "green",
        }
    }

    /// Whether an instance of this name is one of the fleet's: `gw1-blue`, `blue.gw1`, `blue`.
    fn is_in(self, name: &str) -> bool {
        name.split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| word.eq_ignore_ascii_case(self.word()))
    }
}

/// The public listener of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Public {
    /// `HOST:PORT`.
    pub(super) address: String,
    /// The host alone, as a certificate has it.
    pub(super) host: String,
}

/// The public listeners that one upstream has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instances {
    /// At least one.
    pub(super) all: Vec<Public>,
    /// Whether they speak TLS.
    pub(super) tls: bool,
}

impl Instances {
    /// The configured instances, of one color if given; without any, the one that this
    /// configuration makes.
    ///
    /// # Errors
    /// When no instance has that color, or an address cannot be one of an upstream.
    pub fn of(config: &Config, color: Option<Color>) -> Result<Self, GenerateError> {
        if config.instances.is_empty() && color.is_none() {
            let address = reachable(config.server.listen);
            let host = address.ip().to_string();
            let public = Public { address: address.to_string(), host };
            return Ok(Self { all: vec![public], tls: config.server.tls.is_set() });
        }
        let wanted = |name: &str| color.is_none_or(|color| color.is_in(name));
        let mut all = Vec::new();
        let mut is_tls = Vec::new();
        for (index, instance) in config.instances.iter().enumerate() {
            if wanted(&instance.name) {
                all.push(public(&instance.url, &format!("instances[{index}].url"))?);
                is_tls.push(instance.url.as_url().scheme() == "https");
            }
        }
        let Some(&tls) = is_tls.first() else {
            let word = color.map_or("", Color::word);
            return Err(GenerateError::new(format!(
                "no instance is {word}: an instance belongs to the color whose word is in its name, \
                 such as {{name: gw1-{word}, …}} in instances"
            )));
        };
        if is_tls.contains(&!tls) {
            return Err(GenerateError::new(
                "instances: some URLs begin with https:// and some with http://; nginx speaks one of \
                 them with all instances",
            ));
        }
        Ok(Self { all, tls })
    }
}

fn public(url: &HttpUrl, key: &str) -> Result<Public, GenerateError> {
    let url = url.as_url();
    if url.path() != "/" || url.query().is_some() {
        return Err(GenerateError::new(format!("{key} must be an address without a path")));
    }
    let (host, port) = host_and_port(url)
        .ok_or_else(|| GenerateError::new(format!("{key} must have a host and a port")))?;
    let host = host.to_string();
    let address = format!("{host}:{port}");
    Ok(Public { address, host: host.trim_matches(['[', ']']).to_owned() })
}

/// The host and the port that a URL leads to.
pub(super) fn host_and_port(url: &Url) -> Option<(Host<&str>, u16)> {
    Some((url.host()?, url.port_or_known_default()?))
}

/// Where a listener on all addresses is reached on its own machine.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(yaml: &str) -> Config {
        Config::load_from(Some(("f".into(), yaml.as_bytes().to_vec())), []).unwrap().config
    }

    fn addresses(config: &Config, color: Option<Color>) -> Vec<String> {
        let instances = Instances::of(config, color).unwrap();
        instances.all.into_iter().map(|public| public.address).collect()
    }

    #[test]
    fn a_color_is_a_word_of_the_name() {
        for name in ["blue", "gw1-blue", "blue.gw1", "GW_Blue_2"] {
            assert!(Color::Blue.is_in(name), "{name}");
        }
        for name in ["bluebell", "gw1", "green"] {
            assert!(!Color::Blue.is_in(name), "{name}");
        }
    }

    #[test]
    fn an_upstream_has_all_instances_or_those_of_one_color() {
        let fleet = config(
            "instances:\n- {name: a-blue, url: 'http://10.0.0.1:8000', admin_url: 'http://10.0.0.1:1'}\n\
             - {name: a-green, url: 'http://[fd00::1]:8100', admin_url: 'http://10.0.0.1:2'}\n",
        );
        assert_eq!(addresses(&fleet, None), ["10.0.0.1:8000", "[fd00::1]:8100"]);
        assert_eq!(addresses(&fleet, Some(Color::Green)), ["[fd00::1]:8100"]);
        let alone = config("server: {listen: '0.0.0.0:9000'}");
        assert_eq!(addresses(&alone, None), ["127.0.0.1:9000"]);
        let none = Instances::of(&alone, Some(Color::Blue)).unwrap_err().to_string();
        assert!(none.contains("gw1-blue"), "{none}");
    }

    #[test]
    fn what_nginx_could_not_do_is_refused() {
        for (urls, why) in [
            (["http://a:1", "https://b:2"], "one of them"),
            (["http://a:1/x", "http://b:2"], "instances[0].url must be an address without"),
        ] {
            let yaml = format!(
                "instances:\n- {{name: a, url: '{}', admin_url: 'http://a:9'}}\n\
                 - {{name: b, url: '{}', admin_url: 'http://b:9'}}\n",
                urls[0], urls[1]
            );
            let error = Instances::of(&config(&yaml), None).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
