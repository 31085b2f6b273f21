//! What cron runs: figw's jobs as a crontab.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::shell;
use crate::{
    config::Config,
    domain::{SecretSource, secret::SecretReference},
    ops::database,
    store::Location,
};

/// Where programs are, besides PostgreSQL's own.
const USUAL: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];

/// Everything that the jobs depend on.
#[derive(Debug, Clone)]
pub struct Crontab {
    /// This program.
    pub program: PathBuf,
    /// The configuration file.
    pub config_file: Option<PathBuf>,
    /// Where relative paths of the configuration begin; none when it has no relative path.
    pub directory: Option<PathBuf>,
    /// Whose jobs they are, in `/etc/cron.d`; none in a user's own crontab.
    pub user: Option<String>,
    /// Directory of PostgreSQL's programs; none when they are not needed.
    pub tools: Option<PathBuf>,
    /// Whether the database is on a PostgreSQL server.
    pub is_postgres: bool,
    /// Whether WAL is archived, as far as figw can tell.
    pub archives_wal: bool,
    /// Whether the configuration names whom to tell when something is not well.
    pub notifies: bool,
    /// The greatest age of the newest backup that is allowed.
    pub rpo: Duration,
    /// Names of variables that the configuration needs and cron does not have.
    pub variables: Vec<String>,
}

/// What is wrong with a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cron cannot be given the path {0:?}: it has a line break or is not UTF-8")]
pub struct PathError(PathBuf);

impl Crontab {
    /// The jobs of this configuration. `variables` are the environment's names, `search` is the
    /// search path for programs.
    #[must_use]
    pub fn new(
        program: PathBuf,
        config: &Config,
        config_file: Option<PathBuf>,
        directory: PathBuf,
        search: Option<&OsStr>,
        variables: impl IntoIterator<Item = String>,
    ) -> Self {
        let is_postgres = matches!(location(config), Some(Location::Postgres(_)));
        let tools = || config.backup.postgres_bin.clone().or_else(|| find("pg_dump", search?));
        Self {
            program,
            config_file,
            directory: Some(directory).filter(|_| has_relative_paths(config)),
            user: None,
            tools: if is_postgres { tools() } else { None },
            is_postgres,
            archives_wal: config.backup.replication_url.is_some()
                || config.backup.directory.join("wal").is_dir(),
            notifies: config.alerts.is_set(),
            rpo: config.backup.objectives.rpo,
            variables: needed(config, variables),
        }
    }

    /// The text of the crontab.
    ///
    /// # Errors
    /// When a path cannot be written into one.
    pub fn render(&self) -> Result<String, PathError> {
        let mut paragraphs = vec![self.head()?, self.backup()?];
        if self.is_postgres {
            paragraphs.push(self.base()?);
        }
        paragraphs.extend([self.drill()?, self.health()?]);
        Ok(paragraphs.join("\n"))
    }

    fn head(&self) -> Result<String, PathError> {
        let place = match self.user {
            None => {
                "# Put it into your crontab with `figw generate cron | crontab -`, which replaces\n\
                 # the one you have.\n"
            }
            Some(_) => {
                "# Put it into /etc/cron.d/figw, owned by root and writable by root alone.\n"
            }
        };
        let lacking = match &self.variables[..] {
            [] => String::new(),
            names => format!(
                "# TO DO: the configuration takes {} from the environment, which cron does not have.\n\
                 # Write NAME=value here, in a file that nobody else can read, or use {{file: PATH}}.\n",
                names.join(", ")
            ),
        };
        let tools = self.tools.as_deref().map(plain).transpose()?;
        let tools = tools.filter(|tools| !USUAL.contains(tools));
        let path: Vec<_> = tools.into_iter().chain(USUAL).collect();
        Ok(format!(
            "# figw's jobs, made by `figw generate cron`.\n{place}\
             # They print only what has failed, and cron mails it: to MAILTO, or else to the user.\n\
             {lacking}SHELL=/bin/sh\nPATH={}\n#MAILTO=operator@example.org\n",
            path.join(":")
        ))
    }

    fn backup(&self) -> Result<String, PathError> {
        let (when, often) = interval(self.rpo);
        let job = self.line(&when, &format!("{} >/dev/null", self.figw("backup --lock-wait 30m")?));
        Ok(format!("# {often}: a backup, verified; older ones go as backup.keep has it.\n{job}\n"))
    }

