//! Arithmetic of scores, as Pacemaker does it: minus infinity beats everything, infinity beats every
//! finite number, and no sum of finite numbers reaches infinity.

use standfast_model::plan::INFINITY;

/// Sum of two scores.
///
/// Anything at or beyond `INFINITY` counts as infinite. A finite sum stays finite.
#[must_use]
pub fn add(a: i64, b: i64) -> i64 {
    if a <= -INFINITY || b <= -INFINITY {
        -INFINITY
    } else if a >= INFINITY || b >= INFINITY {
        INFINITY
    } else {
        a.saturating_add(b).clamp(1 - INFINITY, INFINITY - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minus_infinity_beats_infinity() {
        assert_eq!(add(INFINITY, -INFINITY), -INFINITY);
        assert_eq!(add(-INFINITY, INFINITY), -INFINITY);
    }

    #[test]
    fn infinity_beats_every_finite_number() {
        assert_eq!(add(INFINITY, -999_999), INFINITY);
        assert_eq!(add(i64::MAX, 1), INFINITY);
    }

    #[test]
    fn finite_sums_stay_finite() {
        assert_eq!(add(999_999, 999_999), INFINITY - 1);
        assert_eq!(add(-999_999, -999_999), 1 - INFINITY);
        assert_eq!(add(200, -50), 150);
    }
}
