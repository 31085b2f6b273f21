//! nginx in front of the instances.

use std::{net::IpAddr, path::PathBuf};

use super::{
    GenerateError, GeneratedFile, Instances,
    fleet::Public,
    plain_path, seconds,
    template::{fill, lines},
};
use crate::config::Config;

/// Where Debian keeps the authorities that everybody trusts.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Which part of the whole to render.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NginxPart {
    /// Everything, for one file.
    All,
    /// The servers alone; their upstreams stand in another file.
    Site,
    /// The upstreams alone.
    Upstream(Option<super::Color>),
}

/// What nginx is to be told.
#[derive(Debug, Clone)]
pub struct Nginx {
    /// The part to render.
    pub part: NginxPart,
    /// Names of the site; all when empty.
    pub server_names: Vec<String>,
    /// PEM files with the certificate and its key; none when something in front speaks TLS.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Authorities that the instances' own certificates must come from.
    pub authorities: PathBuf,
    /// Port for TLS.
    pub https_port: u16,
    /// Port for plain HTTP: redirected, or served when there is no certificate.
    pub http_port: u16,
    /// Listen on IPv4 addresses alone.
    pub ipv4_only: bool,
    /// The access log; none when there is to be none.
    pub access_log: Option<PathBuf>,
}

impl Default for Nginx {
    fn default() -> Self {
        Self {
            part: NginxPart::All,
            server_names: Vec::new(),
            certificate: None,
            authorities: AUTHORITIES.into(),
            https_port: 443,
            http_port: 80,
            ipv4_only: false,
            access_log: None,
        }
    }
}

impl Nginx {
    /// Renders the part.
    ///
    /// # Errors
    /// When an instance, name or path cannot be written into the file.
    pub fn render(&self, config: &Config) -> Result<GeneratedFile, GenerateError> {
        if config.server.proxy_protocol {
            return Err(GenerateError::new(
                "server.proxy_protocol is set, but nginx has no PROXY header for HTTP; turn it off: nginx \
                 says in X-Forwarded-For whose a request is",
            ));
        }
        let color = if let NginxPart::Upstream(color) = self.part { color } else { None };
        let instances = Instances::of(config, color)?;
        let upstream = || upstream(&instances, color);
        Ok(match self.part {
            NginxPart::All => {
                let head = "# figw behind nginx, made by `figw generate nginx`, for /etc/nginx/conf.d/figw.conf.\n\n";
                let room = main_configuration(config);
                let content =
                    format!("{head}{room}{}\n{}", upstream(), self.site(config, &instances)?);
                GeneratedFile::new("figw.conf", content)
            }
            NginxPart::Site => {
                let head = "# figw behind nginx, made by `figw generate nginx --part site`, for /etc/nginx/conf.d/figw.conf.\n\
                     # The upstreams stand in a file beside it: `figw generate nginx --color blue`.\n\n";
                GeneratedFile::new(
                    "figw.conf",
                    format!(
                        "{head}{}{}",
                        main_configuration(config),
                        self.site(config, &instances)?
                    ),
                )
            }
            NginxPart::Upstream(_) => {
                let head = "# Made by `figw generate nginx`, for /etc/nginx/conf.d/figw-upstream.conf.\n\n";
                GeneratedFile::new("figw-upstream.conf", format!("{head}{}", upstream()))
            }
        })
    }

    /// The name that is in every instance's certificate. nginx looks for one alone, and for no
    /// address.
    fn name_of_instances<'a>(&'a self, instances: &'a Instances) -> Result<&'a str, GenerateError> {
        if let Some(name) = self.server_names.first() {
            return Ok(name);
        }
        let mut hosts = instances.all.iter().map(|public| public.host.as_str());
        let first = hosts.next().unwrap_or_default();
        let is_address = first.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        if is_address || hosts.any(|host| host != first) {
            return Err(GenerateError::new(
                "the instances speak TLS; give --server-name with the name that is in all of their \
                 certificates",
            ));
        }
        Ok(first)
    }

