//! Flags of `resource`. What its commands do is in `resource` and `operate`.

use clap::{Args, Subcommand};

/// Longest time that an order may be given for.
const MOST_DAYS: u64 = 366;

/// `resource`
#[derive(Debug, Subcommand)]
pub enum ResourceCommand {
    /// Forget the failures of a group, so that it may run where it failed
    Cleanup(CleanupArgs),
    /// Move a group to another node; with --lifetime, and keep it there for that time
    Move(MoveArgs),
    /// Keep a group away from a node, for a time or until that is cleared
    Ban(BanArgs),
    /// Take back what move and ban have left behind
    Clear(ClearArgs),
    /// Stop a group, and keep it stopped until it is enabled
    Disable(SwitchArgs),
    /// Let a disabled group run again
    Enable(SwitchArgs),
    /// Stop a group and start it where it is
    Restart(RestartArgs),
    /// Leave a group alone: nothing of it is started, stopped, moved or restarted
    Unmanage(SwitchArgs),
    /// Look after a group again
    Manage(SwitchArgs),
    /// Forget the failures of a group, and have every node look again at what it has of it
    Refresh(SwitchArgs),
}

/// `resource cleanup`
#[derive(Debug, Args)]
pub struct CleanupArgs {
    /// The group, or one of its resources
    #[arg(value_name = "GROUP")]
    pub group: String,
    /// Print JSON (standfast/cleanup/1)
    #[arg(long)]
    pub json: bool,
}

/// How an order is carried out.
#[derive(Clone, Debug, Args)]
pub struct OrderHow {
    /// How long to wait until it is so; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub wait: u64,
    /// Even if something stops that can run nowhere else, or if your own connection comes through an address that moves
    #[arg(long)]
    pub force: bool,
    /// Say what would happen, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON (standfast/order/1; with --dry-run standfast/simulation/1)
    #[arg(long)]
    pub json: bool,
}

/// `resource move`
#[derive(Debug, Args)]
pub struct MoveArgs {
    /// The group
    #[arg(value_name = "GROUP")]
    pub group: String,
    /// Where to; the best other node when none is named
    #[arg(value_name = "NODE")]
    pub node: Option<String>,
    /// Keep it there for so long (30s, 20m, 8h, 2d), as long as that node can run it; without a node, keep it away from
    /// where it is now
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    pub lifetime: Option<u64>,
    /// How.
    #[command(flatten)]
    pub how: OrderHow,
}

/// `resource ban`
#[derive(Debug, Args)]
pub struct BanArgs {
    /// The group
    #[arg(value_name = "GROUP")]
    pub group: String,
    /// Away from which node; the one that runs it when none is named
    #[arg(value_name = "NODE")]
    pub node: Option<String>,
    /// For so long (30s, 20m, 8h, 2d) [default: until `resource clear`]
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    pub lifetime: Option<u64>,
    /// How.
    #[command(flatten)]
    pub how: OrderHow,
}

/// `resource clear`
#[derive(Debug, Args)]
pub struct ClearArgs {
    /// The group
    #[arg(value_name = "GROUP")]
    pub group: String,
    /// Only what is about this node
    #[arg(value_name = "NODE")]
    pub node: Option<String>,
    /// Say what would happen, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON (standfast/order/1; with --dry-run standfast/simulation/1)
    #[arg(long)]
    pub json: bool,
}

/// `resource disable`, `enable`, `unmanage`, `manage` and `refresh`
#[derive(Debug, Args)]
pub struct SwitchArgs {
    /// The group
    #[arg(value_name = "GROUP")]
    pub group: String,
    /// How.
    #[command(flatten)]
    pub how: OrderHow,
}

/// `resource restart`
#[derive(Debug, Args)]
pub struct RestartArgs {
    /// The group; or one of its resources, with those that start after it
    #[arg(value_name = "GROUP")]
    pub group: String,
    /// How.
    #[command(flatten)]
    pub how: OrderHow,
}

/// A number with its unit, as milliseconds.
pub(super) fn lifetime(text: &str) -> Result<u64, String> {
    let wrong = || format!("give a number with its unit, 30s, 20m, 8h or 2d, up to {MOST_DAYS}d");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match text.get(digits.len()..) {
        Some("s") => 1,
        Some("m") => 60,
        Some("h") => 3600,
        Some("d") => 86_400,
        _ => return Err(wrong()),
    };
    let number: Option<u64> = digits.parse().ok();
    let length = number.and_then(|number| number.checked_mul(seconds));
    let length = length.ok_or_else(wrong)?;
    if length == 0 || length > MOST_DAYS * 86_400 {
        return Err(wrong());
    }
    Ok(length * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_has_a_unit_and_an_end() {
        assert_eq!(lifetime("30s"), Ok(30_000));
        assert_eq!(lifetime("8h"), Ok(28_800_000));
        assert_eq!(lifetime("366d"), Ok(31_622_400_000));
        for wrong in [
            "",
            "h",
            "8",
            "0s",
            "-1s",
            "1w",
            "367d",
            "8hh",
            "99999999999999999999d",
        ] {
            assert!(lifetime(wrong).is_err(), "{wrong}");
        }
    }
}
