//! Flags of the commands about members, their certificates, and bad days. Part of the one definition in `args`.

use super::args::{NodeArgs, StateArgs};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `cert`
#[derive(Debug, Subcommand)]
pub enum CertCommand {
    /// Say until when each node's certificate is valid, and which key it is known by
    Show(CertShowArgs),
    /// Give this node another private key, or with --ca the cluster another certificate authority; the old one is worth
    /// nothing from then on
    Rotate(CertRotateArgs),
}

/// `cert show`
#[derive(Debug, Args)]
pub struct CertShowArgs {
    /// Print JSON (standfast/cert/1)
    #[arg(long)]
    pub json: bool,
}

/// `cert rotate`
#[derive(Debug, Args)]
pub struct CertRotateArgs {
    /// This node; named only to be sure
    #[arg(value_name = "NODE", conflicts_with = "ca")]
    pub node: Option<String>,
    /// Replace the cluster's certificate authority on all nodes, step by step and without interruption
    #[arg(long, conflicts_with = "force")]
    pub ca: bool,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT", requires = "ca")]
    pub reason: Option<String>,
    /// How long to wait until all nodes have the new authority; it goes on by itself in any case
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "ca")]
    pub wait: u64,
    /// Even if a member is offline, who then has to hear of the new key from another node
    #[arg(long)]
    pub force: bool,
    /// Print JSON (standfast/cert-rotate/1)
    #[arg(long)]
    pub json: bool,
}

/// `backup`
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print JSON (standfast/backup/1)
    #[arg(long)]
    pub json: bool,
}

/// `restore`
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The node.
    #[command(flatten)]
    pub node: NodeArgs,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Print JSON (standfast/restore/1)
    #[arg(long)]
    pub json: bool,
    /// Its state.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `recover`
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// Yes, this one: there is no other way to recover
    #[arg(long, required = true)]
    pub force_new_cluster: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Print JSON (standfast/recover/1)
    #[arg(long)]
    pub json: bool,
    /// Its state.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `destroy`
#[derive(Debug, Args)]
pub struct DestroyArgs {
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Folder in the control-group hierarchy, in which nothing may run any more
    #[arg(long, value_name = "FOLDER", default_value = "standfast")]
    pub cgroup: PathBuf,
    /// Its state.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `remove`
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// The node; it must be empty: drain it first, or wait until the leases of a lost one have expired
    #[arg(value_name = "NODE")]
    pub node: String,
    /// How long to try while another change is on its way
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub wait: u64,
    /// Print JSON (standfast/remove/1)
    #[arg(long)]
    pub json: bool,
}
