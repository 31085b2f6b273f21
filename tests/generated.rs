//! `completions/`, `man/` and `config.example.yaml` are generated; here they are compared with what
//! the command tree and the schema say now.
//!
//! `FIGW_REWRITE=1 cargo test --test generated` rewrites them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use figw::{
    cli::{
        completions::{Shell, script},
        man::pages,
    },
    config::{Config, example},
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Compares a file with what it should hold, or writes it when asked to.
fn compare(path: &Path, expected: &[u8], stale: &mut Vec<String>) {
    if std::env::var_os("FIGW_REWRITE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, expected).unwrap();
    } else if fs::read(path).ok().as_deref() != Some(expected) {
        stale.push(path.strip_prefix(root()).unwrap().display().to_string());
    }
}

/// Files that belong to no command any more are stale too.
fn compare_directory(directory: &str, files: &[(String, Vec<u8>)]) {
    let directory = root().join(directory);
    let mut stale = Vec::new();
    for (name, content) in files {
        compare(&directory.join(name), content, &mut stale);
    }
    let known: BTreeSet<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    for entry in fs::read_dir(&directory).into_iter().flatten() {
        let entry = entry.unwrap();
        if known.contains(entry.file_name().to_str().unwrap()) {
            continue;
        }
        if std::env::var_os("FIGW_REWRITE").is_some() {
            fs::remove_file(entry.path()).unwrap();
        } else {
            stale.push(entry.path().display().to_string());
        }
    }
    assert_fresh(&stale);
}

fn assert_fresh(stale: &[String]) {
    assert!(
        stale.is_empty(),
        "stale: {}\nrun: FIGW_REWRITE=1 cargo test --test generated",
        stale.join(", ")
    );
}

#[test]
fn completions_follow_the_command_tree() {
    let files: Vec<_> = Shell::value_variants()
        .iter()
        .map(|shell| (shell.file_name().to_owned(), script(*shell)))
        .collect();
    compare_directory("completions", &files);
}

#[test]
fn manual_pages_follow_the_command_tree_and_the_schema() {
    let files: Vec<_> =
        pages().unwrap().into_iter().map(|page| (page.file_name, page.content)).collect();
    assert!(files.iter().any(|(name, _)| name == "figw-config-import-env.1"));
    compare_directory("man", &files);
}

#[test]
fn the_example_follows_the_schema() {
    let mut stale = Vec::new();
    compare(&root().join("config.example.yaml"), example().as_bytes(), &mut stale);
    assert_fresh(&stale);
}

#[test]
fn the_example_loads_as_the_defaults() {
    let loaded =
        Config::load_from(Some(("config.example.yaml".into(), example().into_bytes())), []);
    assert_eq!(loaded.unwrap().config, Config::default());
}
