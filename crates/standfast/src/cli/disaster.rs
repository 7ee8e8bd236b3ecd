//! Commands for bad days: recover, restore, backup, destroy. What they do is in `agent::recovery`; what a
//! backup looks like, in `archive`.

use super::{
    archive,
    ask::{look_at_state, unexpected},
    exit,
    member_args::{BackupArgs, DestroyArgs, RecoverArgs, RestoreArgs},
    print,
};
use crate::{
    agent::recovery,
    failure::Failure,
    render::{self, recovery as say},
};
use serde::Serialize;
use standfast_model::request::{Request, Response};
use std::{
    io::{self, IsTerminal as _},
    path::Path,
};

#[derive(Serialize)]
struct Report<'r> {
    schema: &'static str,
    node: &'r str,
    /// The cluster that was.
    old_cluster_id: &'r str,
    /// The cluster that is; none for a backup.
    cluster_id: Option<&'r str>,
    /// Last entry of the log that is in it.
    index: u64,
    /// What may be lost, or what to mind.
    notes: &'r [String],
}

pub(super) fn recover(args: &RecoverArgs) -> Result<(), Failure> {
    let survivor = recovery::open(&args.state.folder)?;
    let notes = say::losses(&survivor.identity.node, &survivor.survey);
    let title = say::what_is_known(&survivor.identity.node, &survivor.survey);
    if !args.json {
        print(&say::text(&title, &notes))?;
    }
    let node = survivor.identity.node.clone();
    confirm(args.yes, &node, "nothing was changed")?;
    let (old, index) = (
        survivor.identity.cluster_id.clone(),
        survivor.survey.state.applied,
    );
    let who = std::env::var("SUDO_USER").unwrap_or_else(|_| String::from("root"));
    let text = format!(
        "{who} made a new cluster from {node} alone, after entry {index} of cluster {old}: its majority was lost for good"
    );
    let new = survivor.refound(&text, notes.clone())?;
    if args.json {
        return print(&render::json(&Report {
            schema: "standfast/recover/1",
            node: &node,
            old_cluster_id: &old,
            cluster_id: Some(&new),
            index,
            notes: &notes,
        }));
    }
    print(&format!(
        "\n{node} is the only voter of the new cluster {new}. Start its agent (`systemctl start standfast`). Then, for every other \
         node: `standfast destroy` there, `standfast token` here, `standfast join` there.\n"
    ))
}

pub(super) fn backup(socket: &Path, args: &BackupArgs) -> Result<(), Failure> {
    // What is hidden elsewhere is in a backup: without it nothing could be started from it.
    let (mut agent, _) = look_at_state(socket)?;
    let view = match agent.ask(&Request::Backup)? {
        Response::View(view) => *view,
        other => return Err(unexpected(&other).into()),
    };
    let mut notes = Vec::new();
    if !view.quorum {
        notes.push(format!(
            "{} hears no leader with a majority: the cluster may know more than this backup holds",
            view.node
        ));
    }
    let index = view.state.applied;
    archive::write(&args.file, &view)?;
    if args.json {
        return print(&render::json(&Report {
            schema: "standfast/backup/1",
            node: &view.node,
            old_cluster_id: &view.state.cluster_id,
            cluster_id: None,
            index,
            notes: &notes,
        }));
    }
    let warning: String = notes
        .iter()
        .map(|note| format!("warning: {note}\n"))
        .collect();
    print(&format!(
        "{warning}{} holds configuration {}, {} and the journal, up to entry {index}; no keys\n",
        args.file.display(),
        view.state.config_version,
        render::count(view.state.members.len(), "member")
    ))
}

pub(super) fn restore(args: &RestoreArgs) -> Result<(), Failure> {
    let (head, state) = archive::read(&args.file)?;
    let node = &args.node;
    let notes = say::restored(&head, &state);
    if !args.json {
        print(&say::text(&say::backup_title(&head, &state), &notes))?;
    }
    confirm(args.yes, &node.name, "nothing was changed")?;
    let who = std::env::var("SUDO_USER").unwrap_or_else(|_| String::from("root"));
    let text = format!(
        "{who} made a new cluster from the backup that {} made of cluster {}, up to entry {}",
        head.node, state.cluster_id, state.applied
    );
    let founding = (text.as_str(), notes.clone());
    let new = recovery::restore(
        &args.state.folder,
        &node.name,
        &node.addresses,
        &state,
        founding,
    )?;
    if args.json {
        return print(&render::json(&Report {
            schema: "standfast/restore/1",
            node: &node.name,
            old_cluster_id: &state.cluster_id,
            cluster_id: Some(&new),
            index: state.applied,
            notes: &notes,
        }));
    }
    print(&format!(
        "\n{} is the only voter of the new cluster {new}. Start its agent; then `standfast token` here lets other nodes join.\n",
        node.name
    ))
}

pub(super) fn destroy(args: &DestroyArgs) -> Result<(), Failure> {
    let folder = &args.state.folder;
    confirm(
        args.yes,
        "destroy",
        &format!(
            "this takes away everything in {} that this machine knows of its cluster; nothing was changed",
            folder.display()
        ),
    )?;
    match recovery::destroy(folder, &args.cgroup)? {
        Some(identity) => print(&format!(
            "{} knows nothing of cluster {} any more; it can join or make another\n",
            identity.node, identity.cluster_id
        )),
        None => print(&format!("{} held no node\n", folder.display())),
    }
}

/// Goes on only if the operator has typed `word`, or said `--yes`.
pub(super) fn confirm(yes: bool, word: &str, otherwise: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let refused = || {
        Failure::new(
            exit::UNSAFE,
            format!("not confirmed: {otherwise}; --yes goes on without asking"),
        )
    };
    if !io::stdin().is_terminal() {
        return Err(refused());
    }
    print(&format!("\nType {word} to go on: "))?;
    let mut line = String::new();
    io::stdin()
        .read_line(&mut line)
        .map_err(|error| Failure::new(exit::IO, format!("cannot read the answer: {error}")))?;
    if line.trim() == word {
        Ok(())
    } else {
        Err(refused())
    }
}