    fn base(&self) -> Result<String, PathError> {
        let command = format!("{} >/dev/null", self.figw("backup base --lock-wait 2h")?);
        let job = self.line("23 2 * * 0", &command);
        let what = "# Weekly: a physical backup, which archived WAL brings to any later time.";
        Ok(if self.archives_wal {
            format!("{what}\n{job}\n")
        } else {
            format!(
                "{what} Of use only\n# once PostgreSQL archives its WAL with figw: `figw backup base \
                 --help` says how.\n#{job}\n"
            )
        })
    }

    fn drill(&self) -> Result<String, PathError> {
        // Its result says what is wrong.
        let command = self.figw("backup drill --lock-wait 2h")?;
        let command = format!("out=$({command} 2>&1) || {{ echo \"$out\"; exit 1; }}");
        Ok(format!(
            "# Weekly: proof that the newest backup can be restored, and in what time.\n{}\n",
            self.line("43 4 * * 0", &command)
        ))
    }

    fn health(&self) -> Result<String, PathError> {
        if !self.notifies {
            return Ok(format!(
                "# Every five minutes: whether all is well. A monitoring system runs `figw health` itself;\n\
                 # where there is none, this mails for as long as something is wrong. With the section\n\
                 # alerts, people are told of changes alone: set it, and make this file again.\n#{}\n",
                self.line("*/5 * * * *", &self.figw("health --deep")?)
            ));
        }
        // It prints what people were not told, but says nothing of being killed.
        let command = format!(
            "{}; s=$?; [ $s -le 3 ] || echo \"figw health has ended with the exit status $s, so \
             nobody may have been told\"",
            self.figw("health --deep --notify")?
        );
        Ok(format!(
            "# Every five minutes: whether all is well; whoever alerts names is told of changes. cron mails\n\
             # only what they could not be told, and what keeps figw from looking.\n{}\n",
            self.line("*/5 * * * *", &command)
        ))
    }

    /// A command of figw, as `/bin/sh` reads it.
    fn figw(&self, command: &str) -> Result<String, PathError> {
        let word = |path: &Path| plain(path).map(shell::quote);
        let mut words = Vec::new();
        if let Some(directory) = &self.directory {
            words.extend(["cd".to_owned(), word(directory)?, "&&".to_owned()]);
        }
        words.extend([word(&self.program)?, "--quiet".to_owned()]);
        if let Some(file) = &self.config_file {
            words.extend(["--config".to_owned(), word(file)?]);
        }
        words.push(command.to_owned());
        Ok(words.join(" "))
    }

    fn line(&self, when: &str, command: &str) -> String {
        let user = self.user.as_deref().map(|user| format!("{user} ")).unwrap_or_default();
        // For cron a percent sign ends the command, quoted or not.
        format!("{when} {user}{}", command.replace('%', "\\%"))
    }
}

/// How often a backup is due, and how people say that: twice in the time of the objective, for a
/// backup that is being made counts only once it is whole.
pub(super) fn interval(rpo: Duration) -> (String, String) {
    let minutes = rpo.as_secs() / 120;
    match [30, 20, 15, 10, 5].into_iter().find(|every| *every <= minutes) {
        _ if minutes >= 60 => ("17 * * * *".to_owned(), "Hourly".to_owned()),
        Some(every) => (format!("*/{every} * * * *"), format!("Every {every} minutes")),
        None => ("*/5 * * * *".to_owned(), "Every 5 minutes".to_owned()),
    }
}

fn plain(path: &Path) -> Result<&str, PathError> {
    let text = path.to_str().filter(|text| !text.contains(['\n', '\r']));
    text.ok_or_else(|| PathError(path.to_owned()))
}

fn find(program: &str, search: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(search)
        .find(|directory| directory.is_absolute() && directory.join(program).is_file())
}

fn location(config: &Config) -> Option<Location> {
    database::options(config).ok()?.location().ok()
}

