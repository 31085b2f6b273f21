//! The real program with a directory of backups, where PostgreSQL can call it as well.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use super::postgres::private_directory;

/// A configuration with backups, and the program in a place that every user may use.
pub struct BackupSite {
    directory: TempDir,
    figw: PathBuf,
    database: Option<String>,
}

impl BackupSite {
    /// With these lines in the section `backup`, such as `compression: none`.
    pub fn new(lines: &[&str]) -> Self {
        let directory = private_directory();
        // Wherever the build directory is, PostgreSQL's user may not get there.
        let figw = directory.path().join("figw");
        let built = Path::new(env!("CARGO_BIN_EXE_figw"));
        if fs::hard_link(built, &figw).is_err() {
            fs::copy(built, &figw).expect("the program copied");
        }
        let site = Self { directory, figw, database: None };
        fs::create_dir(site.backups()).expect("a directory for backups");
        open_to_all(&site.backups());
        site.configure(lines);
        site
    }

    /// Writes the configuration anew, with these lines in the section `backup`.
    pub fn configure(&self, lines: &[&str]) {
        let directory = format!("directory: \"{}\"", self.backups().display());
        let lines = [&["backup:", &directory][..], lines].concat();
        let text = lines.join("\n  ") + "\n";
        fs::write(self.config(), text).expect("config.yaml written");
    }

    /// From now on, commands of the test work with this database.
    pub fn database(&mut self, url: impl Into<String>) {
        self.database = Some(url.into());
    }

    /// Its directory, which ends with this value.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A file in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.path("config.yaml")
    }

    /// Where backups go.
    pub fn backups(&self) -> PathBuf {
        self.path("backups")
    }

    /// The value of PostgreSQL's `archive_command`.
    pub fn archive_command(&self) -> String {
        format!("{} --config {} wal push %p %f", self.figw.display(), self.config().display())
    }

    /// figw with this configuration; give it a subcommand.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.figw);
        command.arg("--config").arg(self.config()).args(arguments).current_dir(self.directory());
        command.stdin(Stdio::null());
        if let Some(url) = &self.database {
            command.env("FIGW_DATABASE__URL", url);
        }
        command
    }

    /// Runs a subcommand, which must succeed, and returns its standard output.
    pub fn run(&self, arguments: &[&str]) -> String {
        let (stdout, stderr) = self.expect(0, arguments);
        assert!(stderr.is_empty() || !stderr.contains("error"), "figw {arguments:?}: {stderr}");
        stdout
    }

    /// Runs a subcommand that must end with this status, and returns its standard error.
    pub fn fail(&self, status: i32, arguments: &[&str]) -> String {
        self.expect(status, arguments).1
    }

    /// Runs a subcommand that must end with this status.
    pub fn expect(&self, wanted: i32, arguments: &[&str]) -> (String, String) {
        let Output { status, stdout, stderr } =
            self.command(arguments).output().expect("figw runs");
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert_eq!(status.code(), Some(wanted), "figw {arguments:?}: {stdout}{stderr}");
        (stdout.into_owned(), stderr.into_owned())
    }

    /// Names of the archived files of WAL, without their endings, in their order.
    pub fn archived(&self) -> Vec<String> {
        let mut names = Vec::new();
        for directory in fs::read_dir(self.backups().join("wal")).into_iter().flatten() {
            let directory = directory.expect("an entry").path();
            for file in fs::read_dir(directory).into_iter().flatten() {
                let file = file.expect("an entry").file_name().into_string().expect("UTF-8");
                names.push(file.split('-').next().expect("a name").to_owned());
            }
        }
        names.sort();
        names
    }
}

/// PostgreSQL runs as another user when the tests run as root.
pub fn open_to_all(directory: &Path) {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o777)).expect("permissions");
}

/// As [`open_to_all`], for a file.
pub fn readable_by_all(file: &Path) {
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).expect("permissions");
}
