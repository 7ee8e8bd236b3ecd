//! The one definition of the flags: parser, help, manual and completions come from it.

use super::{
    config_args::{ConfigCommand, HowArgs},
    defaults::NodeFile,
    fence::FenceArgs,
    maintenance_args::{ClusterCommand, NodeMaintenanceArgs, StandbyArgs},
    member_args::{BackupArgs, CertCommand, DestroyArgs, RecoverArgs, RemoveArgs, RestoreArgs},
    pair_args::{InitPairArgs, PairCommand},
    resource_args::ResourceCommand,
    simulate_args::{ReplayArgs, SimulateArgs},
};
use clap::{Args, Parser, Subcommand};
use std::{
    borrow::Cow,
    net::{AddrParseError, SocketAddr},
    path::{Path, PathBuf},
};

/// Where the agent's socket is unless something else is said.
const SOCKET: &str = "/run/standfast/standfast.sock";

/// Where metrics are unless something else is said: for this machine only.
const METRICS: &str = "127.0.0.1:7401";

/// Keeps services up on 2 to 16 machines: decides which machine runs what, and never lets two of them
/// both believe they are the primary.
#[derive(Debug, Parser)]
#[command(
    name = "standfast",
    version,
    arg_required_else_help = true,
    subcommand_required = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The agent's socket [default: /run/standfast/standfast.sock]
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// This machine's own settings [default: /etc/standfast/node.toml, if it is there]
    #[arg(long, global = true, value_name = "PATH")]
    pub node_file: Option<PathBuf>,
    /// What stands in that file.
    #[arg(skip)]
    pub(crate) node: NodeFile,
}

impl Cli {
    /// The socket of the agent to ask.
    #[must_use]
    pub fn socket(&self) -> Cow<'_, Path> {
        match (&self.socket, &self.node.settings.run) {
            (Some(socket), _) => Cow::Borrowed(socket),
            (None, Some(run)) => Cow::Owned(Path::new(run).join("standfast.sock")),
            (None, None) => Cow::Borrowed(Path::new(SOCKET)),
        }
    }
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say how the cluster is: one sentence, nodes, resources, warnings
    Status(StatusArgs),
    /// Put a configuration file in force
    Apply(ApplyArgs),
    /// Say what applying a configuration file would do; changes nothing
    Plan(PlanArgs),
    /// The configuration: show, edit, history, differences, drafts
    Config {
        /// What to do.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Move a group to another node
    Switchover(SwitchoverArgs),
    /// Drain a node, or let it work again
    Node {
        /// What to do with it.
        #[command(subcommand)]
        command: NodeCommand,
    },
    /// Leave the whole cluster alone, or look after it again
    Cluster {
        /// What.
        #[command(subcommand)]
        command: ClusterCommand,
    },
    /// Say why a group is where it is
    Explain(ExplainArgs),
    /// Say what was decided, when and why
    History(HistoryArgs),
    /// Examine all nodes: what is wrong, how bad it is, and what to do
    Doctor(DoctorArgs),
    /// Print the logs of all nodes and what their services print
    Logs(LogsArgs),
    /// Write one archive with logs, state, journal and configuration of all nodes, without secrets
    Report(ReportArgs),
    /// Say what would happen if nodes or resources failed or a file were applied, here or in a Pacemaker cluster; changes
    /// nothing
    Simulate(SimulateArgs),
    /// Decide again what `simulate --save` has kept; needs no cluster and changes nothing
    Replay(ReplayArgs),
    /// Make a configuration file of another cluster's configuration; changes nothing
    Import {
        /// Of which cluster.
        #[command(subcommand)]
        command: ImportCommand,
    },
    /// Check the cluster as a Nagios or Icinga plugin: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN
    Check(CheckArgs),
    /// Move, stop, restart a group; keep it on a node or away from one; forget its failures
    Resource {
        /// What to do.
        #[command(subcommand)]
        command: ResourceCommand,
    },
    /// Cut a node's power with its fence devices; test them; say what came of it
    Fence(FenceArgs),
    /// Make this machine the first node of a new cluster
    Init(InitArgs),
    /// Print a token that another machine joins with
    Token,
    /// Make this machine a node of an existing cluster
    Join(JoinArgs),
    /// Make this machine a witness of an existing cluster: it votes and runs nothing
    Witness(JoinArgs),
    /// Take a node out of the cluster for good
    Remove(RemoveArgs),
    /// Two nodes without a third voter: who is primary
    Pair {
        /// What to do.
        #[command(subcommand)]
        command: PairCommand,
    },
    /// Certificates of the nodes
    Cert {
        /// What to do.
        #[command(subcommand)]
        command: CertCommand,
    },
    /// Write the cluster's state (configuration, members, journal; no keys) to a file
    Backup(BackupArgs),
    /// Make a new cluster from a backup, with this machine as its first node
    Restore(RestoreArgs),
    /// After the loss of a majority for good: make a new cluster from this node alone
    Recover(RecoverArgs),
    /// Take away everything that this machine knows of its cluster
    Destroy(DestroyArgs),
    /// Run the agent (what the service does)
    Agent(AgentArgs),
    /// Restart this node's agent without touching what it runs; its supervisor starts it again
    Restart,
    /// Restart the agents of all nodes that run an older version, one after the other, without touching what they run
    Upgrade(UpgradeArgs),
    /// Show faults and recoveries with three agents on this machine
    Demo(DemoArgs),
    /// Keep one resource (started by the agent)
    #[command(hide = true)]
    Keeper(KeeperArgs),
    /// Run a resource agent (started by a keeper)
    #[command(hide = true)]
    OcfRunner {
        /// What to run, as the agent wrote it
        order: String,
    },
    /// Have systemd do something with a unit (started by a runner)
    #[command(hide = true)]
    Unit {
        /// Which unit, as the agent wrote it
        order: String,
        /// What to do
        action: String,
    },
    /// Write manual pages and shell completions into a folder (what the package is made with)
    #[command(hide = true)]
    Pages(PagesArgs),
}

