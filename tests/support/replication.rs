//! Streaming replicas, and what befalls a primary.

use std::{
    fs,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use super::postgres::{Postgres, as_service_user, newest_bin};

/// For what is no promise: plenty, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

impl Postgres {
    /// Makes a streaming replica of this server, and starts it.
    pub fn start_replica(&self) -> Self {
        let directory = super::postgres::private_directory();
        let data = directory.path().join("data");
        let mut copy = as_service_user(&newest_bin().join("pg_basebackup"));
        copy.args(["-h", "127.0.0.1", "-U", "figw", "-p", &self.port().to_string()]);
        copy.args(["-R", "-X", "stream", "-c", "fast", "--no-sync", "-D"]).arg(&data);
        let copied = copy.output().expect("pg_basebackup starts");
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        Self::start_in(directory, data)
    }

    /// Makes the replica a primary.
    pub fn promote(&self) {
        let mut promote = as_service_user(&newest_bin().join("pg_ctl"));
        promote.args(["promote", "-w", "-D"]).arg(self.data()).stdout(Stdio::null());
        assert!(promote.status().expect("pg_ctl starts").success(), "no promotion");
    }

    /// Waits until the replica has replayed all that the primary has now.
    pub fn wait_for(&self, primary: &Self) {
        let position = primary.query("postgres", "SELECT pg_current_wal_flush_lsn()");
        let reached = format!("SELECT pg_last_wal_replay_lsn() >= '{position}'");
        let given_up = Instant::now() + PATIENCE;
        while self.query("postgres", &reached) != "t" {
            assert!(Instant::now() < given_up, "the replica does not reach {position}");
            sleep(Duration::from_millis(20));
        }
    }

    /// Lets the replica replay no more, or go on.
    pub fn replay(&self, goes_on: bool) {
        let word = if goes_on { "resume" } else { "pause" };
        self.query("postgres", &format!("SELECT pg_wal_replay_{word}()"));
    }

    /// Lets the replica receive no more.
    pub fn cut_off(&self) {
        self.query("postgres", "ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=9'");
        self.query("postgres", "SELECT pg_reload_conf()");
        let given_up = Instant::now() + PATIENCE;
        while self.query("postgres", "SELECT count(*) FROM pg_stat_wal_receiver") != "0" {
            assert!(Instant::now() < given_up, "the replica still receives");
            sleep(Duration::from_millis(20));
        }
    }

    /// Ends all of its processes at once, as a power failure does.
    pub fn pull_the_plug(&mut self) {
        signal("KILL", &self.processes());
        self.bury();
    }

    /// Stops all of its processes where they are, connections and all.
    pub fn freeze(&self) {
        // The main process first, which would make new ones.
        signal("STOP", &[self.pid()]);
        signal("STOP", &self.processes());
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        signal("CONT", &self.processes());
    }

    /// The main process and its children.
    fn processes(&self) -> Vec<u32> {
        let parent = self.pid();
        let is_child = |pid: u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            status.lines().any(|line| line == format!("PPid:\t{parent}"))
        };
        let all = fs::read_dir("/proc").expect("a list of processes");
        let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let mut processes = vec![parent];
        processes.extend(pids.filter(|pid| is_child(*pid)));
        processes
    }
}

fn signal(name: &str, pids: &[u32]) {
    let mut kill = Command::new("kill");
    kill.arg(format!("-{name}")).args(pids.iter().map(u32::to_string)).stderr(Stdio::null());
    // One of the children may have ended by itself.
    kill.status().expect("kill runs");
}
