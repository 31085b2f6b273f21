//! The settings with which PostgreSQL recovers: `restore_command` in a shell's quotes, and all of
//! them in those of `postgresql.auto.conf`.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::ops::backup::BackupError;

/// How PostgreSQL is to call figw.
#[derive(Debug)]
pub(super) struct Fetching<'a> {
    /// This program.
    pub(super) figw: &'a Path,
    /// Its configuration; none when there is no file.
    pub(super) config: Option<&'a Path>,
    /// Files with the keys that open the archive.
    pub(super) identities: &'a [PathBuf],
}

impl Fetching<'_> {
    /// The value of `restore_command`.
    pub(super) fn command(&self) -> Result<String, BackupError> {
        let mut words = vec![for_shell(self.figw)?];
        if let Some(config) = self.config {
            words.extend(["--config".to_owned(), for_shell(config)?]);
        }
        words.extend(["wal", "fetch", "--recovery"].map(str::to_owned));
        for identity in self.identities {
            words.extend(["--identity".to_owned(), for_shell(identity)?]);
        }
        words.extend(["%f", "%p"].map(str::to_owned));
        Ok(words.join(" "))
    }
}

/// A path as one word of a command in PostgreSQL's configuration, where `%` has a meaning, too.
fn for_shell(path: &Path) -> Result<String, BackupError> {
    let text =
        path.to_str().filter(|text| !text.contains(['\n', '\r', '\0'])).ok_or_else(|| {
            BackupError::Invalid(format!(
                "{} cannot be written into postgresql.auto.conf; use a path in UTF-8 on one line",
                path.display().to_string().escape_debug()
            ))
        })?;
    let text = text.replace('%', "%%");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if text.chars().all(is_plain) {
        return Ok(text);
    }
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

/// The text of `postgresql.auto.conf` for a recovery up to this moment: as it was, but without the
/// settings of an earlier recovery.
pub(super) fn auto_conf(
    before: &str,
    restore_command: &str,
    to_time: Timestamp,
    timeline: Option<u32>,
) -> String {
    // PostgreSQL knows no abbreviations of time zones, such as Z, where it reads this; and it knows
    // no less than microseconds.
    let to_time = to_time.strftime("%Y-%m-%d %H:%M:%S%.6f+00").to_string();
    let timeline = timeline.map_or_else(|| "latest".to_owned(), |timeline| timeline.to_string());
    let kept = before.lines().filter(|line| !is_of_recovery(line)).map(str::to_owned);
    let added = [
        ("restore_command", restore_command),
        ("recovery_target_time", &to_time),
        ("recovery_target_action", "promote"),
        ("recovery_target_timeline", &timeline),
    ]
    .map(|(name, value)| format!("{name} = '{}'", value.replace('\\', r"\\").replace('\'', "''")));
    let mut lines: Vec<String> = kept.chain(added).collect();
    lines.push(String::new());
    lines.join("\n")
}

/// Two targets are an error to PostgreSQL.
fn is_of_recovery(line: &str) -> bool {
    let name = line.split(['=', ' ', '\t']).find(|word| !word.is_empty()).unwrap_or_default();
    name == "restore_command" || name.starts_with("recovery_target")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_reaches_figw_through_configuration_and_shell() {
        let fetching = Fetching {
            figw: Path::new("/usr/local/bin/figw"),
            config: Some(Path::new("/srv/Peter's 100%/config.yaml")),
            identities: &["/root/key file".into()],
        };
        let command = fetching.command().unwrap();
        assert_eq!(
            command,
            r"/usr/local/bin/figw --config '/srv/Peter'\''s 100%%/config.yaml' wal fetch --recovery --identity '/root/key file' %f %p"
        );
        let conf = auto_conf("", &command, Timestamp::UNIX_EPOCH, Some(3));
        assert!(conf.contains(r"/srv/Peter''\\''''s 100%%/config.yaml"), "{conf}");
        assert!(conf.contains("recovery_target_timeline = '3'\n"), "{conf}");
    }

    #[test]
    fn an_earlier_recovery_leaves_no_second_target() {
        let before = "# Do not edit\nshared_buffers = '1GB'\nrecovery_target_lsn = '0/5'\n\
                      restore_command = 'cp'\n";
        assert_eq!(
            auto_conf(before, "figw", "2026-11-25T16:50:27.1234569+01:00".parse().unwrap(), None),
            "# Do not edit\nshared_buffers = '1GB'\nrestore_command = 'figw'\n\
             recovery_target_time = '2026-11-25 15:50:27.123456+00'\n\
             recovery_target_action = 'promote'\nrecovery_target_timeline = 'latest'\n"
        );
    }

    #[test]
    fn a_path_on_two_lines_is_refused() {
        assert!(for_shell(Path::new("/a\n/b")).is_err());
    }
}
