//! Sorting millions of durations.

/// Values from which counting digits is faster than comparing.
const MANY: usize = 4_096;

/// The most bits of a digit: that many places to write to stay in the cache.
const WIDEST: u32 = 11;

/// Sorts ascending: by digits from the lowest on, without the bits at both ends that all values share.
pub fn sort(values: &mut Vec<i64>) {
    if values.len() < MANY {
        return values.sort_unstable();
    }
    let (mut any, mut all) = (0, u64::MAX);
    for &value in values.iter() {
        any |= key(value);
        all &= key(value);
    }
    let differ = any ^ all;
    if differ == 0 {
        return;
    }
    let (low, bits) = (differ.trailing_zeros(), u64::BITS - differ.leading_zeros());
    let digits = (bits - low).div_ceil(WIDEST);
    let width = (bits - low).div_ceil(digits);
    let digit = |value: i64, place: u32| {
        (key(value) >> (low + place * width)) as usize & ((1 << width) - 1)
    };
    let mut counts = vec![0_usize; (digits as usize) << width];
    for &value in values.iter() {
        for place in 0..digits {
            counts[(place as usize) << width | digit(value, place)] += 1;
        }
    }
    let mut sorted = vec![0; values.len()];
    for (place, starts) in (0..digits).zip(counts.chunks_exact_mut(1 << width)) {
        let mut next = 0;
        for start in starts.iter_mut() {
            next += std::mem::replace(start, next);
        }
        for &value in values.iter() {
            let start = &mut starts[digit(value, place)];
            sorted[*start] = value;
            *start += 1;
        }
        std::mem::swap(values, &mut sorted);
    }
}

/// The values that have these ascending places among all in order, without sorting all. Places beyond
/// the last have none.
pub fn select(values: &[i64], places: &[usize]) -> Vec<i64> {
    if values.len() < MANY {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        return places.iter().filter_map(|&place| sorted.get(place).copied()).collect();
    }
    let (Some(&least), Some(&greatest)) = (values.iter().min(), values.iter().max()) else {
        return Vec::new();
    };
    let spread = greatest.wrapping_sub(least) as u64;
    let shift = (u64::BITS - spread.leading_zeros()).saturating_sub(WIDEST);
    let bucket = |value: i64| (value.wrapping_sub(least) as u64 >> shift) as usize;
    let mut counts = [0_usize; 1 << WIDEST];
    values.iter().for_each(|&value| counts[bucket(value)] += 1);
    // Of those buckets that hold a place, where it is among what they hold.
    let mut wanted = [false; 1 << WIDEST];
    let (mut found, mut before, mut kept) = (Vec::with_capacity(places.len()), 0, 0);
    let mut asked = places.iter().peekable();
    for (wanted, count) in wanted.iter_mut().zip(counts) {
        while let Some(&place) = asked.next_if(|&&place| place < before + count) {
            found.push(kept + place - before);
            *wanted = true;
        }
        before += count;
        kept += if *wanted { count } else { 0 };
    }
    let mut near = Vec::with_capacity(kept);
    near.extend(values.iter().copied().filter(|&value| wanted[bucket(value)]));
    sort(&mut near);
    found.into_iter().map(|place| near[place]).collect()
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
        fn it_sorts_and_selects(
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
            let places = [0, 0, 1, length / 3, length / 2, length / 2 + 1, length - 1];
            let there = places.map(|place| expected[place]);
            prop_assert_eq!(&super::select(&values, &places), &there);
            prop_assert_eq!(&super::select(&values[..1], &[0, 1]), &values[..1]);
            super::sort(&mut values);
            prop_assert_eq!(values, expected);
        }
    }
}