/// Whether backups depend on the working directory.
pub(crate) fn has_relative_paths(config: &Config) -> bool {
    if matches!(location(config), Some(Location::Sqlite(path)) if path.is_relative()) {
        return true;
    }
    let backup = &config.backup;
    let in_secrets = config.secrets().into_iter().any(|secret| match secret.source() {
        SecretSource::Reference(SecretReference::File(path)) => Path::new(path).is_relative(),
        _ => false,
    });
    let paths = std::iter::once(&backup.directory)
        .chain(&backup.identities)
        .chain(&backup.config_paths)
        .chain(&backup.postgres_bin);
    in_secrets || paths.into_iter().any(|path| path.is_relative())
}

/// Variables that the configuration takes values from: those that cron's environment lacks.
fn needed(config: &Config, present: impl IntoIterator<Item = String>) -> Vec<String> {
    let offsite = config.backup.offsite_url.is_some();
    let counts = |name: &String| {
        // As `config` reads them: `FIGW_SECTION__KEY`.
        (name.starts_with("FIGW_") && name.contains("__")) || (offsite && name.starts_with("AWS_"))
    };
    let mut names: Vec<_> = present.into_iter().filter(counts).collect();
    for secret in config.secrets() {
        if let SecretSource::Reference(SecretReference::Env(name)) = secret.source() {
            names.push(name.clone());
        }
    }
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crontab() -> Crontab {
        Crontab {
            program: "/opt/fig w/100%/figw".into(),
            config_file: Some("/etc/figw/config.yaml".into()),
            directory: None,
            user: None,
            tools: Some("/usr/lib/postgresql/15/bin".into()),
            is_postgres: true,
            archives_wal: false,
            notifies: false,
            rpo: Duration::from_hours(1),
            variables: Vec::new(),
        }
    }

    #[test]
    fn percent_signs_and_blanks_survive_cron_and_shell() {
        let text = crontab().render().unwrap();
        assert!(
            text.contains(
                "\n*/30 * * * * '/opt/fig w/100\\%/figw' --quiet --config /etc/figw/config.yaml \
                 backup --lock-wait 30m >/dev/null\n"
            ),
            "{text}"
        );
        assert!(
            text.contains("\nPATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin\n"),
            "{text}"
        );
        assert!(text.contains("\n#23 2 * * 0 "), "not before WAL is archived: {text}");
        let archiving = Crontab { archives_wal: true, ..crontab() }.render().unwrap();
        assert!(archiving.contains("\n23 2 * * 0 "), "{archiving}");
        let sqlite = Crontab { is_postgres: false, ..crontab() }.render().unwrap();
        assert!(!sqlite.contains("backup base"), "{sqlite}");
    }

    #[test]
    fn a_line_break_in_a_path_is_refused() {
        let bad = Crontab { config_file: Some("/etc/a\nb".into()), ..crontab() };
        assert!(bad.render().unwrap_err().to_string().contains("line break"));
    }

    #[test]
    fn the_user_stands_before_the_command_and_a_relative_path_has_its_directory() {
        let there =
            Crontab { user: Some("figw".to_owned()), directory: Some("/srv".into()), ..crontab() };
        let text = there.render().unwrap();
        assert!(text.contains("\n*/30 * * * * figw cd /srv && '/opt/"), "{text}");
    }

    #[test]
    fn backups_are_as_frequent_as_the_objective_wants() {
        for (minutes, when) in [
            (600, "17 * * * *"),
            (120, "17 * * * *"),
            (60, "*/30 * * * *"),
            (59, "*/20 * * * *"),
            (15, "*/5 * * * *"),
            (1, "*/5 * * * *"),
        ] {
            assert_eq!(interval(Duration::from_mins(minutes)).0, when);
        }
    }

    #[test]
    fn what_the_environment_gave_is_named() {
        let yaml = "database: {url: {env: FIGS}}\nbackup: {directory: /b}";
        let loaded = Config::load_from(Some(("f".into(), yaml.as_bytes().to_vec())), []).unwrap();
        let present =
            ["FIGW_CONFIG", "FIGW_TEST_PYTHON", "FIGW_LOGGING__LEVEL", "HOME", "AWS_REGION"];
        let names = needed(&loaded.config, present.map(str::to_owned));
        assert_eq!(names, ["FIGS", "FIGW_LOGGING__LEVEL"]);
        assert!(!has_relative_paths(&loaded.config));
        assert!(has_relative_paths(&Config::default()));
    }
}
