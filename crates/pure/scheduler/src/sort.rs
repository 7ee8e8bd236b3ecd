//! Orders of names and a sort that tolerates comparisons which are no total order.
//!
//! Not for scores. The comparisons of clone instances are not transitive in corner cases, and where
//! equal things end up is visible to users, so the algorithm is fixed here: a merge sort that halves
//! downwards and takes the left on ties.

use std::cmp::Ordering;

/// Sorts; `compare` need not be a total order.
pub(crate) fn merge_sort<T: Copy>(items: &mut Vec<T>, compare: &mut dyn FnMut(T, T) -> Ordering) {
    if items.len() < 2 {
        return;
    }
    let mut right = items.split_off(items.len() / 2);
    merge_sort(items, compare);
    merge_sort(&mut right, compare);
    let left = std::mem::take(items);
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    loop {
        let next = match (left.peek(), right.peek()) {
            (Some(&one), Some(&other)) if compare(one, other) != Ordering::Greater => left.next(),
            (_, Some(_)) => right.next(),
            (_, None) => left.next(),
        };
        match next {
            Some(item) => items.push(item),
            None => return,
        }
    }
}

/// Compares names without regard to case, with numbers in them as numbers: `node9` before `node10`.
#[must_use]
pub fn natural(one: &str, other: &str) -> Ordering {
    let (mut a, mut b) = (one.as_bytes(), other.as_bytes());
    loop {
        match (a.split_first(), b.split_first()) {
            (None, None) => return Ordering::Equal,
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some((x, rest_a)), Some((y, rest_b))) => {
                let numbers = x.is_ascii_digit() && y.is_ascii_digit();
                let order = if numbers {
                    number(a).0.cmp(&number(b).0)
                } else {
                    x.to_ascii_lowercase().cmp(&y.to_ascii_lowercase())
                };
                if order.is_ne() {
                    return order;
                }
                (a, b) = if numbers {
                    (number(a).1, number(b).1)
                } else {
                    (rest_a, rest_b)
                };
            }
        }
    }
}

fn number(mut text: &[u8]) -> (u128, &[u8]) {
    let mut value: u128 = 0;
    while let Some((&digit, rest)) = text.split_first() {
        if !digit.is_ascii_digit() {
            break;
        }
        value = value
            .saturating_mul(10)
            .saturating_add(u128::from(digit - b'0'));
        text = rest;
    }
    (value, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count() {
        assert_eq!(natural("node9", "Node10"), Ordering::Less);
        assert_eq!(natural("a", "b"), Ordering::Less);
        assert_eq!(natural("x1", "x01"), Ordering::Equal);
    }

    #[test]
    fn equal_things_stay_in_their_order() {
        let mut items = vec![(3, 'a'), (1, 'b'), (3, 'c'), (1, 'd'), (2, 'e')];
        merge_sort(&mut items, &mut |one, other| one.0.cmp(&other.0));
        let letters: String = items.iter().map(|item| item.1).collect();
        assert_eq!(letters, "bdeac");
    }
}
