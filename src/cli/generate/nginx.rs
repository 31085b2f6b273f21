//! `figw generate nginx`: nginx in front of the instances.

use std::path::PathBuf;

use clap::{Args, ValueEnum, builder::TypedValueParser};

use super::output::Destination;
use crate::{
    cli::{Color, Context, Failure, Outcome},
    ops::generate::{Color as Fleet, Nginx, NginxPart},
};

/// How two fleets are switched between, for `--help` and the manual.
pub(super) const SWITCHING: &str = "\
Blue and green: run two fleets and switch between them. An instance belongs to the fleet whose word
is in its name (instances: gw1-blue, gw1-green). Once:

  figw generate nginx --part site --server-name figw.example.org > /etc/nginx/conf.d/figw.conf
  figw generate nginx --color blue > /etc/nginx/conf.d/figw-upstream.conf
  nginx -t && nginx -s reload

For each release: bring the new version up on green and wait until it is ready; then switch. nginx
finishes on blue what it has begun there. Back again is the same with blue.

  figw health --wait --timeout 2m --url http://gw1-green:8000
  figw generate nginx --color green > /etc/nginx/conf.d/figw-upstream.conf
  nginx -t && nginx -s reload";

/// Arguments of `generate nginx`.
#[derive(Debug, Args)]
pub struct NginxArgs {
    /// Name of the site, such as figw.example.org; repeatable [default: every name]
    #[arg(long = "server-name", value_name = "NAME")]
    server_names: Vec<String>,
    /// PEM file with the certificate and its chain
    #[arg(long, value_name = "PATH", default_value = "/etc/ssl/figw/fullchain.pem")]
    certificate: PathBuf,
    /// PEM file with the certificate's key
    #[arg(long, value_name = "PATH", default_value = "/etc/ssl/figw/privkey.pem")]
    certificate_key: PathBuf,
    /// Serve plain HTTP, where something in front speaks TLS
    #[arg(long, conflicts_with_all = ["certificate", "certificate_key", "https_port"])]
    plain_http: bool,
    /// Port for TLS
    #[arg(long, value_name = "PORT", default_value_t = 443, value_parser = clap::value_parser!(u16).range(1..))]
    https_port: u16,
    /// Port for plain HTTP, which leads to TLS
    #[arg(long, value_name = "PORT", default_value_t = 80, value_parser = clap::value_parser!(u16).range(1..))]
    http_port: u16,
    /// Listen on IPv4 addresses alone, where the kernel has no others
    #[arg(long)]
    ipv4_only: bool,
    /// Access log, or `off`
    #[arg(long, value_name = "PATH", default_value = "/var/log/nginx/figw.log")]
    access_log: PathBuf,
    /// Authorities of the instances' own certificates, where their URLs begin with https://
    #[arg(long, value_name = "PATH", default_value = "/etc/ssl/certs/ca-certificates.crt")]
    authorities: PathBuf,
    /// Which part of the file to print
    #[arg(long, value_enum, default_value_t, value_name = "PART")]
    part: Part,
    // The same option as the one for terminals, with two values more: clap knows an option by its
    // name alone.
    /// blue or green: print the upstreams of that fleet alone, whose instances have the word in
    /// their name. auto, always and never mean colours on standard error, as everywhere
    #[arg(id = "color", long = "color", value_name = "FLEET", value_parser = fleet_or_when())]
    color: Option<Color>,
    #[command(flatten)]
    destination: Destination,
}

/// Which part of the file to print.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Everything.
    #[default]
    All,
    /// The servers without their upstreams, which stand in a file of their own.
    Site,
    /// The upstreams alone.
    Upstream,
}

fn fleet_or_when() -> impl TypedValueParser<Value = Color> {
    Color::parser(|_| true)
}

impl NginxArgs {
    /// Prints the file.
    ///
    /// # Errors
    /// When the configuration is wrong, or something in it cannot be written into the file.
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let config = context.config()?.config;
        let color = match self.color {
            Some(Color::Blue) => Some(Fleet::Blue),
            Some(Color::Green) => Some(Fleet::Green),
            _ => None,
        };
        let part = match (self.part, color) {
            (Part::Site, Some(_)) => {
                return Err(Failure::usage(
                    "--part site is the same for blue and green; leave --color away",
                ));
            }
            (_, Some(color)) => NginxPart::Upstream(Some(color)),
            (Part::All, None) => NginxPart::All,
            (Part::Site, None) => NginxPart::Site,
            (Part::Upstream, None) => NginxPart::Upstream(None),
        };
        if !matches!(part, NginxPart::Upstream(_)) && config.server.trusted_proxies.is_empty() {
            tracing::warn!(
                "server.trusted_proxies is empty, so figw takes nginx for every caller; set it to nginx's \
                 address"
            );
        }
        let nginx = Nginx {
            part,
            server_names: self.server_names,
            certificate: (!self.plain_http).then_some((self.certificate, self.certificate_key)),
            authorities: self.authorities,
            https_port: self.https_port,
            http_port: self.http_port,
            ipv4_only: self.ipv4_only,
            access_log: Some(self.access_log).filter(|path| path.as_os_str() != "off"),
        };
        let file = nginx.render(&config).map_err(Failure::usage)?;
        self.destination.deliver(context, &[file])
    }
}
