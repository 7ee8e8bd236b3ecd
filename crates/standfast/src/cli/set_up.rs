//! `init`, `join` and `witness`: checks first, each with a line, then the change. What a check refuses
//! changes nothing; what was interrupted can be done again.

use super::{
    InitArgs, JoinArgs,
    args::{CheckArgsOfSetUp, NodeArgs},
    exit, print, style,
};
use crate::{
    agent::{
        checks::{self, Finding, Verdict},
        recovery::wall_ms,
        setup,
    },
    failure::Failure,
    render,
};
use serde::Serialize;
use standfast_model::{
    id::NodeId,
    pair::{Arbiter, PING_WARNING, PairConfig, PingConfig},
    time::Micros,
};
use std::{
    fs,
    io::{self, IsTerminal as _, Read as _},
    net::{IpAddr, SocketAddr},
    path::Path,
};

/// Longest token file that is read, in bytes.
const MAX_TOKEN: u64 = 64 * 1024;

/// `standfast/set-up/1`
#[derive(Serialize)]
struct Document<'d> {
    schema: &'static str,
    node: &'d str,
    /// The cluster that it belongs to now; none when nothing was changed.
    cluster_id: Option<&'d str>,
    checks: &'d [Finding],
}

pub(super) fn init(args: &InitArgs) -> Result<(), Failure> {
    let (node, folder) = (&args.node, &args.state.folder);
    unused(folder)?;
    let pair = pair_of(args)?;
    let findings = checks::machine(folder, &node.addresses, wall_ms());
    let said = Said {
        node,
        findings,
        args: args.checks,
    };
    if said.first()? {
        return Ok(());
    }
    let advice = pair.as_ref().map(pair_advice);
    let id = setup::init(
        folder,
        &args.cluster,
        (&node.name, &node.addresses[..]),
        pair,
    )?;
    if let (Some(advice), false) = (advice, args.checks.json) {
        print(&advice)?;
    }
    said.done(
        &id,
        &format!(
            "cluster {id} with its first node {}; start its agent (`systemctl enable --now standfast`), then `standfast token` lets others join",
            node.name
        ),
    )
}

/// The pair that is to be made, if one is.
fn pair_of(args: &InitArgs) -> Result<Option<PairConfig>, Failure> {
    let (Some(other), Some(arbiter)) = (&args.pair.pair, args.pair.arbiter) else {
        return Ok(None);
    };
    if *other == args.node.name {
        let text = "--pair: the other node needs a name of its own";
        return Err(Failure::usage(text));
    }
    let mut nodes = [&args.node.name, other].map(|name| NodeId::from(name.as_str()));
    nodes.sort();
    let mut pair = PairConfig::of(nodes, arbiter.arbiter());
    pair.ping = ping_of(args)?;
    if pair.ping.is_some() && pair.arbiter != Arbiter::Ping {
        let text = "--gateway: a pair has one arbiter, and here it is not ping targets; allowed: only with --arbiter ping";
        return Err(Failure::usage(text));
    }
    Ok(Some(pair))
}

fn ping_of(args: &InitArgs) -> Result<Option<PingConfig>, Failure> {
    let Some(gateway) = &args.pair.gateway else {
        return Ok(None);
    };
    let own: Vec<IpAddr> = args.node.addresses.iter().map(SocketAddr::ip).collect();
    standfast_config::ping_targets(gateway, &args.pair.ping_target, &own)
        .map(Some)
        .map_err(Failure::usage)
}

/// What a pair is not.
fn pair_advice(pair: &PairConfig) -> String {
    let then = match pair.arbiter {
        Arbiter::Fence => String::from(
            "With a fence device the survivor goes on when the other one's power is confirmed off: configure one for both nodes \
             ([fence.NAME]) and try it (`standfast fence test NODE`); until then nobody takes over.",
        ),
        Arbiter::Ping => ping_advice(pair),
        Arbiter::None => String::from(
            "Without an arbiter the secondary takes over only by an operator's word (`standfast pair force-primary`).",
        ),
    };
    format!(
        "This makes a pair. A third machine, however small, is better: as a witness it votes, and everything goes on by itself \
         whichever machine is lost (`standfast init` without --pair, later `standfast witness`). {then}\n"
    )
}