/// `status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print JSON (standfast/status/1)
    #[arg(long)]
    pub json: bool,
    /// Watch: a live view with keys on a terminal, otherwise the text again every so many seconds
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, require_equals = true,
          default_missing_value = "1", value_parser = clap::value_parser!(u64).range(1..))]
    pub watch: Option<u64>,
    /// Socket of the laboratory that makes faults in a demonstration
    #[arg(long, hide = true, value_name = "PATH")]
    pub faults: Option<PathBuf>,
    /// Sockets of other agents, in a demonstration: the first one with a majority answers
    #[arg(long, hide = true, value_name = "PATH")]
    pub also: Vec<PathBuf>,
}

/// `apply`
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The file; - reads the standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How.
    #[command(flatten)]
    pub how: HowArgs,
}

/// `plan`
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The file; - reads the standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print JSON (standfast/plan/1)
    #[arg(long)]
    pub json: bool,
}

/// `switchover`
#[derive(Debug, Args)]
pub struct SwitchoverArgs {
    /// The group
    #[arg(value_name = "GROUP")]
    pub group: String,
    /// Where to; the best other node when none is named
    #[arg(long, value_name = "NODE")]
    pub to: Option<String>,
    /// How long to wait until it runs there; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub wait: u64,
    /// Even if your own connection comes through an address that moves
    #[arg(long)]
    pub force: bool,
    /// Say what would happen, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON (standfast/switchover/1; with --dry-run standfast/simulation/1)
    #[arg(long)]
    pub json: bool,
}

/// `node`
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Move everything away from a node and keep it empty
    Drain(DrainArgs),
    /// The same as drain; with --lifetime, for a time
    Standby(StandbyArgs),
    /// Let a drained node work again
    Resume(ResumeArgs),
    /// Leave alone what a node runs and let nothing new come to it, or look after it again
    Maintenance(NodeMaintenanceArgs),
}

/// `node drain`
#[derive(Debug, Args)]
pub struct DrainArgs {
    /// The node
    #[arg(value_name = "NODE")]
    pub node: String,
    /// How long to wait until it is empty and what ran there runs elsewhere; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub wait: u64,
    /// Even if something that it runs can run nowhere else, and stops; or if your own connection comes through
    /// an address that moves
    #[arg(long)]
    pub force: bool,
    /// Say what would happen, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON (standfast/node/1; with --dry-run standfast/simulation/1)
    #[arg(long)]
    pub json: bool,
}

