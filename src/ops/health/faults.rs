//! What happens when something figw depends on fails: one table, which a test holds against a real
//! gateway, and which the manual prints (`figw-faults(7)`).

use std::time::Duration;

use clap_mangen::roff::{Roff, bold, roman};

use super::State;

/// How long `/health` and `/ready` take at most, whatever has failed.
pub const PROBES_WITHIN: Duration = Duration::from_millis(250);

/// How long `figw health` takes at most while the gateway answers.
pub const HEALTH_WITHIN: Duration = Duration::from_secs(2);

/// What `/ready` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// 200: all is well.
    Ready,
    /// 200: requests are served, and somebody should look.
    Degraded,
    /// 503: requests should go elsewhere.
    Unready,
}

impl Word {
    /// The status of the answer.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Ready | Self::Degraded => 200,
            Self::Unready => 503,
        }
    }

    /// As it stands in the body.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Unready => "unready",
        }
    }
}

/// What becomes of a caller's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is served.
    Served,
    /// It is refused with this status.
    Refused(u16),
    /// Its client does not send it.
    NotSent,
}

impl std::fmt::Display for Fate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Served => f.write_str("served"),
            Self::Refused(status) => write!(f, "{status}"),
            Self::NotSent => f.write_str("client refuses"),
        }
    }
}

/// A fault, and what it looks like. `/health` answers 200 throughout.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// Its name.
    pub name: &'static str,
    /// What has happened.
    pub what: &'static str,
    /// What `/ready` says.
    pub ready: Word,
    /// The checks there that are not ok.
    pub troubled: &'static [&'static str],
    /// The state of `figw health`.
    pub health: State,
    /// The state of `figw health --deep`, and how long that takes at most.
    pub deep: (State, Duration),
    /// The deep checks that are not ok.
    pub told_by: &'static [&'static str],
    /// What becomes of a caller with an API key.
    pub key: Fate,
    /// Of a caller whose Globus login is known from before.
    pub login: Fate,
    /// Of a caller whose Globus login is new.
    pub newcomer: Fate,
    /// What else an operator wants to know.
    pub note: &'static str,
}

const SOON: Duration = Duration::from_secs(8);
const WITH_PATIENCE: Duration = Duration::from_secs(20);

const SERVED: [Fate; 3] = [Fate::Served; 3];

/// What all faults have in common that leave callers alone.
const HARMLESS: Fault = Fault {
    name: "",
    what: "",
    ready: Word::Ready,
    troubled: &[],
    health: State::Ok,
    deep: (State::Ok, SOON),
    told_by: &[],
    key: SERVED[0],
    login: SERVED[1],
    newcomer: SERVED[2],
    note: "",
};

const DEGRADED: Fault = Fault { ready: Word::Degraded, health: State::Warning, ..HARMLESS };

/// Checks that need the catalogue, which only the database has.
const NO_CATALOGUE: &[&str] = &["database", "clusters", "endpoints"];