/// What ping targets do, and what they cannot promise.
fn ping_advice(pair: &PairConfig) -> String {
    let Some(ping) = &pair.ping else {
        return String::new();
    };
    let all = std::iter::once(&ping.gateway).chain(&ping.targets);
    let all: Vec<&str> = all.map(String::as_str).collect();
    let pings = render::length(Micros(
        ping.interval.0.saturating_mul(ping.iterations.into()),
    ));
    format!(
        "\n\nWARNING: {PING_WARNING}.\n\nThe secondary takes over when {} pings of the primary in a row have failed, {pings} after the \
         first at the earliest, and one of {} answers it. A primary that hears nothing of its secondary and none of them gives up. \
         `[pair.ping]` in the configuration changes the times and the targets.",
        ping.iterations,
        all.join(", "),
    )
}

pub(super) fn join(args: &JoinArgs, witness: bool) -> Result<(), Failure> {
    let token = token(args.token_file.as_deref())?;
    let (node, folder) = (&args.node, &args.state.folder);
    let joiner = setup::Joiner {
        state: folder,
        name: &node.name,
        addresses: &node.addresses,
        token: &token,
        through: args.member,
        witness,
    };
    let options = joiner.options()?;
    unused(folder)?;
    let mut findings = checks::machine(folder, &node.addresses, wall_ms());
    // An address that cannot be used cannot be reached either: that is said once.
    if !refused(&findings) {
        findings.extend(checks::cluster(&options));
    }
    let said = Said {
        node,
        findings,
        args: args.checks,
    };
    if said.first()? {
        return Ok(());
    }
    let id = joiner.join()?;
    let what = if witness { "a witness" } else { "a member" };
    said.done(
        &id,
        &format!(
            "{} is {what} of cluster {id}; start its agent (`systemctl enable --now standfast`)",
            node.name
        ),
    )
}

/// A folder that holds a node is left alone before anything is measured in it.
fn unused(folder: &Path) -> Result<(), Failure> {
    setup::open_unused(folder).map(drop)
}

fn refused(findings: &[Finding]) -> bool {
    let verdicts = findings.iter().map(|found| found.verdict);
    verdicts.max_by_key(|v| *v == Verdict::Refuse) == Some(Verdict::Refuse)
}

/// What was found, and how to say it.
struct Said<'s> {
    node: &'s NodeArgs,
    findings: Vec<Finding>,
    args: CheckArgsOfSetUp,
}

impl Said<'_> {
    /// Says what was found; true when that is all. A refusal is a failure.
    fn first(&self) -> Result<bool, Failure> {
        let refused = refused(&self.findings);
        if !self.args.json {
            print(&render::checks::text(&self.findings, style()))?;
        } else if refused || self.args.check {
            self.document(None)?;
        }
        if refused {
            let text =
                "nothing was changed: what is marked `refuse` above has to be repaired first";
            return Err(Failure::new(exit::CONFIG, text));
        }
        Ok(self.args.check)
    }

    fn done(&self, cluster_id: &str, text: &str) -> Result<(), Failure> {
        if self.args.json {
            return self.document(Some(cluster_id));
        }
        print(&format!("{text}\n"))
    }

    fn document(&self, cluster_id: Option<&str>) -> Result<(), Failure> {
        print(&render::json(&Document {
            schema: "standfast/set-up/1",
            node: &self.node.name,
            cluster_id,
            checks: &self.findings,
        }))
    }
}

fn token(file: Option<&Path>) -> Result<String, Failure> {
    let Some(file) = file else {
        if !io::stdin().is_terminal() {
            let text = "no token: --token-file FILE names a file with one, - the standard input";
            return Err(Failure::usage(text));
        }
        print("Token (from `standfast token` on a member): ")?;
        let mut line = String::new();
        io::stdin()
            .read_line(&mut line)
            .map_err(|error| Failure::new(exit::IO, format!("cannot read the token: {error}")))?;
        return Ok(line);
    };
    read_token(file).map_err(|error| {
        let file = file.display();
        Failure::new(
            exit::NO_INPUT,
            format!("cannot read the token from {file}: {error}"),
        )
    })
}

fn read_token(file: &Path) -> io::Result<String> {
    let mut token = String::new();
    if file == Path::new("-") {
        io::stdin().take(MAX_TOKEN).read_to_string(&mut token)?;
    } else {
        fs::File::open(file)?
            .take(MAX_TOKEN)
            .read_to_string(&mut token)?;
    }
    Ok(token)
}
