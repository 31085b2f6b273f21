//! Free space where figw writes.

use std::path::{Path, PathBuf};

use super::{Finding, Measure, State, Subject, Unit};
use crate::{
    config::Config,
    disk::{self, Disk},
    ops::database,
    store::Location,
};

pub(super) async fn check(subject: &Subject) -> Option<Finding> {
    let places = places(&subject.config);
    let looked = super::within(super::LONGEST, move || {
        places.into_iter().map(|(name, path)| (name, look(&path))).collect::<Vec<_>>()
    });
    let Some(looked) = looked.await else {
        let evidence = "a file system that figw writes to did not answer; look at its mounts";
        return Some(Finding::new(State::Critical, evidence));
    };
    Some(judge(&subject.config, looked))
}

/// What figw writes to, with a word for it.
fn places(config: &Config) -> Vec<(&'static str, PathBuf)> {
    let mut places = vec![
        ("state", config.server.state_dir.clone()),
        ("backup", config.backup.directory.clone()),
    ];
    let location = database::options(config).map(|options| options.location());
    if let Ok(Ok(Location::Sqlite(path))) = location {
        places.push(("database", directory_of(&path)));
    }
    if let Some(file) = config.logging.own_file() {
        places.push(("log", directory_of(file)));
    }
    places
}

fn directory_of(file: &Path) -> PathBuf {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).to_owned()
}

/// The file system of a directory, or of the nearest one above it that is there.
fn look(path: &Path) -> Result<Disk, String> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = absolute.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    disk::of(there).map_err(|error| format!("{}: {error}", path.display()))
}

fn judge(config: &Config, looked: Vec<(&'static str, Result<Disk, String>)>) -> Finding {
    let health = &config.health;
    let mut worst = State::Ok;
    let (mut told, mut measures) = (Vec::new(), Vec::new());
    for (name, disk) in looked {
        let disk = match disk {
            Ok(disk) => disk,
            Err(reason) => {
                worst = worst.max(State::Unknown);
                told.push(reason);
                continue;
            }
        };
        let warning = health.disk_free_warning.of(disk.total);
        let critical = health.disk_free_critical.of(disk.total);
        let state = match disk.free {
            free if free < critical => State::Critical,
            free if free < warning => State::Warning,
            _ => State::Ok,
        };
        worst = worst.max(state);
        let advice = if state == State::Ok { "" } else { ", make room" };
        told.push(format!("{name} {disk}{advice}"));
        #[allow(clippy::cast_precision_loss, reason = "numbers to be drawn")]
        measures.push(
            Measure::new(format!("disk_free_{name}"), disk.free as f64, Unit::Bytes)
                .below(warning as f64, critical as f64),
        );
    }
    Finding::new(worst, told.join("; ")).measuring(measures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_is_told_by_the_thresholds() {
        let config = Config::default();
        for (free, state) in [
            (100, State::Ok),
            (1_000, State::Ok),
            (99, State::Warning),
            (50, State::Warning),
            (49, State::Critical),
            (0, State::Critical),
        ] {
            let found = judge(&config, vec![("state", Ok(Disk { free, total: 1_000 }))]);
            assert_eq!(found.state, state, "{found:?}");
            assert_eq!(found.measures[0].to_string(), format!("disk_free_state={free}B;100:;50:"));
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_looked_at_where_it_would_be() {
        let directory = tempfile::tempdir().unwrap();
        let disk = look(&directory.path().join("a/b/c")).unwrap();
        assert!(disk.total > 0 && disk.free <= disk.total);
        assert!(!directory.path().join("a").exists());
    }
}
