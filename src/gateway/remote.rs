//! What callers are told when Globus Compute has no result for them.

use std::time::Duration;

use http::StatusCode;

use super::refusal::Refusal;
use crate::backends::globus_compute::ComputeError;

/// What callers are told to wait for an endpoint that is offline or starting.
const NODES_RETRY: Duration = Duration::from_mins(1);

/// The same while the service itself is away.
const SERVICE_RETRY: Duration = Duration::from_secs(10);

/// Characters of a function's own words that are passed on.
const LONGEST_REASON: usize = 300;

/// The refusal for `error`. `what` begins its sentences, such as `Endpoint x`.
pub(super) fn refusal(what: &str, error: &ComputeError) -> Refusal {
    // Quoted, because a traceback has many lines.
    tracing::warn!(reason = ?error.to_string(), "{what}: Globus Compute gave no result");
    let unavailable = |code, words: &str, after| {
        Refusal::unavailable(code, format!("{what} is not to be had: {words}."), after)
    };
    match error {
        ComputeError::Offline => {
            unavailable("endpoint_offline", "its compute endpoint is offline", NODES_RETRY)
        }
        ComputeError::Starting => {
            unavailable("endpoint_starting", "its compute nodes are starting", NODES_RETRY)
        }
        ComputeError::TooLarge => {
            let message = "The request is too large for Globus Compute, which takes up to 10 MB.";
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
        }
        ComputeError::Full => {
            unavailable("too_busy", "too many requests wait for Globus Compute", SERVICE_RETRY)
        }
        ComputeError::Unavailable { retry_after, .. } => unavailable(
            "globus_unavailable",
            "Globus Compute does not answer at present",
            retry_after.unwrap_or(SERVICE_RETRY),
        ),
        ComputeError::Refused(_) => Refusal::bad_gateway(format!(
            "{what} is not to be had: Globus Compute refused; the gateway's operator has been told why."
        )),
        ComputeError::Failed(_) => Refusal::bad_gateway(format!(
            "{what} is not to be had: its function failed on the cluster; the gateway's operator can \
             see why in the log."
        )),
        ComputeError::Unreadable(_) => {
            Refusal::bad_gateway(format!("{what} has a result that cannot be read."))
        }
    }
}

/// Globus Compute is not configured.
pub(super) fn not_set_up() -> Refusal {
    let message = "This gateway is not connected to Globus Compute.";
    Refusal::unavailable("globus_not_configured", message, Duration::from_mins(5))
}

/// The process ends before the answer is there.
pub(super) fn stopping() -> Refusal {
    let message = "The gateway is stopping; try again.";
    Refusal::unavailable("stopping", message, Duration::from_secs(1))
}

/// What a traceback ends with, which is what went wrong; what is above it is the cluster's business.
pub(super) fn last_line(text: &str) -> String {
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    let shown = last.unwrap_or("no reason given").chars().filter(|c| !c.is_control());
    shown.take(LONGEST_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_traceback_an_owner_sees_the_last_line_and_others_nothing() {
        let text =
            "Traceback (most recent call last):\n  File \"/home/x/f.py\"\nValueError: no mask\n\n";
        assert_eq!(last_line(text), "ValueError: no mask");
        assert_eq!(last_line(" \n"), "no reason given");
        let refusal = refusal("The list", &ComputeError::Failed(text.to_owned()));
        assert!(!refusal.message.contains("mask"), "{}", refusal.message);
        assert_eq!(refusal.status, StatusCode::BAD_GATEWAY);
    }
}
