//! What callers read when a cluster gives no answer.

use super::*;

fn told(error: &ComputeError) -> Refusal {
    of_compute("polaris-vllm-m", error)
}

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
        let refusal = told(&error);
        assert_eq!(refusal.status.as_u16(), status, "{refusal:?}");
        assert_eq!(refusal.code, Some(code));
        assert_eq!(refusal.retry_after, retry_after);
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
        let message = told(&error).message;
        assert!(!message.contains("someone") && !message.contains("gpu-node"), "{message}");
    }
}
