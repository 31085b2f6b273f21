//! figw as a service of systemd.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use url::Host;

use super::{GenerateError, GeneratedFile, descriptors, one_line, seconds_to_stop, template::fill};
use crate::{
    config::Config,
    domain::{SecretSource, secret::SecretReference},
    store::Location,
};

/// Where systemd shows a service its credentials.
const CREDENTIALS: &str = "/run/credentials/figw.service/";

/// Where the service's own directory is: relative paths begin here.
const STATE: &str = "/var/lib/figw";

/// What systemd is to be told.
#[derive(Debug, Clone)]
pub struct Systemd {
    /// This program.
    pub program: PathBuf,
    /// The configuration file; none where the built-in places are meant.
    pub config_file: Option<PathBuf>,
    /// Whose process it is.
    pub user: String,
}

impl Systemd {
    /// Renders `figw.service` and its socket units.
    ///
    /// # Errors
    /// When a path cannot be written into a unit.
    pub fn render(&self, config: &Config) -> Result<Vec<GeneratedFile>, GenerateError> {
        let service = self.service(config)?;
        let mut files = vec![GeneratedFile::new("figw.service", service)];
        files.extend(sockets(config).map(Socket::render));
        Ok(files)
    }

    fn service(&self, config: &Config) -> Result<String, GenerateError> {
        let server = &config.server;
        let mut command = vec![word_of_command(&self.program)?];
        if let Some(file) = &self.config_file {
            command.extend(["--config".to_owned(), word_of_command(file)?]);
        }
        // systemd opens the public listener; the admin listener is figw's own.
        let (bounding, ambient) = if server.admin_listen.port() < 1024 {
            ("CAP_NET_BIND_SERVICE", "AmbientCapabilities=CAP_NET_BIND_SERVICE")
        } else {
            ("", "")
        };
        let home = if self.uses_homes(config) { "read-only" } else { "yes" };
        let values = [
            ("user", self.user.clone()),
            ("sockets", sockets(config).map(|socket| socket.unit).collect::<Vec<_>>().join(" ")),
            ("after", after(config)),
            ("command", command.join(" ")),
            ("stop", seconds_to_stop(server).to_string()),
            ("files", descriptors(server).to_string()),
            ("logs", logs(config)?),
            ("writable", writable(config)?),
            ("credentials", credentials(config)?),
            ("environment", environment(config)),
            ("capabilities", bounding.to_owned()),
            ("ambient", ambient.to_owned()),
            ("home", home.to_owned()),
        ];
        let values = values.each_ref().map(|(name, value)| (*name, value.as_str()));
        Ok(fill(include_str!("templates/figw.service"), &values))
    }

    /// Whether something that figw reads is in a home directory, which would otherwise be hidden.
    fn uses_homes(&self, config: &Config) -> bool {
        let mut paths: Vec<PathBuf> = vec![self.program.clone()];
        paths.extend(self.config_file.clone());
        paths.extend(written(config));
        let tls = &config.server.tls;
        paths.extend([&tls.certificate, &tls.key, &tls.client_ca].into_iter().flatten().cloned());
        paths.extend(secret_files(config).map(PathBuf::from));
        paths
            .iter()
            .any(|path| ["/home", "/root", "/run/user"].iter().any(|home| path.starts_with(home)))
    }
}

/// A listener that systemd opens.
struct Socket {
    unit: &'static str,
    /// What figw knows it by.
    role: &'static str,
    key: &'static str,
    address: SocketAddr,
}

/// Those of users. The admin listener is figw's own: nobody waits for it.
fn sockets(config: &Config) -> impl Iterator<Item = Socket> {
    let server = &config.server;
    let redirect = server.redirect_http.map(|address| Socket {
        unit: "figw-redirect.socket",
        role: "redirect",
        key: "server.redirect_http",
        address,
    });
    let public = Socket {
        unit: "figw.socket",
        role: "public",
        key: "server.listen",
        address: server.listen,
    };
    std::iter::once(public).chain(redirect)
}

impl Socket {
    fn render(self) -> GeneratedFile {
        // `[::]` means both kinds of addresses, as it does when figw opens the listener.
        let ipv6only = if self.address.is_ipv6() { "BindIPv6Only=both" } else { "" };
        let values = [
            ("unit", self.unit),
            ("role", self.role),
            ("key", self.key),
            ("listen", &self.address.to_string()),
            ("ipv6only", ipv6only),
        ];
        GeneratedFile::new(self.unit, fill(include_str!("templates/figw.socket"), &values))
    }
}

