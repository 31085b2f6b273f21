//! How often somebody may try to log in.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Attempts that fail, from one address within [`WINDOW`].
const MOST_FAILED: u32 = 10;
const WINDOW: Duration = Duration::from_mins(1);

/// Addresses that are remembered at one time; when there are more, those whose time is over go, or
/// else all of them.
const MOST_ADDRESSES: usize = 10_000;

/// Failed attempts of the last minute.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<IpAddr, (Instant, u32)>>);

impl Attempts {
    /// How long `client` has to wait before trying once more; none when it may try now.
    pub(super) fn wait(&self, client: IpAddr) -> Option<Duration> {
        let failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = failed.get(&neighbourhood(client))?;
        let left = WINDOW.checked_sub(since.elapsed())?;
        (*count >= MOST_FAILED).then_some(left)
    }

    /// Notes an attempt that failed.
    pub(super) fn failed(&self, client: IpAddr) {
        let now = Instant::now();
        let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.len() >= MOST_ADDRESSES {
            failed.retain(|_, (since, _)| since.elapsed() < WINDOW);
            if failed.len() >= MOST_ADDRESSES {
                failed.clear();
            }
        }
        let entry = failed.entry(neighbourhood(client)).or_insert((now, 0));
        if entry.0.elapsed() >= WINDOW {
            *entry = (now, 0);
        }
        entry.1 += 1;
    }
}

/// One machine has a whole network of IPv6 addresses.
fn neighbourhood(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_often_waits_and_nobody_else() {
        let attempts = Attempts::default();
        let client = |text: &str| text.parse::<IpAddr>().unwrap();
        for _ in 0..MOST_FAILED {
            assert_eq!(attempts.wait(client("2001:db8::1")), None);
            attempts.failed(client("2001:db8::1"));
        }
        assert!(attempts.wait(client("2001:db8::2")).is_some(), "of the same network");
        assert_eq!(attempts.wait(client("2001:db8:0:1::1")), None);
        assert_eq!(attempts.wait(client("192.0.2.1")), None);
    }
}
