//! Flags of maintenance and standby. What they do is in `maintenance` and `operate`.

use super::{args::DrainArgs, resource_args::lifetime};
use clap::{Args, Subcommand, ValueEnum};

/// `node standby`
#[derive(Debug, Args)]
pub struct StandbyArgs {
    /// How.
    #[command(flatten)]
    pub drain: DrainArgs,
    /// For so long (30s, 20m, 8h, 2d) [default: until `node resume`]
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    pub lifetime: Option<u64>,
}

/// `cluster`
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Leave everything alone, or look after it again
    Maintenance(ClusterMaintenanceArgs),
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It begins.
    On,
    /// It ends.
    Off,
}

/// `node maintenance`
#[derive(Debug, Args)]
pub struct NodeMaintenanceArgs {
    /// The node
    #[arg(value_name = "NODE")]
    pub node: String,
    /// Begin or end it
    #[arg(value_name = "on|off")]
    pub switch: Switch,
    /// How.
    #[command(flatten)]
    pub how: MaintenanceHow,
}

/// `cluster maintenance`
#[derive(Debug, Args)]
pub struct ClusterMaintenanceArgs {
    /// Begin or end it
    #[arg(value_name = "on|off")]
    pub switch: Switch,
    /// How.
    #[command(flatten)]
    pub how: MaintenanceHow,
}

/// How a maintenance begins or ends.
#[derive(Debug, Args)]
pub struct MaintenanceHow {
    /// How long to wait until it is so; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub wait: u64,
    /// Say what would happen, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON (standfast/node/1 or standfast/cluster/1; with --dry-run standfast/simulation/1)
    #[arg(long)]
    pub json: bool,
}
