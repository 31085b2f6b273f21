//! What `figw doctor` says.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::backups::Said;

/// What `doctor` has found, by the check's name.
pub struct Report {
    pub status: Option<i32>,
    pub checks: BTreeMap<String, Value>,
}

impl Report {
    pub fn of(mut command: Command, arguments: &[&str]) -> Self {
        command.args(["--output", "json", "doctor"]).args(arguments).stdin(Stdio::null());
        let said = Said::from(command.output().unwrap());
        let report = said.json();
        let checks = report["checks"].as_array().unwrap().iter();
        let checks =
            checks.map(|check| (check["name"].as_str().unwrap().to_owned(), check.clone()));
        Self { status: said.status, checks: checks.collect() }
    }

    pub fn outcome(&self, name: &str) -> &str {
        let check = self.checks.get(name).unwrap_or_else(|| panic!("no check {name}"));
        check["outcome"].as_str().unwrap()
    }

    #[track_caller]
    pub fn finds(&self, planted: &[(&str, &str, &str)]) {
        for (name, outcome, word) in planted {
            let check = self.checks.get(*name).unwrap_or_else(|| panic!("no check {name}"));
            assert_eq!(check["outcome"], *outcome, "{check}");
            assert!(check["evidence"].as_str().unwrap().contains(word), "not {word:?}: {check}");
            assert!(!check["remedy"].as_str().unwrap().is_empty(), "{check}");
        }
    }
}
