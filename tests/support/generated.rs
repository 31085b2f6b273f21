//! Files that figw has generated from a configuration of the test's own.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::{backups::Said, postgres::private_directory};

/// A password that must be in no file.
pub const SECRET: &str = "geheim-and-hidden";

/// A fleet in production, as an operator would write it.
pub const FLEET: &str = "
server:
  listen: 0.0.0.0:8000
  admin_token: geheim-and-hidden
  trusted_proxies: [10.0.0.9, 'fd00::/64']
database:
  url: 'postgres://figw:geheim-and-hidden@pooler.example.org:6432/figw'
  migration_url: 'postgres://figw:geheim-and-hidden@db.example.org/figw'
cache: {redis_url: 'redis://:geheim-and-hidden@cache.example.org/0'}
globus_compute: {client_id: an-id, client_secret: geheim-and-hidden}
backup: {offsite_url: 's3://bucket/figw?secret_access_key=geheim-and-hidden'}
logging: {file: /var/log/figw/figw.log}
instances:
- {name: gw1, url: 'http://10.0.0.1:8000', admin_url: 'http://10.0.0.1:8001'}
- {name: gw2, url: 'http://10.0.0.2:8000', admin_url: 'http://10.0.0.2:8001'}
- {name: gw3, url: 'http://[fd00::3]:8000', admin_url: 'http://[fd00::3]:8001'}
";

/// A directory with a configuration, for everything that one test generates.
pub struct Site {
    directory: TempDir,
}

impl Site {
    pub fn new(configuration: &str) -> Self {
        // PgBouncer's user must be let in, too.
        let directory = private_directory();
        fs::write(directory.path().join("figw.yaml"), configuration)
            .expect("a directory of the test's own");
        Self { directory }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn figw(&self, arguments: &[&str]) -> Said {
        let mut figw = Command::new(env!("CARGO_BIN_EXE_figw"));
        figw.env("FIGW_CONFIG", self.path("figw.yaml")).args(arguments);
        figw.current_dir(self.directory.path())
            .stdin(Stdio::null())
            .output()
            .expect("figw runs")
            .into()
    }

    /// What `figw generate …` prints. The same once more, and no secret in it.
    pub fn generate(&self, arguments: &[&str]) -> String {
        let arguments = [&["--quiet", "generate"], arguments].concat();
        let said = self.figw(&arguments);
        assert_eq!(said.status, Some(0), "{arguments:?}: {said:?}");
        assert!(!said.stdout.contains(SECRET), "{arguments:?} shows a secret: {}", said.stdout);
        assert_eq!(self.figw(&arguments).stdout, said.stdout, "the same each time");
        said.stdout
    }

    /// Generates into a file of this name, and returns its path.
    pub fn save(&self, name: &str, arguments: &[&str]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, self.generate(arguments)).expect("a directory of the test's own");
        path
    }
}

/// Runs a program to its end; it must be there.
pub fn run(command: &mut Command) -> Said {
    let program = command.get_program().to_owned();
    let output = command.stdin(Stdio::null()).output();
    Said::from(output.unwrap_or_else(|e| panic!("{}: {e}; run scripts/test", program.display())))
}

/// The same where the program must have nothing to say against it.
#[track_caller]
pub fn accepted(command: &mut Command) -> Said {
    let said = run(command);
    assert_eq!(said.status, Some(0), "{said:?}");
    said
}
