//! A fleet of three gateways and the commands that restart them.

use std::{
    fmt::Write,
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use super::gateway::Gateway;

pub const NAMES: [&str; 3] = ["one", "two", "three"];

/// Three gateways, and the configuration of their operator, who restarts them.
pub struct Fleet {
    directory: TempDir,
    pub gateways: Vec<Gateway>,
}

impl Fleet {
    /// These gateways, each restarted by its own script.
    pub fn of(gateways: [Gateway; 3]) -> Self {
        let fleet = Self { directory: TempDir::new().unwrap(), gateways: gateways.into() };
        for (name, gateway) in NAMES.iter().zip(&fleet.gateways) {
            fleet.restart_with(name, &Self::proper_restart(gateway));
        }
        fleet.configure(&[]);
        fleet
    }

    /// What restarts a gateway as a service manager would: the old process ends, a new one begins.
    fn proper_restart(gateway: &Gateway) -> String {
        let figw = gateway.command();
        let words: Vec<_> = std::iter::once(figw.get_program())
            .chain(figw.get_args())
            .map(|word| format!("'{}'", word.to_str().unwrap()))
            .collect();
        let variables: Vec<_> = figw
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_str()?, value?.to_str()?)))
            .map(|(name, value)| format!("export {name}='{value}'"))
            .collect();
        let pid_file = gateway.directory().join("pid");
        fs::write(&pid_file, gateway.pid().to_string()).unwrap();
        format!(
            "{variables}\ncd '{directory}'\nold=$(cat pid)\nkill $old\n\
             while [ -d /proc/$old ] && ! grep -q '^State:.Z' /proc/$old/status; do sleep 0.05; done\n\
             setsid {figw} serve </dev/null >>serve.log 2>&1 &\necho $! >pid\n",
            variables = variables.join("\n"),
            directory = gateway.directory().display(),
            figw = words.join(" "),
        )
    }

    pub fn script(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("restart-{name}"))
    }

    pub fn restart_with(&self, name: &str, script: &str) {
        fs::write(self.script(name), script).unwrap();
    }

    /// Writes the operator's configuration, with these lines in `rolling_restart`.
    pub fn configure(&self, lines: &[&str]) {
        let mut text = format!(
            "server: {{state_dir: \"{}\"}}\nrolling_restart:\n",
            self.directory.path().display()
        );
        let usual = ["stabilise: 500ms", "ready_timeout: 10s"].into_iter();
        let key = |line: &str| line.split(':').next().map(ToOwned::to_owned);
        let usual = usual.filter(|line| lines.iter().all(|other| key(other) != key(line)));
        for line in usual.chain(lines.iter().copied()) {
            writeln!(text, "  {line}").unwrap();
        }
        text.push_str("instances:\n");
        for (name, gateway) in NAMES.iter().zip(&self.gateways) {
            writeln!(
                text,
                "- {{name: {name}, url: \"{}\", admin_url: \"{}\", restart: [bash, \"{}\"]}}",
                gateway.url(),
                gateway.admin_url(),
                self.script(name).display()
            )
            .unwrap();
        }
        fs::write(self.directory.path().join("config.yaml"), text).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_figw"));
        command.arg("--config").arg(self.directory.path().join("config.yaml"));
        command.arg("rolling-restart").args(arguments).stdin(Stdio::null());
        command
    }

    pub fn roll(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// It must stop, saying all of this in one last line.
    #[track_caller]
    pub fn stops(&self, arguments: &[&str], words: &[&str]) {
        let output = self.roll(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let last = said.lines().last().unwrap();
        for word in words {
            assert!(last.contains(word), "no '{word}' in: {last}");
        }
    }

    pub fn started(&self) -> Vec<Value> {
        self.gateways.iter().map(|gateway| gateway.status()["started_at"].clone()).collect()
    }

    pub fn all_serve(&self) {
        for gateway in &self.gateways {
            let status = gateway.status();
            assert!(status["ready"] == true && status["draining"] == false, "{status}");
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for gateway in &self.gateways {
            let pid = fs::read_to_string(gateway.directory().join("pid")).unwrap_or_default();
            let _ = Command::new("kill").args(["-9", pid.trim()]).stderr(Stdio::null()).status();
        }
    }
}
