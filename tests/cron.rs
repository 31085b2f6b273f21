//! The jobs of `figw generate cron`, run as cron runs them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use support::{
    backups::{Estate, Said},
    ports::free_port,
    postgres::Postgres,
    small_server::{Reply, SmallServer},
};

/// A line of a crontab, as cron understands it.
#[derive(Debug)]
struct Job {
    user: Option<String>,
    command: String,
    /// Whether it is commented out.
    is_off: bool,
}

/// A crontab, read by the rules of crontab(5).
#[derive(Debug, Default)]
struct Crontab {
    settings: Vec<(String, String)>,
    jobs: Vec<Job>,
}

fn read(text: &str, with_user: bool) -> Crontab {
    let mut crontab = Crontab::default();
    for line in text.lines() {
        let (line, is_off) = match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit() || c == '*') => {
                (rest, true)
            }
            Some(_) => continue,
            None => (line, false),
        };
        if line.is_empty() {
            continue;
        }
        if line.starts_with(|c: char| c.is_ascii_uppercase()) {
            let (name, value) = line.split_once('=').expect("NAME=value");
            crontab.settings.push((name.to_owned(), value.to_owned()));
            continue;
        }
        let mut words = line.splitn(if with_user { 7 } else { 6 }, ' ');
        for largest in [59, 23, 31, 12, 7] {
            assert_time(words.next().expect("a time field"), largest);
        }
        let user = with_user.then(|| words.next().expect("a user").to_owned());
        let command = unescape(words.next().expect("a command"));
        crontab.jobs.push(Job { user, command, is_off });
    }
    crontab
}

#[track_caller]
fn assert_time(field: &str, largest: u32) {
    let number = match field.strip_prefix("*/") {
        _ if field == "*" => return,
        Some(step) => step,
        None => field,
    };
    assert!(number.parse::<u32>().unwrap() <= largest, "{field}");
}

/// A percent sign that is not escaped would end the command.
fn unescape(command: &str) -> String {
    let text = command.replace("\\%", "\0");
    assert!(!text.contains('%'), "{command}");
    text.replace('\0', "%")
}

impl Crontab {
    fn job(&self, what: &str) -> &Job {
        let named = |job: &&Job| job.command.contains(what);
        self.jobs.iter().find(named).expect(what)
    }

    /// Runs a command as cron does: no terminal, no environment but this.
    fn run(&self, command: &str) -> Said {
        let home = tempfile::tempdir().unwrap();
        let mut shell = Command::new("/bin/sh");
        shell.env_clear().envs(self.settings.iter().cloned()).env("HOME", home.path());
        shell.env("LOGNAME", "figw").current_dir(home.path()).arg("-c").arg(command);
        let said = Said::from(shell.stdin(Stdio::null()).output().unwrap());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "nothing is left there");
        said
    }
}

/// What Debian's own program says of it.
fn is_accepted(text: &str) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("crontab");
    fs::write(&file, text).unwrap();
    let said = Said::from(Command::new("crontab").arg("-n").arg(&file).output().unwrap());
    assert_eq!(said.status, Some(0), "{said:?}");
}

/// figw under a name that cron and the shell could stumble over.
fn oddly_named(directory: &Path) -> std::path::PathBuf {
    let odd = directory.join("100% o'dd $name");
    fs::create_dir(&odd).unwrap();
    let program = odd.join("figw");
    if fs::hard_link(env!("CARGO_BIN_EXE_figw"), &program).is_err() {
        fs::copy(env!("CARGO_BIN_EXE_figw"), &program).unwrap();
    }
    program
}

/// With alerts, the job tells people of changes, and cron mails only what nobody was told.
fn people_are_told(config: &Path, generate: &impl Fn(&[&str]) -> String) {
    let before = fs::read_to_string(config).unwrap();
    let receiver = SmallServer::start(|_| Reply::json(200, &serde_json::json!({})));
    let dead = format!("http://127.0.0.1:{}", free_port());
    let alerts = |url: &str| format!("{before}alerts: {{webhook: {{url: \"{url}/hook\"}}}}\n");
    for (url, mailed) in [(dead.as_str(), "NOT told"), (receiver.url(), "")] {
        fs::write(config, alerts(url)).unwrap();
        let crontab = read(&generate(&[]), false);
        let job = crontab.job(" health --deep --notify");
        assert!(!job.is_off);
        let said = crontab.run(&job.command);
        assert!(said.stdout.contains(mailed), "{said:?}");
        assert_eq!(said.stdout.is_empty(), mailed.is_empty(), "{said:?}");
        assert_eq!(said.stderr, "", "{said:?}");
    }

    // Nor is anybody told when health itself cannot look, is not there, or is killed.
    let command = read(&generate(&[]), false).job(" health --deep --notify").command.clone();
    let crontab = read(&generate(&[]), false);
    let wrong = alerts(receiver.url()).replace("webhook", "webhoook");
    fs::write(config, wrong).unwrap();
    let said = crontab.run(&command);
    assert!(
        said.stdout.starts_with("FIGW UNKNOWN - ") && said.stdout.contains("webhoook"),
        "{said:?}"
    );
    let program = command.split(" --quiet").next().unwrap();
    let gone = command.replacen(program, "/nowhere/figw", 1);
    assert!(crontab.run(&gone).stdout.contains("exit status 127"), "{gone}");
    let killed = command.replacen(program, "sh -c 'kill -9 $$' figw", 1);
    assert!(crontab.run(&killed).stdout.contains("exit status 137"), "{killed}");
    fs::write(config, alerts(receiver.url())).unwrap();
    assert_eq!(crontab.run(&command).stdout, "", "all is known again");

    // And who is told again and again is not left to wonder.
    let kept = config.parent().unwrap().join("state/alerts.json");
    fs::remove_file(&kept).unwrap();
    fs::create_dir(&kept).unwrap();
    let said = crontab.run(&command);
    assert!(said.stdout.contains("NOT remembered"), "{said:?}");
    fs::remove_dir(&kept).unwrap();
    fs::write(config, before).unwrap();
}

