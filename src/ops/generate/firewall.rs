//! Who may reach which port.

use std::{collections::BTreeSet, net::IpAddr};

use url::Host;

use super::{GenerateError, GeneratedFile, fleet::host_and_port, template::fill};
use crate::config::{Config, HttpUrl, Network};

/// The program that the rules are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirewallTool {
    /// A table for nftables.
    Nftables,
    /// A script that calls ufw.
    Ufw,
    /// A script that calls firewall-cmd.
    Firewalld,
}

/// What the firewall is to let through.
#[derive(Debug, Clone)]
pub struct Firewall {
    /// The program that the rules are for.
    pub tool: FirewallTool,
    /// Ports open to everybody; from the configuration when empty.
    pub public_ports: Vec<u16>,
    /// Networks, besides the instances, that may reach the admin listener.
    pub admin_from: Vec<Network>,
}

/// The rules, whatever they are written for.
#[derive(Debug)]
struct Rules {
    open: BTreeSet<u16>,
    /// figw's own listeners for users, where only proxies may reach them.
    behind_proxies: BTreeSet<u16>,
    proxies: Vec<String>,
    admin: u16,
    operators: Vec<String>,
}

impl Firewall {
    /// Renders the rules, and says which instances' names a firewall cannot be given.
    ///
    /// # Errors
    /// When a port is open and closed at once.
    pub fn render(&self, config: &Config) -> Result<(GeneratedFile, Vec<String>), GenerateError> {
        let (addresses, names) = instances(config);
        let rules = self.rules(config, &addresses)?;
        let file = match self.tool {
            FirewallTool::Nftables => GeneratedFile::new("figw.nft", rules.nftables()),
            FirewallTool::Ufw => GeneratedFile::new("figw-ufw.sh", rules.ufw()),
            FirewallTool::Firewalld => GeneratedFile::new("figw-firewalld.sh", rules.firewalld()),
        };
        Ok((file, names))
    }

    fn rules(&self, config: &Config, addresses: &[String]) -> Result<Rules, GenerateError> {
        let server = &config.server;
        let admin = server.admin_listen.port();
        let is_behind = server.listen.ip().is_loopback() || !server.trusted_proxies.is_empty();
        let redirect = server.redirect_http.map(|address| address.port());
        let own: BTreeSet<u16> = std::iter::once(server.listen.port()).chain(redirect).collect();
        let open: BTreeSet<u16> = match (&self.public_ports[..], is_behind) {
            ([], false) => own.clone(),
            // nginx's, unless they are what the proxies are to reach.
            ([], true) => &BTreeSet::from([80, 443]) - &own,
            (ports, _) => ports.iter().copied().collect(),
        };
        if open.contains(&admin) {
            return Err(GenerateError::new(format!(
                "--public-port {admin} is the port of server.admin_listen, which users never need to reach"
            )));
        }
        let operators = self.admin_from.iter().map(ToString::to_string);
        let proxies = server.trusted_proxies.iter().map(ToString::to_string);
        let behind_proxies = if is_behind { &own - &open } else { BTreeSet::new() };
        Ok(Rules {
            open,
            behind_proxies,
            proxies: sorted(proxies.chain(addresses.iter().cloned())),
            admin,
            operators: sorted(operators.chain(addresses.iter().cloned())),
        })
    }
}

fn sorted(all: impl Iterator<Item = String>) -> Vec<String> {
    let all: BTreeSet<_> = all.filter(|network| !is_loopback(network)).collect();
    all.into_iter().collect()
}

