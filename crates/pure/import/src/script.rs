//! Primitives of the classes `lsb` and `systemd`: the same scripts and units run here.
//!
//! Not for `service`, which may be either.

use standfast_scheduler::input::Resource;

use crate::{
    draft::{Draft, Key},
    ocf::{add_limits, add_times},
    source::{Source, agent},
    write,
};

/// Where Pacemaker looks for a script that is given without a folder.
const FOLDER: &str = "/etc/init.d";

/// The keys of a resource that a script runs.
pub(crate) fn read(source: &Source<'_>, resource: &Resource, draft: &mut Draft) -> Vec<Key> {
    let [_, _, kind] = &resource.agent;
    let script = if kind.starts_with('/') {
        kind.clone()
    } else {
        format!("{FOLDER}/{kind}")
    };
    let mut keys = vec![("script", write::text_value(&script))];
    promise(&script, resource, &mut keys, draft);
    add_times(source, resource, &mut keys, draft);
    keys
}

/// The keys of a resource that is a unit.
pub(crate) fn read_unit(
    source: &Source<'_>,
    resource: &Resource,
    draft: &mut Draft,
) -> Option<Vec<Key>> {
    let [_, _, kind] = &resource.agent;
    let unit = match kind.rsplit_once('.') {
        Some((_, "service")) => kind.clone(),
        Some((_, "socket" | "timer" | "mount" | "path" | "target" | "slice" | "device")) => {
            let what = format!("{} {}", resource.id, agent(resource));
            draft.not_expressed(&what, "of systemd's units only services are resources here");
            return None;
        }
        _ => format!("{kind}.service"),
    };
    let mut keys = vec![("unit", write::text_value(&unit))];
    promise(&unit, resource, &mut keys, draft);
    draft.leave_to_do(
        &format!("{} unit", resource.id),
        &format!("{unit} must not be started at boot: systemctl disable {unit} on every node"),
    );
    add_limits(source, resource, &mut keys);
    Some(keys)
}

fn promise(what: &str, resource: &Resource, keys: &mut Vec<Key>, draft: &mut Draft) {
    keys.push(("effects", write::text_value("processes")));
    draft.leave_to_do(
        &format!("{} effects", resource.id),
        &format!(
            "\"processes\" promises that killing its processes undoes all that {what} does: look whether that is so"
        ),
    );
    for name in resource.parameters.keys() {
        let text = "neither scripts nor units are given parameters";
        draft.not_needed(&format!("{} {name}", resource.id), text);
    }
}
