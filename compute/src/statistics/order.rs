//! Sorting millions of durations.

/// Values from which counting digits is faster than comparing.
const MANY: usize = 4_096;

/// Sorts ascending: by digits of a byte from the lowest on, those that all values share left out.
pub fn sort(values: &mut Vec<i64>) {
    if values.len() < MANY {
        return values.sort_unstable();
    }
    let (mut any, mut all) = (0, u64::MAX);
    for &value in values.iter() {
        any |= key(value);
        all &= key(value);
    }
    let mut sorted = vec![0; values.len()];
    for shift in (0..u64::BITS).step_by(8).filter(|shift| (any ^ all) >> shift & 0xFF != 0) {
        let digit = |value: i64| (key(value) >> shift & 0xFF) as usize;
        let mut counts = [0_usize; 256];
        values.iter().for_each(|&value| counts[digit(value)] += 1);
        let mut next = 0;
        let mut places = counts.map(|count| {
            next += count;
            next - count
        });
        for &value in values.iter() {
            let place = &mut places[digit(value)];
            sorted[*place] = value;
            *place += 1;
        }
        std::mem::swap(values, &mut sorted);
    }
}

/// Unsigned in the order of the signed.
fn key(value: i64) -> u64 {
    value as u64 ^ 1 << 63
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn it_sorts(
            some in proptest::collection::vec(any::<i64>(), 1..40),
            bits in 0..64_u32,
            length in 4_000..9_000_usize,
        ) {
            let mut seed = 1_i64;
            let mut values: Vec<i64> = some.iter().copied().cycle().take(length).map(|value| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(value);
                seed >> bits
            }).collect();
            let mut expected = values.clone();
            expected.sort_unstable();
            super::sort(&mut values);
            prop_assert_eq!(values, expected);
        }
    }
}
