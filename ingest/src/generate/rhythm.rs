//! When sessions start: by the hour and the weekday of each client's own time zone.

use super::random::Random;

/// Microseconds in an hour.
const HOUR_US: i64 = 3_600_000_000;
/// Microseconds in a day.
const DAY_US: i64 = 24 * HOUR_US;

/// A tenant of the generated world.
pub struct Client {
    /// Its `clientid`.
    pub name: &'static str,
    /// Its share of all sessions, in any unit.
    share: u64,
    /// How far its clocks are ahead of UTC, in minutes.
    pub offset_minutes: i64,
}

/// The tenants.
pub const CLIENTS: [Client; 3] = [
    Client { name: "acme", share: 50, offset_minutes: -5 * 60 },
    Client { name: "globex", share: 30, offset_minutes: 60 },
    Client { name: "initech", share: 20, offset_minutes: 5 * 60 + 30 },
];

/// Relative traffic by local hour, midnight first.
const BY_HOUR: [u64; 24] =
    [6, 4, 3, 2, 2, 4, 9, 20, 42, 66, 78, 74, 60, 62, 70, 72, 64, 52, 40, 34, 30, 24, 16, 10];
/// Relative traffic by local weekday, Monday first.
const BY_WEEKDAY: [u64; 7] = [110, 112, 108, 104, 90, 42, 36];

/// Hands out the start of every session, in order.
pub struct Rhythm {
    from_us: i64,
    until_us: i64,
    hours: i64,
    sessions: u64,
    total_weight: u128,
    weight_so_far: u128,
    next_hour: i64,
}

impl Rhythm {
    /// `sessions` starts in the `days` days before `until_us`.
    pub fn new(sessions: u64, days: u32, until_us: i64) -> Self {
        let hours = i64::from(days) * 24;
        let from_us = until_us.saturating_sub(hours * HOUR_US);
        let total_weight = (0..hours).map(|hour| weight(weights(from_us + hour * HOUR_US))).sum();
        Self { from_us, until_us, hours, sessions, total_weight, weight_so_far: 0, next_hour: 0 }
    }

    /// The starts of the next hour, each with its client, in order; `None` when all are out.
    ///
    /// Every hour gets its share to the nearest whole session, so the sum is exact.
    pub fn next_hour(&mut self, random: &mut Random) -> Option<Vec<(i64, u8)>> {
        if self.next_hour == self.hours {
            return None;
        }
        let begin = self.from_us + self.next_hour * HOUR_US;
        let weights = weights(begin);
        let before = self.share();
        self.weight_so_far += weight(weights);
        self.next_hour += 1;
        let count = self.share() - before;
        let mut starts: Vec<(i64, u8)> = (0..count)
            .map(|_| {
                let at = begin + random.below(HOUR_US as u64) as i64;
                (at.min(self.until_us - 1), random.pick(&weights))
            })
            .collect();
        starts.sort_unstable();
        Some(starts)
    }

    fn share(&self) -> u128 {
        u128::from(self.sessions) * self.weight_so_far / self.total_weight.max(1)
    }
}

/// The traffic of each client in the hour that begins at `begin_us`.
fn weights(begin_us: i64) -> [u32; 3] {
    CLIENTS.map(|client| {
        let local = begin_us + client.offset_minutes * 60_000_000;
        let hour = local.rem_euclid(DAY_US) / HOUR_US;
        // 1970-01-01 was a Thursday, the fourth day counted from Monday.
        let weekday = (local.div_euclid(DAY_US) + 3).rem_euclid(7);
        (client.share * BY_HOUR[hour as usize] * BY_WEEKDAY[weekday as usize]) as u32
    })
}

fn weight(weights: [u32; 3]) -> u128 {
    weights.iter().map(|&weight| u128::from(weight)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-02T00:00:00Z, a Monday.
    const MONDAY: i64 = 1_772_409_600_000_000;

    fn starts(sessions: u64, days: u32, until: i64) -> Vec<(i64, u8)> {
        let mut rhythm = Rhythm::new(sessions, days, until);
        let mut random = Random::new([1, 0, 0, 0]);
        std::iter::from_fn(|| rhythm.next_hour(&mut random)).flatten().collect()
    }

    #[test]
    fn every_session_starts_once_within_the_days_and_in_order() {
        for (sessions, days) in [(0, 3), (1, 1), (1_234, 7), (5_000, 28)] {
            let starts = starts(sessions, days, MONDAY);
            assert_eq!(starts.len() as u64, sessions);
            assert!(starts.is_sorted_by_key(|start| start.0));
            let from = MONDAY - i64::from(days) * DAY_US;
            assert!(starts.iter().all(|start| (from..MONDAY).contains(&start.0)));
        }
    }

    #[test]
    fn working_days_and_hours_are_busier() {
        let starts = starts(20_000, 14, MONDAY);
        let weekend = starts.iter().filter(|s| (s.0.div_euclid(DAY_US) + 3) % 7 >= 5).count();
        assert!((1_000..4_000).contains(&weekend), "{weekend} of 20,000 at weekends");
        let acme = |hours: std::ops::Range<i64>| {
            let local = |at: i64| (at - 5 * HOUR_US).rem_euclid(DAY_US) / HOUR_US;
            starts.iter().filter(|s| s.1 == 0 && hours.contains(&local(s.0))).count()
        };
        assert!(acme(9..12) > 10 * acme(1..4), "{} and {}", acme(9..12), acme(1..4));
    }
}