/// `node resume`
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The node
    #[arg(value_name = "NODE")]
    pub node: String,
    /// Say what would happen, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON (standfast/node/1; with --dry-run standfast/simulation/1)
    #[arg(long)]
    pub json: bool,
}

/// `import`
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Of Pacemaker's, from its CIB
    Pacemaker(ImportPacemakerArgs),
}

/// `import pacemaker`
#[derive(Debug, Args)]
pub struct ImportPacemakerArgs {
    /// Cluster information base, as `pcs cluster cib` prints it ('-': standard input)
    #[arg(value_name = "CIB")]
    pub cib: PathBuf,
    /// corosync.conf, which has the addresses of the nodes
    #[arg(long, value_name = "FILE")]
    pub corosync: Option<PathBuf>,
    /// Write the configuration into this new file instead of the standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print JSON (standfast/import/1)
    #[arg(long)]
    pub json: bool,
}

/// `explain`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The group
    #[arg(value_name = "GROUP")]
    pub group: String,
    /// Print JSON (standfast/explain/1)
    #[arg(long)]
    pub json: bool,
}

/// `history`
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// How many entries, counted from the newest
    #[arg(short = 'n', long = "number", value_name = "N", default_value_t = 20)]
    pub number: usize,
    /// Print JSON (standfast/history/1)
    #[arg(long)]
    pub json: bool,
}

/// `doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// This machine only; works without an agent, too
    #[arg(long)]
    pub local: bool,
    /// Its state, for a machine whose agent does not answer.
    #[command(flatten)]
    pub state: StateArgs,
    /// Folder in the control-group hierarchy, for a machine whose agent does not answer
    #[arg(long, value_name = "FOLDER", default_value = "standfast")]
    pub cgroup: PathBuf,
    /// Print JSON (standfast/doctor/1)
    #[arg(long)]
    pub json: bool,
}

/// `report`
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The archive (.tar.gz); - writes to the standard output [default: standfast-report-CLUSTER-TIME.tar.gz here]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// State of this machine's agent, should it not answer.
    #[command(flatten)]
    pub state: StateArgs,
    /// Folder in the control-group hierarchy, should the agent not answer
    #[arg(long, value_name = "FOLDER", default_value = "standfast")]
    pub cgroup: PathBuf,
}

/// `logs`
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// The node; all of them when none is named
    #[arg(value_name = "NODE")]
    pub node: Option<String>,
    /// How many lines, counted from the newest
    #[arg(short = 'n', long = "number", value_name = "N", default_value_t = 100)]
    pub number: usize,
    /// Go on with what comes
    #[arg(short, long)]
    pub follow: bool,
    /// Output of this group's (or resource's) services only
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Print one JSON object for each line (standfast/log/1)
    #[arg(long)]
    pub json: bool,
}

/// `check`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Print JSON (standfast/status/1); the exit code is the plugin's
    #[arg(long)]
    pub json: bool,
}

/// Where an agent keeps its state.
#[derive(Clone, Debug, Args)]
pub struct StateArgs {
    /// Folder of the agent's state
    #[arg(
        long = "state",
        value_name = "DIR",
        default_value = "/var/lib/standfast"
    )]
    pub folder: PathBuf,
}

/// How a node is reached.
#[derive(Clone, Debug, Args)]
pub struct NodeArgs {
    /// Name of this node
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// IP:port of one of its links; once for each
    #[arg(long = "address", value_name = "IP:PORT", required = true)]
    pub addresses: Vec<SocketAddr>,
}