/// Servers on this machine that should be there first.
fn after(config: &Config) -> String {
    let is_here = |source: &SecretSource| {
        let SecretSource::Plain(text) = source else { return false };
        let host =
            url::Url::parse(text).ok().and_then(|url| url.host().map(|host| host.to_owned()));
        match host {
            Some(Host::Domain(name)) => {
                name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
            }
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        }
    };
    let mut units = String::new();
    if is_here(config.database.url.secret().source()) {
        units.push_str(" postgresql.service pgbouncer.service");
    }
    if config.cache.redis_url.as_ref().is_some_and(|url| is_here(url.secret().source())) {
        units.push_str(" redis-server.service");
    }
    units
}

/// systemd makes the directory of the log file when it is one of the usual ones.
fn logs(config: &Config) -> Result<String, GenerateError> {
    let directory = config.logging.own_file().and_then(Path::parent);
    let below = directory.and_then(|directory| directory.strip_prefix("/var/log").ok());
    match below.filter(|below| !below.as_os_str().is_empty()) {
        Some(below) => Ok(format!("LogsDirectory={}\nLogsDirectoryMode=0750", word(below)?)),
        None => Ok(String::new()),
    }
}

/// Directories in which figw writes.
fn written(config: &Config) -> BTreeSet<PathBuf> {
    let mut directories =
        BTreeSet::from([config.server.state_dir.clone(), config.backup.directory.clone()]);
    if let Ok(Location::Sqlite(file)) = plain_location(config) {
        directories.extend(file.parent().map(Path::to_owned));
    }
    if let Some(file) = config.logging.own_file() {
        let in_logs =
            file.parent().is_some_and(|d| d.starts_with("/var/log") && d != Path::new("/var/log"));
        directories.extend(file.parent().filter(|_| !in_logs).map(Path::to_owned));
    }
    directories.retain(|path| path.is_absolute() && !path.starts_with(STATE));
    directories
}

fn plain_location(config: &Config) -> Result<Location, ()> {
    match config.database.url.secret().source() {
        SecretSource::Plain(url) => {
            Location::parse(&url.clone().into(), "database.url").map_err(drop)
        }
        SecretSource::Reference(_) => Err(()),
    }
}

fn writable(config: &Config) -> Result<String, GenerateError> {
    let words: Vec<_> = written(config).iter().map(|path| word(path)).collect::<Result<_, _>>()?;
    if words.is_empty() {
        return Ok(String::new());
    }
    Ok(format!(
        "# Outside of that figw writes here; the directories must be there and belong to its user.\n\
         ReadWritePaths={}",
        words.join(" ")
    ))
}

fn secret_files(config: &Config) -> impl Iterator<Item = String> + use<> {
    config.secrets().into_iter().filter_map(|secret| match secret.source() {
        SecretSource::Reference(SecretReference::File(path)) => Some(path.clone()),
        _ => None,
    })
}

/// A line for each credential that the configuration reads; an example when there is none.
fn credentials(config: &Config) -> Result<String, GenerateError> {
    let names: BTreeSet<String> = secret_files(config)
        .filter_map(|path| path.strip_prefix(CREDENTIALS).map(str::to_owned))
        .collect();
    if names.is_empty() {
        return Ok("#LoadCredential=admin_token:/etc/figw/secrets/admin_token".to_owned());
    }
    let mut lines = Vec::new();
    for name in &names {
        let name = escaped(Path::new(name))?;
        lines.push(format!("LoadCredential={name}:/etc/figw/secrets/{name}"));
    }
    Ok(lines.join("\n"))
}

/// Where the values of variables are that the configuration refers to.
fn environment(config: &Config) -> String {
    let names: BTreeSet<String> = config
        .secrets()
        .into_iter()
        .filter_map(|secret| match secret.source() {
            SecretSource::Reference(SecretReference::Env(name)) => Some(name.clone()),
            _ => None,
        })
        .collect();
    let needed = match &names.into_iter().collect::<Vec<_>>()[..] {
        [] => String::new(),
        names => format!("# TO DO: the configuration needs {} from it.\n", names.join(", ")),
    };
    // Without `-` a service whose configuration needs none would not start.
    format!(
        "# NAME=value, in a file that root alone can read: keys of back ends that the catalogue takes from\n\
         # variables (--api-key-env).\n{needed}EnvironmentFile=-/etc/figw/environment"
    )
}