#[test]
fn each_job_runs_without_environment_and_terminal_and_says_nothing_when_all_is_well() {
    let server = Postgres::start_new();
    for estate in [Estate::sqlite(), Estate::postgres(&server, "cron")] {
        let program = oddly_named(&estate.path(""));
        let config = estate.path("con fig%.yaml");
        fs::rename(estate.path("config.yaml"), &config).unwrap();
        // cron is given the file itself.
        symlink(&config, estate.path("link.yaml")).unwrap();
        let generate = |arguments: &[&str]| {
            let mut command = Command::new(&program);
            command.current_dir(estate.path("")).args([
                "--config",
                "link.yaml",
                "generate",
                "cron",
            ]);
            let said = Said::from(command.args(arguments).output().unwrap());
            assert_eq!((said.status, said.stderr.as_str()), (Some(0), ""), "{said:?}");
            said.stdout
        };
        let text = generate(&[]);
        is_accepted(&text);
        let crontab = read(&text, false);
        assert_eq!(crontab.settings[0], ("SHELL".to_owned(), "/bin/sh".to_owned()));
        assert_eq!(crontab.settings[1].0, "PATH");

        let backup = crontab.job(" backup --lock-wait");
        assert!(!backup.is_off);
        let said = crontab.run(&backup.command);
        assert_eq!(
            (said.status, said.stdout.as_str(), said.stderr.as_str()),
            (Some(0), "", ""),
            "{said:?}"
        );
        let figw = |arguments: &[&str]| -> Said {
            let mut command = Command::new(&program);
            command.arg("--config").arg(&config).args(arguments).output().unwrap().into()
        };
        let list = figw(&["--output", "json", "backup", "list"]).json();
        assert_eq!(list["backups"][0]["state"], "good", "{list}");

        let drill = crontab.job(" backup drill ");
        assert!(!drill.is_off);
        let said = crontab.run(&drill.command);
        assert_eq!(
            (said.status, said.stdout.as_str(), said.stderr.as_str()),
            (Some(0), "", ""),
            "{said:?}"
        );
        assert_eq!(figw(&["health", "--only", "drill"]).status, Some(0), "it is written down");

        let health = crontab.job(" health --deep");
        assert!(health.is_off, "a monitoring system does that");
        let said = crontab.run(&health.command);
        assert_eq!(said.status, Some(2), "no gateway runs here: {said:?}");
        assert!(said.stdout.starts_with("FIGW CRITICAL"), "something to mail: {said:?}");
        people_are_told(&config, &generate);
        let base = crontab.jobs.iter().find(|job| job.command.contains(" base "));
        assert_eq!(base.is_some(), !estate.is_sqlite());
        if let Some(base) = base {
            assert!(base.is_off, "no WAL is archived yet");
            let said = crontab.run(&base.command);
            assert_eq!((said.status, said.stdout.as_str()), (Some(0), ""), "{said:?}");
            fs::create_dir_all(estate.backups().join("wal")).unwrap();
            let text = generate(&[]);
            assert!(!read(&text, false).job(" base ").is_off, "now some is: {text}");
        }

        // What fails is mailed, the drill's result as well.
        let parts = fs::read_dir(estate.backups()).unwrap().map(|entry| entry.unwrap().path());
        for directory in parts.filter(|path| path.join("manifest.json").exists()) {
            fs::remove_dir_all(directory).unwrap();
        }
        let said = crontab.run(&drill.command);
        assert_eq!((said.status, said.stdout.is_empty()), (Some(1), false), "{said:?}");
        fs::remove_dir_all(estate.backups()).unwrap();
        fs::write(estate.backups(), "in the way").unwrap();
        let said = crontab.run(&backup.command);
        assert_eq!((said.status, said.stderr.is_empty()), (Some(1), false), "{said:?}");

        let system = read(&generate(&["--user", "figw"]), true);
        assert_eq!(system.jobs.len(), crontab.jobs.len());
        for (one, other) in system.jobs.iter().zip(&crontab.jobs) {
            assert_eq!((one.user.as_deref(), &one.command), (Some("figw"), &other.command));
        }
    }
}

#[test]
fn a_relative_path_is_followed_from_where_the_crontab_was_made() {
    let estate = Estate::sqlite();
    fs::write(estate.path("config.yaml"), "database: {url: \"sqlite:figw.db\"}\n").unwrap();
    let crontab = read(&estate.run(&["generate", "cron"]), false);
    let said = crontab.run(&crontab.job(" backup --lock-wait").command);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(estate.path("figw-backups").is_dir());
}

#[test]
fn what_cron_does_not_have_is_named() {
    let estate = Estate::sqlite();
    let mut command = estate.command(&["generate", "cron"]);
    command.env("FIGW_DATABASE__URL", format!("sqlite:{}", estate.path("other.db").display()));
    let said = Said::from(command.output().unwrap());
    assert_eq!(said.status, Some(0), "{said:?}");
    for text in [&said.stdout, &said.stderr] {
        assert!(text.contains("FIGW_DATABASE__URL") && !text.contains("other.db"), "{said:?}");
    }
    let said = estate.figw(&["generate", "cron", "--user", "a b"]);
    assert_eq!(said.status, Some(2), "{said:?}");
    let json = estate.json(&["generate", "cron"]);
    assert!(json["crontab"].as_str().unwrap().contains(" backup "), "{json}");
}