/// The table. With a database, Redis, Globus and a model on two clusters.
pub const FAULTS: &[Fault] = &[
    Fault { name: "none", what: "all is well", ..HARMLESS },
    Fault {
        name: "database down",
        what: "nobody listens at database.url",
        troubled: &["database", "rows"],
        deep: (State::Critical, SOON),
        told_by: NO_CATALOGUE,
        note: "The last catalogue stays in use, and rows wait in the spool. Changes to the \
               catalogue and to keys wait.",
        ..DEGRADED
    },
    Fault {
        name: "database hangs",
        what: "it accepts connections and does not answer",
        troubled: &["database", "rows"],
        deep: (State::Critical, WITH_PATIENCE),
        told_by: NO_CATALOGUE,
        note: "As above.",
        ..DEGRADED
    },
    Fault {
        name: "database read-only",
        what: "it answers, and takes no writes",
        troubled: &["rows"],
        deep: (State::Critical, SOON),
        told_by: &["database"],
        note: "Rows wait in the spool. Changes are refused.",
        ..DEGRADED
    },
    Fault {
        name: "database disk full",
        what: "the disk of its tables has no room",
        troubled: &["rows"],
        deep: (State::Warning, SOON),
        told_by: &[],
        note: "Rows wait in the spool. Only the gateway notices, for a look writes nothing.",
        ..DEGRADED
    },
    Fault {
        name: "spool disk full",
        what: "the file system of server.state_dir has no room",
        troubled: &["rows", "spool"],
        deep: (State::Critical, SOON),
        told_by: &["disk"],
        note: "Rows go to the database directly; they are lost when that fails as well.",
        ..DEGRADED
    },
    Fault {
        name: "Redis down",
        what: "nobody listens at cache.redis_url",
        troubled: &["cache"],
        deep: (State::Warning, SOON),
        told_by: &["redis"],
        note: "Each instance keeps its share of every limit.",
        ..DEGRADED
    },
    Fault {
        name: "Redis hangs",
        what: "it accepts connections and does not answer",
        troubled: &["cache"],
        deep: (State::Warning, WITH_PATIENCE),
        told_by: &["redis"],
        note: "As above.",
        ..DEGRADED
    },
    Fault {
        name: "Globus Auth down",
        what: "nobody listens at Globus Auth",
        troubled: &["globus"],
        deep: (State::Critical, WITH_PATIENCE),
        told_by: &["globus_auth", "globus_compute"],
        newcomer: Fate::Refused(503),
        note: "Who is known stays known until the token ends.",
        ..DEGRADED
    },
    Fault {
        name: "back end hangs",
        what: "one of the model's two back ends accepts requests and does not answer",
        deep: (State::Warning, WITH_PATIENCE),
        told_by: &["endpoints"],
        note: "A request waits for gateway.attempt_timeout and goes to the other one; after some \
               of them the endpoint is left out until it answers.",
        ..HARMLESS
    },
    Fault {
        name: "all back ends down",
        what: "nobody listens at any back end",
        troubled: &["endpoints"],
        deep: (State::Critical, SOON),
        told_by: &["endpoints"],
        key: Fate::Refused(502),
        login: Fate::Refused(502),
        newcomer: Fate::Refused(502),
        note: "From the moment that requests have failed.",
        ..DEGRADED
    },
    Fault {
        name: "certificate expired",
        what: "the time of the gateway's certificate is over",
        deep: (State::Critical, SOON),
        told_by: &["certificate"],
        key: Fate::NotSent,
        login: Fate::NotSent,
        newcomer: Fate::NotSent,
        note: "Clients that do not check certificates are served. It is warned of two weeks before.",
        ..HARMLESS
    },
    Fault {
        name: "clock off",
        what: "this machine's clock is an hour fast",
        deep: (State::Critical, SOON),
        told_by: &["clock"],
        note: "Keys and logins end an hour early.",
        ..HARMLESS
    },
    Fault {
        name: "draining",
        what: "its operator has asked it to drain",
        ready: Word::Unready,
        troubled: &["serving"],
        health: State::Critical,
        deep: (State::Critical, SOON),
        told_by: &[],
        key: Fate::Refused(503),
        login: Fate::Refused(503),
        newcomer: Fate::Refused(503),
        note: "Served for server.drain_grace, and then sent elsewhere.",
    },
];

/// The fault of that name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Fault> {
    FAULTS.iter().find(|fault| fault.name == name)
}

/// `figw-faults(7)`.
#[must_use]
pub fn manual() -> String {
    let mut page = Roff::new();
    let version = concat!("figw ", env!("CARGO_PKG_VERSION"));
    page.control("TH", ["figw-faults", "7", "", version, ""]);
    page.control("SH", ["NAME"]);
    page.text([roman("figw-faults - what happens when something fails, and who notices")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([roman(format!(
        "What a gateway with a database, Redis, Globus and a model on two clusters answers while \
         one thing has failed. GET /health answers 200 in each case, for the process is there. It \
         and GET /ready take at most {} ms, for they ask nobody; figw health takes at most {} s. \
         Served means that a request for the model is answered: of a caller with an API key, of \
         one whose Globus login is known from before, and of one who is new.",
        PROBES_WITHIN.as_millis(),
        HEALTH_WITHIN.as_secs(),
    ))]);
    page.control("SH", ["FAULTS"]);
    for fault in FAULTS {
        page.control("TP", []);
        page.text([bold(fault.name), roman(format!(" ({})", fault.what))]);
        page.text([roman(describe(fault))]);
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("figw-health"), roman("(1), "), bold("figw-config"), roman("(5)")]);
    page.render()
}

fn describe(fault: &Fault) -> String {
    let list = |names: &[&str]| match names {
        [] => String::new(),
        names => format!(" ({})", names.join(", ")),
    };
    let (deep, within) = fault.deep;
    format!(
        "/ready: {} {}{}. figw health: {}. figw health --deep: {}{}, within {} s. API key: {}; known \
         login: {}; new login: {}. {}",
        fault.ready.status(),
        fault.ready.as_str(),
        list(fault.troubled),
        fault.health.word(),
        deep.word(),
        list(fault.told_by),
        within.as_secs(),
        fault.key,
        fault.login,
        fault.newcomer,
        fault.note
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_checks_are_named_as_they_are() {
        let known: Vec<_> = super::super::names().collect();
        for fault in FAULTS {
            for name in fault.told_by {
                assert!(known.contains(name), "{}: {name}", fault.name);
            }
            assert!(!fault.name.is_empty() && !fault.what.is_empty());
        }
    }
}