/// A path as a unit has it: `%` begins a specifier.
fn escaped(path: &Path) -> Result<String, GenerateError> {
    let text = path.to_str().ok_or_else(|| {
        GenerateError::new(format!("{} is not UTF-8, which a unit must be", path.display()))
    })?;
    Ok(one_line("a path", text)?.replace('%', "%%"))
}

/// A path as one word of a list.
fn word(path: &Path) -> Result<String, GenerateError> {
    let text = escaped(path)?;
    if text.contains([' ', '"', '\'', '\\', '$', ';']) {
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        return Ok(format!("\"{quoted}\""));
    }
    Ok(text)
}

/// A path as one word of a command, where `$` begins a variable, too.
fn word_of_command(path: &Path) -> Result<String, GenerateError> {
    Ok(word(path)?.replace('$', "$$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(yaml: &str) -> String {
        let loaded = Config::load_from(Some(("f".into(), yaml.as_bytes().to_vec())), []).unwrap();
        let systemd = Systemd {
            program: "/usr/local/bin/figw".into(),
            config_file: Some("/etc/figw/config.yaml".into()),
            user: "figw".into(),
        };
        systemd.render(&loaded.config).unwrap().remove(0).content
    }

    #[test]
    fn each_listener_of_users_has_a_socket_that_figw_knows() {
        let yaml = "server: {listen: '0.0.0.0:443', redirect_http: '[::]:80', tls: {certificate: a, key: b}}";
        let loaded = Config::load_from(Some(("f".into(), yaml.as_bytes().to_vec())), []).unwrap();
        let units: Vec<_> = sockets(&loaded.config).map(Socket::render).collect();
        assert_eq!(units.len(), 2);
        assert!(units[0].content.contains("\nFileDescriptorName=public\n"), "{units:?}");
        assert!(units[1].content.contains("\nListenStream=[::]:80\nBindIPv6Only=both\n"));
        assert!(unit(yaml).contains("\nRequires=figw.socket figw-redirect.socket\n"));
    }

    #[test]
    fn times_and_limits_follow_the_configuration() {
        let text = unit("server: {drain_grace: 1500ms, drain_timeout: 2m, max_connections: 100}");
        for line in [
            "TimeoutStopSec=137s",
            "LimitNOFILE=1224",
            "ExecStart=/usr/local/bin/figw --config /etc/figw/config.yaml serve",
            "ProtectHome=yes",
        ] {
            assert!(text.contains(&format!("\n{line}\n")), "{line} in {text}");
        }
        assert!(!text.contains("ReadWritePaths"), "all is below {STATE}: {text}");
    }

    #[test]
    fn what_lies_elsewhere_may_be_written_and_credentials_are_loaded() {
        let text = unit(
            "server: {admin_token: {file: /run/credentials/figw.service/admin}}\n\
             database: {url: 'sqlite:/srv/figw data/figw.db'}\nbackup: {directory: /srv/backups}\n\
             cache: {redis_url: {env: REDIS}}\nlogging: {file: '/var/log/my figw/figw.log'}\n",
        );
        for line in [
            "ReadWritePaths=/srv/backups \"/srv/figw data\"",
            "LoadCredential=admin:/etc/figw/secrets/admin",
            "EnvironmentFile=-/etc/figw/environment",
            "# TO DO: the configuration needs REDIS from it.",
            "LogsDirectory=\"my figw\"",
        ] {
            assert!(text.contains(&format!("\n{line}\n")), "{line} in {text}");
        }
    }

    #[test]
    fn words_survive_systemd() {
        for (path, expected) in [
            ("/opt/figw", "/opt/figw"),
            ("/opt/100% $x", "\"/opt/100%% $$x\""),
            ("/opt/it's", "\"/opt/it's\""),
        ] {
            assert_eq!(word_of_command(Path::new(path)).unwrap(), expected);
        }
        assert_eq!(word(Path::new("/srv/a$b")).unwrap(), "\"/srv/a$b\"");
        assert!(word(Path::new("/a\nb")).is_err());
    }
}