/// The machine itself gets through anyway.
fn is_loopback(network: &str) -> bool {
    let address = network.split('/').next().unwrap_or_default();
    address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_ipv6(network: &str) -> bool {
    network.contains(':')
}

/// The instances' addresses, and those of their hosts that are names.
fn instances(config: &Config) -> (Vec<String>, Vec<String>) {
    let (mut addresses, mut names) = (BTreeSet::new(), BTreeSet::new());
    let urls = config.instances.iter().flat_map(|instance| [&instance.url, &instance.admin_url]);
    for (host, _) in urls.map(HttpUrl::as_url).filter_map(host_and_port) {
        match host {
            Host::Ipv4(ip) => addresses.insert(ip.to_string()),
            Host::Ipv6(ip) => addresses.insert(ip.to_string()),
            Host::Domain("localhost") => false,
            Host::Domain(name) => names.insert(name.to_owned()),
        };
    }
    (addresses.into_iter().collect(), names.into_iter().collect())
}

impl Rules {
    fn nftables(&self) -> String {
        let elements = |networks: &[String], v6: bool| {
            let fitting: Vec<_> = networks
                .iter()
                .filter(|network| is_ipv6(network) == v6)
                .map(String::as_str)
                .collect();
            if fitting.is_empty() {
                return String::new();
            }
            format!("elements = {{ {} }}", fitting.join(", "))
        };
        let admin = self.admin;
        let mut rules = vec![
            "# Metrics, drain, reload.".to_owned(),
            format!("tcp dport {admin} ip saddr @operators4 accept"),
            format!("tcp dport {admin} ip6 saddr @operators6 accept"),
            format!("tcp dport {admin} counter drop"),
        ];
        for port in &self.behind_proxies {
            rules.extend([
                "# Whoever goes round the proxy goes round its TLS.".to_owned(),
                format!("tcp dport {port} ip saddr @proxies4 accept"),
                format!("tcp dport {port} ip6 saddr @proxies6 accept"),
                format!("tcp dport {port} counter drop"),
            ]);
        }
        let open: Vec<_> = self.open.iter().map(u16::to_string).collect();
        if !open.is_empty() {
            rules.push("# Open to everybody.".to_owned());
            rules.push(format!("tcp dport {{ {} }} accept", open.join(", ")));
        }
        fill(
            include_str!("templates/figw.nft"),
            &[
                ("operators4", &elements(&self.operators, false)),
                ("operators6", &elements(&self.operators, true)),
                ("proxies4", &elements(&self.proxies, false)),
                ("proxies6", &elements(&self.proxies, true)),
                ("rules", &rules.join("\n")),
            ],
        )
    }

    fn ufw(&self) -> String {
        let mut lines = vec![
            "#!/bin/sh".to_owned(),
            "# figw's ports, made by `figw generate firewall --tool ufw`; run it as root. ufw takes the first"
                .to_owned(),
            "# rule that fits and lets the machine itself through; what is there already is skipped.".to_owned(),
            "set -eu".to_owned(),
        ];
        let allow = |port: u16, from: &str, why: &str| {
            format!("ufw allow proto tcp from {from} to any port {port} comment 'figw: {why}'")
        };
        lines.extend(self.open.iter().map(|port| allow(*port, "any", "users")));
        lines.extend(self.operators.iter().map(|from| allow(self.admin, from, "operators")));
        let deny = |port: u16, why: &str| {
            format!("ufw deny proto tcp from any to any port {port} comment 'figw: {why}'")
        };
        lines.push(deny(self.admin, "operators"));
        for port in &self.behind_proxies {
            lines.extend(self.proxies.iter().map(|from| allow(*port, from, "proxies")));
            lines.push(deny(*port, "proxies"));
        }
        lines.join("\n") + "\n"
    }

    fn firewalld(&self) -> String {
        let mut lines = vec![
            "#!/bin/sh".to_owned(),
            "# figw's ports, made by `figw generate firewall --tool firewalld`; run it as root. The default zone"
                .to_owned(),
            "# closes what is not opened here; the machine itself always gets through.".to_owned(),
            "set -eu".to_owned(),
        ];
        let open = |port: &u16| format!("firewall-cmd --permanent --add-port={port}/tcp");
        let rich = |port: u16, from: &str| {
            let family = if is_ipv6(from) { "ipv6" } else { "ipv4" };
            format!(
                "firewall-cmd --permanent --add-rich-rule='rule family=\"{family}\" source \
                 address=\"{from}\" port port=\"{port}\" protocol=\"tcp\" accept'"
            )
        };
        lines.extend(self.open.iter().map(open));
        lines.extend(self.operators.iter().map(|from| rich(self.admin, from)));
        for port in &self.behind_proxies {
            lines.extend(self.proxies.iter().map(|from| rich(*port, from)));
        }
        lines.push("firewall-cmd --reload".to_owned());
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(yaml: &str, ports: &[u16]) -> Result<Rules, GenerateError> {
        let config =
            Config::load_from(Some(("f".into(), yaml.as_bytes().to_vec())), []).unwrap().config;
        let firewall = Firewall {
            tool: FirewallTool::Nftables,
            public_ports: ports.to_vec(),
            admin_from: vec!["192.0.2.0/24".parse().unwrap()],
        };
        firewall.rules(&config, &instances(&config).0)
    }

    #[test]
    fn the_admin_listener_is_for_instances_and_whoever_was_named() {
        let rules = rules(
            "instances:\n- {name: a, url: 'http://10.0.0.1:1', admin_url: 'http://localhost:2'}\n\
             - {name: b, url: 'http://[fd00::1]:1', admin_url: 'http://gw2:2'}\n",
            &[],
        )
        .unwrap();
        assert_eq!(rules.operators, ["10.0.0.1", "192.0.2.0/24", "fd00::1"]);
        assert_eq!((rules.admin, rules.behind_proxies), (8001, BTreeSet::from([8000])));
        assert_eq!(rules.open.into_iter().collect::<Vec<_>>(), [80, 443]);
    }

    #[test]
    fn nobody_goes_round_a_proxy_that_stands_elsewhere() {
        let yaml = "server: {listen: '0.0.0.0:443', redirect_http: '0.0.0.0:80',
                   tls: {certificate: a, key: b}, trusted_proxies: [10.0.0.1]}";
        let rules = rules(yaml, &[]).unwrap();
        assert_eq!((&rules.open, &rules.behind_proxies), (&BTreeSet::new(), &[80, 443].into()));
        assert!(!rules.ufw().contains("from any to any port 443 comment 'figw: users'"));
        assert!(!rules.nftables().contains("Open to everybody"));
    }

    #[test]
    fn figw_itself_is_open_when_it_stands_in_front() {
        let rules = rules("server: {listen: '0.0.0.0:8000'}", &[]).unwrap();
        assert!(rules.open.contains(&8000) && rules.behind_proxies.is_empty(), "{rules:?}");
        let error = super::tests::rules("{}", &[8001]).unwrap_err().to_string();
        assert!(error.contains("server.admin_listen"), "{error}");
    }
}
