//! What the exit codes of OCF 1.1 mean. Not for what follows.

/// The action has succeeded; for `monitor`: it runs.
pub(crate) const SUCCESS: i32 = 0;
/// It is cleanly stopped.
pub(crate) const NOT_RUNNING: i32 = 7;
/// It runs, and something about it is not as it should be.
pub(crate) const DEGRADED: i32 = 190;

/// The code's name, for an operator.
pub(crate) const fn name(code: i32) -> &'static str {
    match code {
        SUCCESS => "success",
        1 => "error",
        2 => "wrong arguments",
        3 => "not implemented",
        4 => "insufficient privileges",
        5 => "not installed",
        6 => "not configured",
        NOT_RUNNING => "not running",
        8 => "running promoted",
        9 => "failed promoted",
        DEGRADED => "degraded",
        191 => "degraded promoted",
        _ => "no code of OCF",
    }
}

/// Whether a `monitor` that ends with it says that the resource runs. Promoted is an error of what is not promotable.
pub(crate) const fn runs(code: i32) -> bool {
    matches!(code, SUCCESS | DEGRADED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_running_and_degraded_are_healthy() {
        let all = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 190, 191, 255];
        let healthy: Vec<i32> = all.into_iter().filter(|code| runs(*code)).collect();
        assert_eq!(healthy, [0, 190]);
        let named = all.into_iter().filter(|code| name(*code) != name(255));
        assert_eq!(named.count(), 12);
    }
}
