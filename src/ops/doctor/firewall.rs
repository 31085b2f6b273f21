//! The rules of this machine's firewall, as far as they can be read.

use std::{collections::BTreeSet, process::Stdio, time::Duration};

use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;

use super::{Finding, Subject};

/// How long a firewall's program may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the firewall's rules say of what comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Firewall {
    /// Rules of this program keep something out.
    InForce(&'static str),
    /// There are rules to read, and none of them keeps anything out.
    Open,
    /// None can be read.
    Unreadable,
}

impl Firewall {
    /// Looks at this machine's.
    pub(super) async fn look() -> Self {
        let (nftables, ufw) =
            tokio::join!(said("nft", &["-j", "list", "ruleset"]), said("ufw", &["status"]));
        let ufw = ufw.map(|status| status.contains("Status: active"));
        match (nftables.as_deref().and_then(keeps_out), ufw) {
            (_, Some(true)) => Self::InForce("ufw"),
            (Some(true), _) => Self::InForce("nftables"),
            (None, None) => Self::Unreadable,
            _ => Self::Open,
        }
    }
}

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
    let (seen, remedy) = match Firewall::look().await {
        Firewall::InForce(whose) => {
            return Finding::pass(format!("{whose} has rules for what comes in to {open}"));
        }
        Firewall::Open => (
            "no rule keeps out anything that comes in",
            "load the rules that `figw generate firewall` has",
        ),
        Firewall::Unreadable => (
            "no firewall's rules can be read here",
            "`figw generate firewall` has the rules; run `figw doctor` as root to have them looked at",
        ),
    };
    Finding::warn(format!("figw listens to the network at {open}, and {seen}"), remedy)
}

/// What a program says; nothing when it is not there, or says that it may not.
async fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What `nft -j list ruleset` says, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Ruleset {
    nftables: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    chain: Option<Chain>,
    rule: Option<Rule>,
}

/// A chain, in its table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Place {
    family: String,
    table: String,
    #[serde(alias = "name")]
    chain: String,
}

#[derive(Debug, Deserialize)]
struct Chain {
    #[serde(flatten)]
    place: Place,
    hook: Option<String>,
    policy: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Rule {
    #[serde(flatten)]
    place: Place,
    expr: Vec<Value>,
}

/// Whether anything that comes in is dropped or refused, by a chain's policy or by a rule that it comes
/// to. A chain alone says nothing: Docker, for one, makes some that let everything through.
fn keeps_out(listed: &str) -> Option<bool> {
    let ruleset: Ruleset = serde_json::from_str(listed).ok()?;
    let (mut chains, mut rules) = (Vec::new(), Vec::new());
    for entry in ruleset.nftables {
        chains.extend(entry.chain);
        rules.extend(entry.rule);
    }
    chains.retain(|chain| {
        chain.hook.as_deref() == Some("input")
            && ["ip", "ip6", "inet"].contains(&chain.place.family.as_str())
    });
    if chains.iter().any(|chain| chain.policy.as_deref() == Some("drop")) {
        return Some(true);
    }
    let mut next: Vec<_> = chains.into_iter().map(|chain| chain.place).collect();
    let mut seen = BTreeSet::new();
    while let Some(place) = next.pop() {
        if !seen.insert(place.clone()) {
            continue;
        }
        for rule in rules.iter().filter(|rule| rule.place == place) {
            let mut verdicts = Verdicts::default();
            rule.expr.iter().for_each(|part| verdicts.find(part));
            if verdicts.keeps_out {
                return Some(true);
            }
            next.extend(
                verdicts
                    .chains
                    .iter()
                    .map(|chain| Place { chain: (*chain).to_owned(), ..place.clone() }),
            );
        }
    }
    Some(false)
}

/// What a rule may decide; it may stand in a map.
#[derive(Debug, Default)]
struct Verdicts<'a> {
    keeps_out: bool,
    /// Chains that are gone to.
    chains: Vec<&'a str>,
}

impl<'a> Verdicts<'a> {
    fn find(&mut self, value: &'a Value) {
        match value {
            Value::Array(parts) => parts.iter().for_each(|part| self.find(part)),
            Value::Object(parts) => {
                for (name, value) in parts {
                    match name.as_str() {
                        "drop" | "reject" => self.keeps_out = true,
                        "jump" | "goto" => self.chains.extend(value["target"].as_str()),
                        _ => self.find(value),
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As nft lists them: a base chain of this hook and policy, `FORWARD` that drops, and these rules of
    /// these chains.
    fn listed(hook: &str, policy: &str, rules: &[(&str, &str)]) -> String {
        let rules = rules.iter().map(|(chain, expr)| {
            format!(
                r#", {{"rule": {{"family": "ip", "table": "filter", "chain": "{chain}", "handle": 3,
                "expr": [{{"counter": {{"packets": 0, "bytes": 0}}}}, {expr}]}}}}"#
            )
        });
        format!(
            r#"{{"nftables": [{{"metainfo": {{"version": "1.0.6", "json_schema_version": 1}}}},
            {{"table": {{"family": "ip", "name": "filter", "handle": 1}}}},
            {{"chain": {{"family": "ip", "table": "filter", "name": "INPUT", "handle": 1,
              "type": "filter", "hook": "{hook}", "prio": 0, "policy": "{policy}"}}}},
            {{"chain": {{"family": "ip", "table": "filter", "name": "FORWARD", "handle": 2,
              "type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}}}},
            {{"chain": {{"family": "ip", "table": "filter", "name": "OTHERS", "handle": 3}}}}{}]}}"#,
            rules.collect::<String>()
        )
    }

    #[test]
    fn a_firewall_is_what_keeps_something_out() {
        let drop = r#"{"drop": null}"#;
        let reject = r#"{"reject": {"type": "icmp", "expr": "port-unreachable"}}"#;
        let accept = r#"{"accept": null}"#;
        let jump = r#"{"jump": {"target": "OTHERS"}}"#;
        let map = r#"{"vmap": {"key": {"meta": {"key": "iifname"}},
                    "data": {"set": [["lo", {"accept": null}], ["eth0", {"goto": {"target": "OTHERS"}}]]}}}"#;
        for (hook, policy, rules, expected) in [
            ("input", "drop", &[][..], true),
            ("input", "accept", &[], false),
            ("input", "accept", &[("INPUT", accept)], false),
            ("input", "accept", &[("INPUT", drop)], true),
            ("input", "accept", &[("INPUT", reject)], true),
            ("input", "accept", &[("FORWARD", drop), ("OTHERS", drop)], false),
            ("input", "accept", &[("INPUT", jump), ("OTHERS", reject)], true),
            ("input", "accept", &[("INPUT", map), ("OTHERS", drop)], true),
            ("input", "accept", &[("INPUT", jump), ("OTHERS", jump)], false),
            ("output", "drop", &[("INPUT", drop)], false),
        ] {
            assert_eq!(
                keeps_out(&listed(hook, policy, rules)),
                Some(expected),
                "{policy} {rules:?}"
            );
        }
        assert_eq!(keeps_out(r#"{"nftables": []}"#), Some(false));
        assert_eq!(keeps_out("Error: syntax error"), None);
    }
}
