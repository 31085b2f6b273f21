//! Axes with round steps.

/// The ends of the steps of an axis from zero to at least `largest`: about four, each round.
pub(super) fn steps(largest: u64) -> Vec<u64> {
    let rough = (largest / 4).max(1);
    let mut size = 1_u64;
    while size.saturating_mul(10) <= rough {
        size = size.saturating_mul(10);
    }
    let step = [1, 2, 5, 10]
        .into_iter()
        .map(|factor| size.saturating_mul(factor))
        .find(|step| step.saturating_mul(5) >= largest)
        .unwrap_or(u64::MAX / 5);
    let mut ends = vec![0];
    while ends.last().is_some_and(|end| *end < largest) && ends.len() < 7 {
        let next = ends.last().copied().unwrap_or(0).saturating_add(step);
        ends.push(next);
    }
    if ends.len() == 1 {
        ends.push(step);
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_reach_beyond_everything() {
        for (largest, expected) in [
            (0, vec![0, 1]),
            (1, vec![0, 1]),
            (4, vec![0, 1, 2, 3, 4]),
            (7, vec![0, 2, 4, 6, 8]),
            (950, vec![0, 200, 400, 600, 800, 1000]),
            (1001, vec![0, 500, 1000, 1500]),
        ] {
            assert_eq!(steps(largest), expected, "{largest}");
        }
        for largest in [u64::MAX, u64::MAX / 2, 10_000_000_000_000_000_000] {
            let ends = steps(largest);
            assert!(ends.len() <= 7 && ends[ends.len() - 1] >= largest / 2, "{ends:?}");
        }
    }
}