/// `agent`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct AgentArgs {
    /// Instead of running it.
    #[command(subcommand)]
    pub command: Option<AgentCommand>,
    /// Its state.
    #[command(flatten)]
    pub state: StateArgs,
    /// Folder of sockets and of what runs; the socket is standfast.sock in it unless --socket says otherwise
    #[arg(long, value_name = "DIR", default_value = "/run/standfast")]
    pub run: PathBuf,
    /// Folder in the control-group hierarchy under which each resource gets its own
    #[arg(long, value_name = "FOLDER", default_value = "standfast")]
    pub cgroup: PathBuf,
    /// Neither real-time priority nor locked memory, even where this machine allows them
    #[arg(long)]
    pub no_realtime: bool,
    /// Where metrics are served (http://IP:PORT/metrics); off serves none
    #[arg(long, value_name = "IP:PORT", default_value = METRICS)]
    pub metrics: MetricsAddress,
    /// Hardware watchdog to feed, such as /dev/watchdog; off feeds none
    #[arg(long, value_name = "DEVICE", default_value = "off")]
    pub watchdog: PathBuf,
    /// So long after it was last fed it resets this machine; whole seconds
    #[arg(long, value_name = "MS", default_value = "10000", value_parser = clap::value_parser!(u64).range(1000..=600_000))]
    pub watchdog_timeout_ms: u64,
    /// Life of this node's certificates, to watch them being renewed
    #[arg(long, hide = true, value_name = "SECONDS")]
    pub certificate_life: Option<u64>,
    /// Speak an older feature level, as the build did that knew no newer one; for tests of upgrades
    #[arg(long, hide = true, value_name = "LEVEL", value_parser = clap::value_parser!(u32).range(1..))]
    pub feature_level: Option<u32>,
    /// Leave the kernel's guards out, to measure what they are good for; never on a real cluster
    #[arg(long, hide = true)]
    pub without_guards: bool,
}

/// Where metrics are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsAddress {
    /// There.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

impl std::str::FromStr for MetricsAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let address = text.parse();
        address.map(Self::At).map_err(|why: AddrParseError| {
            format!("{why}; give IP:PORT, such as 127.0.0.1:7401, or off")
        })
    }
}

/// How the checks before a set-up are shown.
#[derive(Clone, Copy, Debug, Args)]
pub struct CheckArgsOfSetUp {
    /// Only look whether it would work; change nothing
    #[arg(long)]
    pub check: bool,
    /// Print JSON (standfast/set-up/1)
    #[arg(long)]
    pub json: bool,
}

/// `agent COMMAND`
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// The same as `standfast restart`
    Restart,
}

/// `init`
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
    /// Name of the cluster
    #[arg(long, value_name = "NAME", default_value = "standfast")]
    pub cluster: String,
    /// Two nodes without a third voter.
    #[command(flatten)]
    pub pair: InitPairArgs,
    /// What is said, and whether anything is done.
    #[command(flatten)]
    pub checks: CheckArgsOfSetUp,
    /// Its state.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `join`
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
    /// A member to ask, instead of those that the token names
    #[arg(value_name = "MEMBER-IP:PORT")]
    pub member: Option<SocketAddr>,
    /// File with the token that `standfast token` printed; - reads the standard input. Asked for when it is
    /// not given; never an argument, because those can be read by everybody
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// What is said, and whether anything is done.
    #[command(flatten)]
    pub checks: CheckArgsOfSetUp,
    /// Its state.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Print one JSON object for each fault
    #[arg(long)]
    pub json: bool,
    /// Run the script of faults also on a terminal, where it is a live view with keys for faults otherwise
    #[arg(long)]
    pub script: bool,
    /// Timing profile of the agents: lan or fast
    #[arg(long, value_name = "PROFILE", value_parser = ["lan", "fast"])]
    pub profile: Option<String>,
    /// How to keep the nodes apart: root, unprivileged or loopback [default: the strongest that works]
    #[arg(long, value_name = "MODE", value_parser = ["root", "unprivileged", "loopback"])]
    pub mode: Option<String>,
}

/// `keeper`
#[derive(Debug, Args)]
pub struct KeeperArgs {
    /// Folder that the agent has prepared
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// `upgrade`
#[derive(Debug, Args)]
pub struct UpgradeArgs {
    /// Only the node whose agent is asked
    #[arg(long)]
    pub here: bool,
    /// Also nodes that run this version already
    #[arg(long)]
    pub again: bool,
    /// Say what would be done, in which order, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How long to wait for each node until it is back and everything runs
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub wait: u64,
    /// Print JSON (standfast/upgrade/1)
    #[arg(long)]
    pub json: bool,
}

/// `pages`
#[derive(Debug, Args)]
pub struct PagesArgs {
    /// The folder
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

#[cfg(test)]
mod tests;
