//! Flags of `config`: the part of the one definition that is about configurations and drafts.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `config`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the configuration in force, or an earlier one
    Show(ConfigShowArgs),
    /// Change the configuration in an editor ($VISUAL, $EDITOR)
    Edit(ConfigEditArgs),
    /// Say who changed the configuration, when and why
    History(ConfigHistoryArgs),
    /// Say what differs between two versions
    Diff(ConfigDiffArgs),
    /// Put an earlier configuration in force again, as a new version
    Rollback(ConfigRollbackArgs),
    /// Configurations that are not in force yet
    Draft {
        /// What to do.
        #[command(subcommand)]
        command: DraftCommand,
    },
}

/// `config draft`
#[derive(Debug, Subcommand)]
pub enum DraftCommand {
    /// Save a file as a draft, on all nodes
    Save(DraftSaveArgs),
    /// List the drafts
    List(DraftListArgs),
    /// Print a draft
    Show(DraftShowArgs),
    /// Say what applying a draft would do; changes nothing
    Plan(DraftPlanArgs),
    /// Put a draft in force; then it is no draft any more
    Apply(DraftApplyArgs),
    /// Throw a draft away
    Drop(DraftDropArgs),
}

/// `config show`
#[derive(Debug, Args)]
pub struct ConfigShowArgs {
    /// Which one; the one in force when none is named
    #[arg(long, value_name = "N")]
    pub version: Option<u64>,
    /// With the values of environments, which are hidden otherwise; for those who may change things
    #[arg(long)]
    pub reveal: bool,
    /// Print JSON (standfast/config/1)
    #[arg(long)]
    pub json: bool,
}

/// `config edit`
#[derive(Debug, Args)]
pub struct ConfigEditArgs {
    /// Why, for the history
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
    /// Apply without asking
    #[arg(long)]
    pub yes: bool,
}

/// `config history`
#[derive(Debug, Args)]
pub struct ConfigHistoryArgs {
    /// How many, counted from the newest
    #[arg(short = 'n', long = "number", value_name = "N", default_value_t = 20)]
    pub number: usize,
    /// Print JSON (standfast/config-history/1)
    #[arg(long)]
    pub json: bool,
}

/// `config diff`
#[derive(Debug, Args)]
pub struct ConfigDiffArgs {
    /// The older one
    #[arg(value_name = "A")]
    pub from: u64,
    /// The newer one; the one in force when none is named
    #[arg(value_name = "B")]
    pub to: Option<u64>,
    /// Print JSON (standfast/config-diff/1)
    #[arg(long)]
    pub json: bool,
}

/// How a configuration is put in force.
#[derive(Clone, Debug, Default, Args)]
pub struct HowArgs {
    /// Only if this version is still in force: the one that `plan` named
    #[arg(long, value_name = "N")]
    pub based_on: Option<u64>,
    /// Why, for the history
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
    /// Say what would be done and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Even if your own connection comes through an address that is touched
    #[arg(long)]
    pub force: bool,
    /// Print JSON (standfast/apply/1; standfast/plan/1 with --dry-run)
    #[arg(long)]
    pub json: bool,
}

/// `config rollback`
#[derive(Debug, Args)]
pub struct ConfigRollbackArgs {
    /// The version whose text comes back
    #[arg(value_name = "N")]
    pub version: u64,
    /// How.
    #[command(flatten)]
    pub how: HowArgs,
}

/// `config draft save`
#[derive(Debug, Args)]
pub struct DraftSaveArgs {
    /// Its name; one of the same name is replaced
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The file; - reads the standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What for
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
    /// Print JSON (standfast/draft/1)
    #[arg(long)]
    pub json: bool,
}

/// `config draft list`
#[derive(Debug, Args)]
pub struct DraftListArgs {
    /// Print JSON (standfast/drafts/1)
    #[arg(long)]
    pub json: bool,
}

/// `config draft show`
#[derive(Debug, Args)]
pub struct DraftShowArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: String,
    /// With the values of environments, which are hidden otherwise; for those who may change things
    #[arg(long)]
    pub reveal: bool,
    /// Print JSON (standfast/config/1)
    #[arg(long)]
    pub json: bool,
}

/// `config draft plan`
#[derive(Debug, Args)]
pub struct DraftPlanArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Print JSON (standfast/plan/1)
    #[arg(long)]
    pub json: bool,
}

/// `config draft apply`
#[derive(Debug, Args)]
pub struct DraftApplyArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: String,
    /// How.
    #[command(flatten)]
    pub how: HowArgs,
}

/// `config draft drop`
#[derive(Debug, Args)]
pub struct DraftDropArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Print JSON (standfast/draft/1)
    #[arg(long)]
    pub json: bool,
}
