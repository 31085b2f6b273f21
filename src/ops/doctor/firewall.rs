//! The rules of this machine's firewall, as far as they can be read.

use std::{process::Stdio, time::Duration};

use tokio::process::Command;

use super::{Finding, Subject};

/// How long a firewall's program may take.
const PATIENCE: Duration = Duration::from_secs(5);

const REMEDY: &str = "`figw generate firewall` has the rules; run `figw doctor` as root to have them \
                      looked at";

/// Something decides what comes in, where figw listens to the network.
pub(super) async fn rules(subject: &Subject) -> Finding {
    let server = subject.server();
    let open = [server.listen, server.admin_listen];
    let open = open.iter().filter(|listen| !listen.ip().is_loopback());
    let open: Vec<_> = open.map(ToString::to_string).collect();
    if open.is_empty() {
        return Finding::pass("nothing of figw's listens to the network");
    }
    let open = open.join(" and ");
    let (nftables, ufw) = tokio::join!(said("nft", &["list", "ruleset"]), said("ufw", &["status"]));
    let has_hook = nftables.as_deref().is_some_and(|rules| rules.contains("hook input"));
    let is_active = ufw.as_deref().is_some_and(|status| status.contains("Status: active"));
    if has_hook || is_active {
        let whose = if is_active { "ufw" } else { "nftables" };
        return Finding::pass(format!("{whose} has rules for what comes in to {open}"));
    }
    let seen = match (nftables, ufw) {
        (None, None) => "no firewall's rules can be read here",
        _ => "no rule decides what comes in",
    };
    Finding::warn(format!("figw listens to the network at {open}, and {seen}"), REMEDY)
}

/// What a program says; nothing when it is not there, or says that it may not.
async fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
