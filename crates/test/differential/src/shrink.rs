//! Makes a case smaller as long as it still differs.

use crate::{element::Element, judge};

/// The smallest case that was found, and what differs in it.
#[must_use]
pub fn shrink(case: &Element, at: i64) -> (Element, Vec<String>) {
    let mut best = case.clone();
    let mut why = judge(&best.text(), at).unwrap_or_default();
    loop {
        let mut smaller = false;
        let mut position = best.size();
        while position > 0 {
            position -= 1;
            let mut tried = best.clone();
            if !tried.remove(&mut position.clone()) {
                continue;
            }
            if let Ok(differences) = judge(&tried.text(), at)
                && !differences.is_empty()
            {
                best = tried;
                why = differences;
                smaller = true;
                position = position.min(best.size());
            }
        }
        if !smaller {
            return (best, why);
        }
    }
}