    fn site(&self, config: &Config, instances: &Instances) -> Result<String, GenerateError> {
        let names = self.names()?;
        let scheme = if instances.tls { "https" } else { "http" };
        let server = &config.server;
        let access_log = match &self.access_log {
            Some(path) => format!("{} figw", plain_path("--access-log", path)?),
            None => "off".to_owned(),
        };
        let upstream_tls = if instances.tls {
            if server.tls.client_ca.is_some() {
                return Err(GenerateError::new(
                    "server.tls.client_ca is set, and nginx has no certificate to show to instances; \
                     let nginx ask clients for theirs, and leave it out here",
                ));
            }
            let name = self.name_of_instances(instances)?;
            let authorities = plain_path("--authorities", &self.authorities)?;
            let template = include_str!("templates/nginx-upstream-tls.conf");
            fill(template, &[("name", name), ("authorities", authorities)])
        } else {
            String::new()
        };
        let (tls, redirect, listen, proto) = match &self.certificate {
            Some((certificate, key)) => (
                fill(
                    include_str!("templates/nginx-tls.conf"),
                    &[
                        ("certificate", plain_path("--certificate", certificate)?),
                        ("key", plain_path("--certificate-key", key)?),
                    ],
                ),
                self.redirect(&names),
                format!("{HTTP2}\n{}", self.listen(self.https_port, " ssl http2")),
                "https",
            ),
            // What stands in front of nginx is not known here.
            None => (String::new(), String::new(), self.listen(self.http_port, ""), "$scheme"),
        };
        let template = include_str!("templates/nginx-site.conf");
        Ok(fill(
            template,
            &[
                ("redirect", &redirect),
                ("listen", &listen),
                ("names", &names),
                ("access_log", &access_log),
                ("tls", &tls),
                ("max_body", &server.max_body_bytes.to_string()),
                ("header_timeout", &seconds(server.header_timeout).to_string()),
                ("body_timeout", &seconds(server.body_timeout).to_string()),
                ("proto", proto),
                ("upstream_tls", &upstream_tls),
                ("send_timeout", &seconds(server.body_timeout).to_string()),
                ("read_timeout", &(seconds(config.gateway.request_timeout) + 30).to_string()),
                ("scheme", scheme),
            ],
        ))
    }

    fn redirect(&self, names: &str) -> String {
        let port = match self.https_port {
            443 => String::new(),
            port => format!(":{port}"),
        };
        let listen = self.listen(self.http_port, "");
        let values = [("listen", listen.as_str()), ("names", names), ("port", &port)];
        fill(include_str!("templates/nginx-redirect.conf"), &values)
    }

    fn listen(&self, port: u16, how: &str) -> String {
        let ipv4 = format!("listen {port}{how};");
        if self.ipv4_only { ipv4 } else { format!("{ipv4}\nlisten [::]:{port}{how};") }
    }

    fn names(&self) -> Result<String, GenerateError> {
        let is_fit = |c: char| c.is_ascii_alphanumeric() || "._-*".contains(c);
        for name in &self.server_names {
            if name.is_empty() || !name.chars().all(is_fit) {
                return Err(GenerateError::new(format!(
                    "--server-name: {name:?} is not the name of a site, such as figw.example.org"
                )));
            }
        }
        Ok(if self.server_names.is_empty() { "_".into() } else { self.server_names.join(" ") })
    }
}

/// Why nginx may complain.
const HTTP2: &str = "\
# From version 1.25 on nginx prefers `http2 on;` and says so; older ones know this form alone.";

/// What belongs into a file that is not figw's.
fn main_configuration(config: &Config) -> String {
    let instances = u64::try_from(config.instances.len().max(1)).unwrap_or(u64::MAX);
    let most = u64::from(config.server.max_connections).saturating_mul(instances);
    // A caller's connection and the one to an instance.
    let connections = most.saturating_mul(2).clamp(1024, MOST_CONNECTIONS);
    format!(
        "# Each request takes two of nginx's connections for as long as it lasts; Debian's 768 are soon gone.\n\
         # In /etc/nginx/nginx.conf (for each of its workers, so this has room to spare):\n\
         #   worker_rlimit_nofile {};\n\
         #   events {{ worker_connections {connections}; }}\n\n",
        connections * 2
    )
}

/// Memory is set aside for each.
const MOST_CONNECTIONS: u64 = 65_536;

/// Why every instance is in its upstream twice.
const BACKUP: &str = "\
# Before all are left out, each is asked again: when they are restarted one after the other, the first
# is back before its moment is over.";

fn upstream(instances: &Instances, color: Option<super::Color>) -> String {
    let servers = |how: &str| {
        let line = |public: &Public| format!("server {} {how};", public.address);
        lines(instances.all.iter().map(line))
    };
    let backup = match instances.all.len() {
        // nginx never leaves out the only one.
        1 => String::new(),
        _ => format!("{BACKUP}\n{}", servers("max_fails=0 backup")),
    };
    let which = color.map(|color| format!(" that are {}", color.word())).unwrap_or_default();
    fill(
        include_str!("templates/nginx-upstream.conf"),
        &[
            ("which", &which),
            ("servers", &servers("max_fails=3 fail_timeout=3s")),
            ("backup", &backup),
            ("others", &servers("max_fails=0")),
        ],
    )
}
