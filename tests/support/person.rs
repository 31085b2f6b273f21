//! A person at a terminal of their own, with a home directory and, at times, a browser.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use url::Url;

use super::login_server::LoginServer;

/// The native application and the gateway that the logins are for.
pub const CLIENT: &str = "00000000-0000-4000-8000-00000000c11e";
pub const GATEWAY: &str = "00000000-0000-4000-8000-0000000006a7";

/// A person with a home directory of their own.
pub struct Person {
    home: TempDir,
    auth_url: String,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A page that a browser shows.
#[derive(Debug)]
pub struct Page {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Person {
    /// Somebody who has never logged in.
    pub fn new(auth: &LoginServer) -> Self {
        let home = TempDir::new().expect("a home directory");
        Self { home, auth_url: auth.url().to_owned() }
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Where the Globus SDK and figw keep the tokens.
    pub fn token_file(&self) -> PathBuf {
        self.home().join(format!(".globus/app/{CLIENT}/inference_app/tokens.json"))
    }

    /// What is in it.
    pub fn tokens(&self) -> Value {
        let text = fs::read(self.token_file()).expect("a token file");
        serde_json::from_slice(&text).expect("a token file in JSON")
    }

    /// The entry for the gateway.
    pub fn entry(&self) -> Value {
        self.tokens()["data"]["DEFAULT"][GATEWAY].clone()
    }

    /// Changes the file as another program might.
    pub fn edit(&self, change: impl FnOnce(&mut Value)) {
        let mut tokens = self.tokens();
        change(&mut tokens);
        fs::write(self.token_file(), tokens.to_string()).expect("a token file written");
    }

    /// Lets the gateway's access token end in so many seconds.
    pub fn let_it_end_in(&self, seconds: i64) {
        let now = jiff::Timestamp::now().as_second();
        self.edit(|tokens| {
            tokens["data"]["DEFAULT"][GATEWAY]["expires_at_seconds"] = (now + seconds).into();
        });
    }

    /// figw at this person's terminal, without a browser or a display.
    pub fn figw(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_figw"));
        command
            .args(arguments)
            .current_dir(self.home())
            .env("HOME", self.home())
            .env("FIGW_AUTH__GLOBUS__AUTH_URL", &self.auth_url)
            .env("NO_PROXY", "*")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for variable in
            ["XDG_CONFIG_HOME", "BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "SSH_TTY", "FIGW_CONFIG"]
        {
            command.env_remove(variable);
        }
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Said {
        said(self.figw(arguments).output().expect("figw runs"))
    }

    /// Begins a login that waits for the browser, and returns the address that it names.
    pub fn begin(&self, more: &[&str]) -> Waiting {
        let login =
            ["login", "--client-id", CLIENT, "--gateway", GATEWAY, "--no-browser", "--port", "0"];
        let mut child = self.figw(&[&login[..], more].concat()).spawn().expect("figw login starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("its standard error"));
        let mut seen = String::new();
        let url = loop {
            let mut line = String::new();
            let read = stderr.read_line(&mut line).expect("text");
            assert!(read > 0, "figw login names no address: {seen}");
            seen.push_str(&line);
            if let Ok(url) = line.trim().parse() {
                break url;
            }
        };
        Waiting { child, stderr, url, seen }
    }

    /// Logs in, in a browser.
    pub fn log_in(&self) -> Said {
        let waiting = self.begin(&[]);
        browse(waiting.url.as_str());
        waiting.end()
    }

    /// A program that can be set as `BROWSER`, and the file to which it writes what it opens.
    pub fn browser(&self) -> (PathBuf, PathBuf) {
        let (program, opened) = (self.home().join("browser"), self.home().join("opened"));
        let script =
            format!("#!/bin/sh\nprintf %s \"$1\" >{0}.new\nmv {0}.new {0}\n", opened.display());
        fs::write(&program, script).expect("a browser");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a program");
        (program, opened)
    }
}

/// A login that waits for the browser.
pub struct Waiting {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    /// The page on which to agree.
    pub url: Url,
    seen: String,
}

impl Waiting {
    /// A value of the page's address.
    pub fn asks_for(&self, name: &str) -> String {
        let mut pairs = self.url.query_pairs();
        let found = pairs.find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned()).unwrap_or_default()
    }

    /// Waits for the end of the command.
    pub fn end(mut self) -> Said {
        self.stderr.read_to_string(&mut self.seen).expect("text");
        let mut said = said(self.child.wait_with_output().expect("figw ends"));
        said.stderr = self.seen;
        said
    }
}

fn said(output: Output) -> Said {
    Said {
        status: output.status.code().expect("an exit status"),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

/// Opens an address as a browser does, through all redirects, and returns the page.
pub fn browse(url: &str) -> Page {
    let mut url: Url = url.parse().expect("an address");
    loop {
        let page = visit(&url).expect("a page");
        match page.header("location") {
            Some(next) => url = next.parse().expect("an address to go on to"),
            None => return page,
        }
    }
}

/// Opens one address; nothing when nobody is there.
pub fn visit(url: &Url) -> Option<Page> {
    let address = url.socket_addrs(|| None).expect("an address to connect to");
    let mut tcp = TcpStream::connect(&address[..]).ok()?;
    tcp.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    let target = url.query().map_or_else(|| url.path().into(), |q| format!("{}?{q}", url.path()));
    let host = url.host_str().expect("a host");
    write!(tcp, "GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Page { status, head: head.to_owned(), body: body.to_owned() })
}

impl Page {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// What a terminal shows, as it comes.
pub struct Screen {
    from: std::process::ChildStdout,
    shown: String,
}

impl Screen {
    pub fn of(from: std::process::ChildStdout) -> Self {
        Self { from, shown: String::new() }
    }

    /// Waits until it shows this.
    pub fn wait_for(&mut self, text: &str) {
        while !self.shown.contains(text) {
            self.more();
        }
    }

    /// Waits for a line that is an address.
    pub fn wait_for_address(&mut self) -> String {
        loop {
            let whole = self.shown.rsplit_once('\n').map_or("", |(whole, _)| whole);
            if let Some(line) = whole.lines().find(|line| line.starts_with("http")) {
                return line.trim().to_owned();
            }
            self.more();
        }
    }

    fn more(&mut self) {
        let mut buffer = [0; 4096];
        let read = self.from.read(&mut buffer).expect("a screen");
        assert!(read > 0, "the screen went dark after: {}", self.shown);
        self.shown.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
}
