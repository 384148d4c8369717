//! How often a caller may ask, and how often a peer may show what does not count.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

/// Callers or peers that are kept apart; those that have been quiet are forgotten before.
const MAX_KEYS: usize = 10_000;

/// How much is let through; none: all of it.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Requests of a caller in a second; twice as many at once.
    pub requests_per_second: Option<NonZeroU32>,
    /// Failed logins of a peer's address in a minute.
    pub failed_logins_per_minute: Option<NonZeroU32>,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            requests_per_second: NonZeroU32::new(200),
            failed_logins_per_minute: NonZeroU32::new(30),
        }
    }
}

type Keyed<K> = RateLimiter<K, HashMapStateStore<K>, MonotonicClock>;

/// What was let through lately.
#[derive(Debug)]
pub struct Limits {
    requests: Option<Keyed<String>>,
    failures: Option<Keyed<IpAddr>>,
}

impl Limits {
    /// Nothing was let through yet.
    pub fn new(rates: &Rates) -> Self {
        let per_second =
            |rate: NonZeroU32| Quota::per_second(rate).allow_burst(rate.saturating_mul(TWO));
        Self {
            requests: rates.requests_per_second.map(|rate| RateLimiter::hashmap(per_second(rate))),
            failures: rates
                .failed_logins_per_minute
                .map(|rate| RateLimiter::hashmap(Quota::per_minute(rate))),
        }
    }

    /// Counts a caller's request.
    ///
    /// # Errors
    /// It is one too many; how long to wait.
    pub fn request(&self, caller: &str) -> Result<(), Duration> {
        count(self.requests.as_ref(), &caller.to_owned())
    }

    /// Counts a failed login.
    ///
    /// # Errors
    /// It is one too many; how long to wait.
    pub fn failure(&self, peer: IpAddr) -> Result<(), Duration> {
        count(self.failures.as_ref(), &network(peer))
    }
}

const TWO: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

fn count<K: Hash + Eq + Clone>(limiter: Option<&Keyed<K>>, key: &K) -> Result<(), Duration> {
    let Some(limiter) = limiter else { return Ok(()) };
    if limiter.len() >= MAX_KEYS {
        limiter.retain_recent();
        if limiter.len() >= MAX_KEYS {
            return Err(Duration::from_secs(1));
        }
    }
    limiter.check_key(key).map_err(|until| until.wait_time_from(MonotonicClock.now()))
}

/// Who has one IPv6 address has all of its /64.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_a_network() {
        let limits = Limits::new(&Rates {
            failed_logins_per_minute: NonZeroU32::new(2),
            ..Rates::default()
        });
        for peer in ["2001:db8::1", "2001:db8::2:3", "10.0.0.1", "::ffff:10.0.0.1"] {
            assert_eq!(limits.failure(peer.parse().unwrap()), Ok(()), "{peer}");
        }
        for peer in ["2001:db8::4", "10.0.0.1"] {
            let wait = limits.failure(peer.parse().unwrap()).unwrap_err();
            assert!(wait > Duration::from_secs(1) && wait <= Duration::from_secs(30), "{wait:?}");
        }
        assert_eq!(limits.failure("2001:db8:0:1::1".parse().unwrap()), Ok(()));
    }

    #[test]
    fn callers_do_not_share_a_limit_and_peers_beyond_number_stay_bounded() {
        let limits = Limits::new(&Rates {
            requests_per_second: NonZeroU32::new(1),
            failed_logins_per_minute: NonZeroU32::new(1),
        });
        assert_eq!([limits.request("a"), limits.request("a"), limits.request("b")], [Ok(()); 3]);
        assert!(limits.request("a").is_err());
        for peer in 0..MAX_KEYS as u32 + 1_000 {
            // Only how many are kept matters.
            let _ = limits.failure(IpAddr::from(peer.to_be_bytes()));
        }
        assert!(limits.failures.unwrap().len() <= MAX_KEYS);
    }
}
