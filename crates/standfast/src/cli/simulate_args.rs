//! Flags of `simulate`. What they do is in `simulate`.

use clap::Args;
use std::path::PathBuf;

/// `simulate`
#[derive(Debug, Args)]
#[command(
    after_help = "Things happen in this order, each when the one before is over: the file is applied, resources fail one after \
the other, nodes are lost one after the other. With --cib everything happens at once, and is decided once."
)]
pub struct SimulateArgs {
    /// A node is lost; several at once as NODE,NODE. May be given again
    #[arg(long, value_name = "NODE[,NODE]")]
    pub fail: Vec<String>,
    /// A resource fails once where it runs. May be given again. With --cib also RESOURCE@NODE
    #[arg(long, value_name = "RESOURCE")]
    pub fail_resource: Vec<String>,
    /// This configuration file is in force first; - reads the standard input
    #[arg(long, value_name = "FILE", conflicts_with = "cib")]
    pub apply: Option<PathBuf>,
    /// Cluster information base of Pacemaker, as XML, instead of this cluster ('-': standard input)
    #[arg(long, value_name = "FILE")]
    pub cib: Option<PathBuf>,
    /// Decide as if it were this time, such as 2024-02-29T12:00:00Z: what was ordered until then is over [default: now; with
    /// --cib the CIB's own time]
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Keep what it is decided from in a new file, for `replay`
    #[arg(long, value_name = "FILE", conflicts_with = "cib")]
    pub save: Option<PathBuf>,
    /// Say of this resource why each of its copies is where it ends up, and what would have to change for it to be elsewhere
    #[arg(long, value_name = "RESOURCE", requires = "cib")]
    pub explain: Option<String>,
    /// Print JSON (standfast/simulation/1; with --cib standfast/simulate/1, with --explain standfast/account/1)
    #[arg(long)]
    pub json: bool,
}

/// `replay`
#[derive(Debug, Args)]
#[command(
    after_help = "Without anything imagined it is decided again what was decided then. Things happen in the order of `simulate`."
)]
pub struct ReplayArgs {
    /// What `simulate --save` has kept ('-': standard input)
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// As if it were this time, such as 2024-02-29T12:00:00Z [default: when it was saved]
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// This configuration file is in force first
    #[arg(long, value_name = "FILE")]
    pub apply: Option<PathBuf>,
    /// A resource fails once where it runs. May be given again
    #[arg(long, value_name = "RESOURCE")]
    pub fail_resource: Vec<String>,
    /// A node is lost; several at once as NODE,NODE. May be given again
    #[arg(long, value_name = "NODE[,NODE]")]
    pub fail: Vec<String>,
    /// Print JSON (standfast/simulation/1)
    #[arg(long)]
    pub json: bool,
}
