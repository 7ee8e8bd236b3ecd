//! `doctor`: what is wrong, how bad it is, and what to do, on all nodes or on this machine alone.

use super::{DoctorArgs, ask::look, nodes, print, style};
use crate::{
    doctor::{self, Place, together},
    failure::Failure,
    render::{self, Diagnosis},
};
use standfast_model::{id::NodeId, query::Severity};
use std::path::Path;

/// Something is to be done; as with `diff` and `fsck`.
const FOUND: u8 = 1;

pub(super) fn doctor(socket: &Path, args: &DoctorArgs) -> Result<(), Failure> {
    let diagnosis = diagnose(socket, args);
    let text = if args.json {
        render::json(&diagnosis)
    } else {
        render::diagnosis(&diagnosis, style())
    };
    print(&text)?;
    let mut findings = diagnosis.findings.iter();
    if findings.any(|finding| finding.severity != Severity::Note) {
        return Err(Failure::new(FOUND, ""));
    }
    Ok(())
}

/// All nodes through the agent; without one, what this machine shows by itself.
pub(super) fn diagnose(socket: &Path, args: &DoctorArgs) -> Diagnosis {
    let seen = if args.local { None } else { look(socket).ok() };
    if let Some((_, view)) = seen {
        let answers = nodes::ask_all(socket, nodes::all(&view), nodes::findings);
        let answers: Vec<_> = answers
            .into_iter()
            .map(|(node, answer)| (node, answer.map_err(|failure| failure.text)))
            .collect();
        return Diagnosis::of(&answers, together(Some(&view), &answers));
    }
    let place = Place {
        state: args.state.folder.clone(),
        socket: socket.to_owned(),
        cgroup: args.cgroup.clone(),
    };
    let examined = doctor::examine(&place);
    let node = if examined.node.is_empty() {
        NodeId::from("this machine")
    } else {
        NodeId::from(examined.node.as_str())
    };
    let asked = examined.wall_ms;
    let answers = vec![(node, Ok((examined, asked)))];
    Diagnosis::of(&answers, together(None, &answers))
}
