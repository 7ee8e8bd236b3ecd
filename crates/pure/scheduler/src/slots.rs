//! Where nodes stand in the reference's tables of nodes.
//!
//! Which node is best does not depend on it, but for capacities: they can compare in circles, or be
//! equal, and then whoever is looked at first wins. Not for anything that has an order of its own.

/// Primes that hashes are reduced by, by the binary logarithm of the table's size.
const PRIMES: [u32; 12] = [1, 2, 3, 7, 13, 31, 61, 127, 251, 509, 1021, 2039];

/// Binary logarithm of the smallest table.
const SMALLEST: u32 = 3;

/// The slot of each key in a table that all are put into in their order.
pub(crate) fn slots(keys: &[&str]) -> Vec<usize> {
    let mut shift = SMALLEST;
    let mut table = vec![None; size(shift)];
    for (number, key) in keys.iter().enumerate() {
        put(&mut table, shift, (number, hash(key)));
        let used = number + 1;
        if table.len() <= used + used / 16 {
            shift = (usize::BITS - (used * 4 / 3).leading_zeros()).max(SMALLEST);
            let old = std::mem::replace(&mut table, vec![None; size(shift)]);
            for entry in old.into_iter().flatten() {
                put(&mut table, shift, entry);
            }
        }
    }
    let mut places = vec![0; keys.len()];
    for (slot, entry) in table.iter().enumerate() {
        if let Some(place) = entry.and_then(|(number, _)| places.get_mut(number)) {
            *place = slot;
        }
    }
    places
}

fn size(shift: u32) -> usize {
    1_usize.checked_shl(shift).unwrap_or(usize::MAX)
}

/// Puts an entry where its hash says, or at growing distances from there.
fn put(table: &mut [Option<(usize, u32)>], shift: u32, entry: (usize, u32)) {
    let prime = usize::try_from(shift)
        .ok()
        .and_then(|shift| PRIMES.get(shift));
    let prime = prime.copied().unwrap_or(2039);
    let mut at = usize::try_from(entry.1.wrapping_mul(11) % prime).unwrap_or(0);
    for step in 1..=table.len() {
        match table.get_mut(at) {
            Some(slot @ None) => {
                *slot = Some(entry);
                return;
            }
            _ => at = (at + step) & (table.len() - 1),
        }
    }
}

/// The hash of a key; its letters count as signed.
fn hash(key: &str) -> u32 {
    let hash = key.bytes().fold(0_u32, |hash, byte| {
        let signed = i32::from(i8::from_ne_bytes([byte])).cast_unsigned();
        (hash << 5).wrapping_sub(hash).wrapping_add(signed)
    });
    // Two values mark slots that are free.
    hash.max(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_keys_stand_in_a_known_order() {
        assert_eq!(slots(&["1", "2", "3"]), [0, 4, 1]);
    }

    #[test]
    fn no_two_keys_share_a_slot_however_many_there_are() {
        let keys: Vec<String> = (0..100).map(|number| format!("node{number}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        for count in 0..keys.len() {
            let mut all = slots(&keys[..count]);
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count);
        }
    }
}
