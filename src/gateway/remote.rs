//! What callers are told when Globus Compute has no result for them.

use std::time::Duration;

use http::StatusCode;

use super::refusal::Refusal;
use crate::backends::globus_compute::ComputeError;

/// What callers are told to wait where the cluster has to change first: an endpoint's state is asked
/// for once a minute.
const ENDPOINT_RETRY: Duration = Duration::from_mins(1);

/// What callers are told to wait where Globus does not say.
const SERVICE_RETRY: Duration = Duration::from_secs(10);

/// Characters of a function's own words that are passed on.
const LONGEST_REASON: usize = 300;

/// Characters of what Globus Compute says that go into the log.
const LONGEST_IN_LOG: usize = 4_000;

/// Logs `error` for the operator, without a function's words, and puts it into words for callers.
/// `what` begins the sentences, such as `Endpoint x`.
pub(super) fn refusal(what: &str, error: &ComputeError) -> Refusal {
    let reason: String = error.to_string().chars().take(LONGEST_IN_LOG).collect();
    match error {
        ComputeError::Offline | ComputeError::Starting | ComputeError::TooLarge => {
            tracing::debug!(reason, "{what}: refused");
        }
        _ => tracing::warn!(reason, "{what}: Globus Compute gave no result"),
    }
    told(what, error)
}

/// What callers are told about `error`, with nothing of what only an operator may know.
pub(super) fn told(what: &str, error: &ComputeError) -> Refusal {
    match error {
        ComputeError::Offline => Refusal::unavailable(
            "endpoint_offline",
            format!(
                "{what} is not available: its compute endpoint is offline. Try again later, or use \
                 another cluster."
            ),
            ENDPOINT_RETRY,
        ),
        ComputeError::Starting => Refusal::unavailable(
            "endpoint_starting",
            format!(
                "{what} is not available yet: its compute endpoint is online but not ready; it waits \
                 for compute nodes, or the model is loading, which takes some minutes. Try again \
                 later."
            ),
            ENDPOINT_RETRY,
        ),
        ComputeError::TooLarge => Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request_too_large",
            format!(
                "{what} cannot be sent a request of this size: Globus Compute takes up to 10 MB."
            ),
        ),
        ComputeError::Full => Refusal::unavailable(
            "endpoint_busy",
            format!(
                "{what} is not available: too many requests wait for Globus Compute. Try again in a \
                 moment."
            ),
            SERVICE_RETRY,
        ),
        ComputeError::Unavailable { retry_after, .. } => Refusal::unavailable(
            "compute_unavailable",
            format!(
                "{what} is not available: Globus Compute, which leads to it, does not answer as it \
                 should. Try again later."
            ),
            retry_after.unwrap_or(SERVICE_RETRY),
        ),
        ComputeError::Refused(_) => Refusal::bad_gateway(format!(
            "{what} is not available: Globus Compute refused; the gateway's operator can see why in \
             the log."
        )),
        ComputeError::Failed(_) => Refusal::bad_gateway(format!(
            "{what} is not available: its function failed on the cluster; the gateway's operator can \
             see in the log with which exception."
        )),
        ComputeError::Unreadable(_) => {
            Refusal::bad_gateway(format!("{what} gave an answer that cannot be read."))
        }
    }
}

/// Globus Compute is not configured.
pub(super) fn not_set_up() -> Refusal {
    let message = "This gateway is not connected to Globus Compute.";
    Refusal::unavailable("compute_not_configured", message, Duration::from_mins(5))
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
    fn each_failure_has_its_status_and_time_to_try_again() {
        let minute = Some(Duration::from_mins(1));
        let unavailable = |seconds: Option<u64>| ComputeError::Unavailable {
            reason: "status 500".to_owned(),
            retry_after: seconds.map(Duration::from_secs),
        };
        for (error, status, code, retry_after) in [
            (ComputeError::Offline, 503, "endpoint_offline", minute),
            (ComputeError::Starting, 503, "endpoint_starting", minute),
            (ComputeError::TooLarge, 413, "request_too_large", None),
            (ComputeError::Full, 503, "endpoint_busy", Some(Duration::from_secs(10))),
            (unavailable(None), 503, "compute_unavailable", Some(Duration::from_secs(10))),
            (unavailable(Some(7)), 503, "compute_unavailable", Some(Duration::from_secs(7))),
            (ComputeError::Refused("no".to_owned()), 502, "backend_failed", None),
            (ComputeError::Failed("no".to_owned()), 502, "backend_failed", None),
            (ComputeError::Unreadable("no".to_owned()), 502, "backend_failed", None),
        ] {
            let refusal = refusal("Endpoint polaris-vllm-m", &error);
            assert_eq!(refusal.status.as_u16(), status, "{refusal:?}");
            assert_eq!(refusal.code, Some(code));
            assert_eq!(refusal.retry_after, retry_after);
            assert!(refusal.message.starts_with("Endpoint polaris-vllm-m "), "{refusal:?}");
        }
    }

    #[test]
    fn callers_see_nothing_of_the_cluster() {
        let inside = "Traceback: /home/someone/f.py on gpu-node-17.example.org";
        for error in [
            ComputeError::Failed(inside.to_owned()),
            ComputeError::Refused(inside.to_owned()),
            ComputeError::Unreadable(inside.to_owned()),
            ComputeError::Unavailable { reason: inside.to_owned(), retry_after: None },
        ] {
            let message = refusal("The list", &error).message;
            assert!(!message.contains("someone") && !message.contains("gpu-node"), "{message}");
        }
    }

    #[test]
    fn of_a_traceback_its_owner_sees_the_last_line() {
        let text =
            "Traceback (most recent call last):\n  File \"/home/x/f.py\"\nValueError: no mask\n\n";
        assert_eq!(last_line(text), "ValueError: no mask");
        assert_eq!(last_line(" \n"), "no reason given");
    }
}
