//! Patterns of resource names: extended regular expressions without references.
//!
//! Not for anything larger: the time is not bounded by the length.

/// Whether the pattern occurs in the text.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    (0..=text.len()).any(|start| ways(&pattern, &text, start).iter().any(|_| true))
}

/// The positions where a match of the pattern that begins at `start` may end.
fn ways(pattern: &[char], text: &[char], start: usize) -> Vec<usize> {
    let branches = split(pattern);
    let mut ends: Vec<usize> = branches
        .iter()
        .flat_map(|branch| sequence(branch, text, start))
        .collect();
    ends.sort_unstable();
    ends.dedup();
    ends
}

/// Alternatives at the outermost level.
fn split(pattern: &[char]) -> Vec<&[char]> {
    let (mut depth, mut from, mut at, mut parts) = (0, 0, 0, Vec::new());
    while let Some(symbol) = pattern.get(at) {
        match symbol {
            '\\' => at += 1,
            '(' => depth += 1,
            ')' => depth -= 1,
            '|' if depth == 0 => {
                parts.push(pattern.get(from..at).unwrap_or_default());
                from = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    parts.push(pattern.get(from..).unwrap_or_default());
    parts
}

fn sequence(pattern: &[char], text: &[char], start: usize) -> Vec<usize> {
    let Some(first) = pattern.first() else {
        return vec![start];
    };
    let size = atom_size(pattern);
    let (atom, rest) = pattern.split_at(size.min(pattern.len()));
    if *first == '^' {
        return if start == 0 {
            sequence(rest, text, start)
        } else {
            Vec::new()
        };
    }
    if *first == '$' {
        return if start == text.len() {
            sequence(rest, text, start)
        } else {
            Vec::new()
        };
    }
    let (least, most, rest) = match rest.split_first() {
        Some(('*', rest)) => (0, usize::MAX, rest),
        Some(('+', rest)) => (1, usize::MAX, rest),
        Some(('?', rest)) => (0, 1, rest),
        _ => (1, 1, rest),
    };
    let (mut found, mut at, mut count) = (Vec::new(), vec![start], 0);
    while !at.is_empty() {
        if count >= least {
            found.extend(at.iter().flat_map(|at| sequence(rest, text, *at)));
        }
        if count >= most.min(text.len() + 1) {
            break;
        }
        at = at.iter().flat_map(|at| one(atom, text, *at)).collect();
        at.sort_unstable();
        at.dedup();
        count += 1;
    }
    found
}

fn atom_size(pattern: &[char]) -> usize {
    match pattern.first() {
        Some('\\') => 2,
        Some('[') => {
            let close = pattern.iter().skip(2).position(|symbol| *symbol == ']');
            close.map_or(1, |at| at + 3)
        }
        Some('(') => {
            let (mut depth, mut at) = (0, 0);
            while let Some(symbol) = pattern.get(at) {
                match symbol {
                    '\\' => at += 1,
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    break;
                }
            }
            at
        }
        _ => 1,
    }
}

fn one(atom: &[char], text: &[char], start: usize) -> Vec<usize> {
    if let ['(', inner @ .., ')'] = atom {
        return ways(inner, text, start);
    }
    let Some(symbol) = text.get(start) else {
        return Vec::new();
    };
    let fits = match atom {
        ['.'] => true,
        ['\\', escaped] => escaped == symbol,
        ['[', '^', inner @ .., ']'] => !in_class(inner, *symbol),
        ['[', inner @ .., ']'] => in_class(inner, *symbol),
        [plain] => plain == symbol,
        _ => false,
    };
    if fits { vec![start + 1] } else { Vec::new() }
}

fn in_class(class: &[char], symbol: char) -> bool {
    let mut at = 0;
    while let Some(low) = class.get(at) {
        if let (Some('-'), Some(high)) = (class.get(at + 1), class.get(at + 2)) {
            if (*low..=*high).contains(&symbol) {
                return true;
            }
            at += 3;
        } else {
            if *low == symbol {
                return true;
            }
            at += 1;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_names() {
        assert!(matches("^web[0-9]+$", "web12"));
        assert!(!matches("^web[0-9]+$", "web"));
        assert!(matches("a|b.d", "xbcd"));
        assert!(matches("^(db|web)-.*", "db-1"));
        assert!(!matches("^(db|web)-.*", "mail-1"));
        assert!(matches("^(a*)*$", "aaa"));
    }
}
