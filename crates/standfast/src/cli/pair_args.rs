//! Flags of the commands about a pair. Part of the one definition in `args`.

use clap::{Args, Subcommand, ValueEnum};
use standfast_model::pair::Arbiter;

/// `pair`
#[derive(Debug, Subcommand)]
pub enum PairCommand {
    /// Say how the pair is, in one sentence
    Show(PairShowArgs),
    /// Make this node the primary; a primary hands over, in order and without loss
    Promote(PairOrderArgs),
    /// Make this node no primary, and nobody one by itself: until an operator promotes one, nothing runs
    Demote(PairOrderArgs),
    /// Let primary and secondary change places
    Swap(PairOrderArgs),
    /// After a temporary outage: wait until both nodes are in sync again, or say what keeps them from it
    Recover(PairOrderArgs),
    /// Give this node's copy up and take the other node's; what only this node had is set aside
    Rebuild(PairOrderArgs),
    /// Make this node the primary with what it has, although the other one is not seen: what only that one had is lost
    ForcePrimary(ForcePrimaryArgs),
    /// End the pair: the primary goes on as a cluster of one with everything that runs; the other node is out of it
    Teardown(TeardownArgs),
}

/// `pair show`
#[derive(Debug, Args)]
pub struct PairShowArgs {
    /// Print JSON (standfast/pair/1)
    #[arg(long)]
    pub json: bool,
}

/// `pair promote` and the like
#[derive(Debug, Args)]
pub struct PairOrderArgs {
    /// How long to wait until it is so; it goes on by itself in any case
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub wait: u64,
    /// Print JSON (standfast/pair/1)
    #[arg(long)]
    pub json: bool,
}

/// `pair force-primary`
#[derive(Debug, Args)]
pub struct ForcePrimaryArgs {
    /// Yes: the other node is off, I have seen it, and what only it had may be lost
    #[arg(long, required = true)]
    pub accept_data_loss: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// As with every order.
    #[command(flatten)]
    pub order: PairOrderArgs,
}

/// `pair teardown`
#[derive(Debug, Args)]
pub struct TeardownArgs {
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// As with every order.
    #[command(flatten)]
    pub order: PairOrderArgs,
}

/// `init --pair`
#[derive(Debug, Args)]
pub struct InitPairArgs {
    /// This is one of two nodes without a third voter; the other one will have this name. Better: a third machine as
    /// `standfast witness`
    #[arg(long, value_name = "OTHER-NODE", requires = "arbiter")]
    pub pair: Option<String>,
    /// Who says which of a pair goes on alone
    #[arg(long, value_name = "ARBITER", requires = "pair")]
    pub arbiter: Option<ArbiterArg>,
    /// With `--arbiter ping`: the default gateway of the pair's network
    #[arg(
        long,
        value_name = "IP",
        requires = "arbiter",
        required_if_eq("arbiter", "ping")
    )]
    pub gateway: Option<String>,
    /// With `--arbiter ping`: up to three more machines outside of the pair; one answer, or the gateway's, is enough
    #[arg(long, value_name = "IP", requires = "gateway")]
    pub ping_target: Vec<String>,
}

/// Arbiters that are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ArbiterArg {
    /// A fence device: whoever goes on alone has had the other's power cut and confirmed
    Fence,
    /// Best effort: whoever reaches the gateway or another target goes on alone. When both do, and do not reach each other, both
    /// become primary
    Ping,
    /// Nobody: the primary goes on alone, the secondary takes over only by an operator's word
    None,
}

impl ArbiterArg {
    /// As the rest of the program calls it.
    #[must_use]
    pub const fn arbiter(self) -> Arbiter {
        match self {
            Self::Fence => Arbiter::Fence,
            Self::Ping => Arbiter::Ping,
            Self::None => Arbiter::None,
        }
    }
}
