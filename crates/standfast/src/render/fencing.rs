//! What fence devices said, and what came of acts of fencing: as text and as JSON.
//!
//! Not for asking devices (`cli::fence`).

use super::{
    style::{Style, Tone},
    table::{Cell, table},
    text::{length, utc},
};
use serde::Serialize;
use standfast_fence::{FenceError, Power};
use standfast_model::{
    fence_act::{FenceAct, FenceOutcome},
    id::{DeviceId, NodeId},
    request::View,
    simulation::Stage,
    time::Micros,
};

/// One device's answer.
#[derive(Clone, Debug, Serialize)]
pub struct Asked {
    /// Its level, from 1.
    pub level: u32,
    /// Its name.
    pub device: String,
    /// Its agent.
    pub agent: String,
    /// `on` or `off`; none without an answer.
    pub power: Option<&'static str>,
    /// How long the answer took.
    pub took_ms: u64,
    /// What is wrong; empty when nothing is.
    pub problem: String,
}

impl Asked {
    /// Judges an answer: a machine that the cluster hears has power.
    #[must_use]
    pub fn of(
        (level, device, agent): (u32, &DeviceId, &str),
        answer: Result<Power, FenceError>,
        took: Micros,
        online: bool,
    ) -> Self {
        let power = answer.as_ref().ok().map(|power| match power {
            Power::On => "on",
            Power::Off => "off",
        });
        let problem = match answer {
            Err(error) => error.to_string(),
            Ok(Power::Off) if online => {
                "the node is online, so this is not its power: `nodes` names the wrong machine, or the device is wrong"
                    .to_owned()
            }
            Ok(Power::On | Power::Off) => String::new(),
        };
        Self {
            level,
            device: device.to_string(),
            agent: agent.to_owned(),
            power,
            took_ms: took.as_millis_ceil(),
            problem,
        }
    }
}

/// Answers of all devices of one node.
#[derive(Clone, Debug, Serialize)]
pub struct FenceTest {
    /// `standfast/fence-test/1`.
    pub schema: &'static str,
    /// The node that they fence.
    pub node: String,
    /// The node that asked.
    pub from: String,
    /// Fencing is switched off.
    pub off: bool,
    /// The devices, in the order in which they would be used.
    pub devices: Vec<Asked>,
    /// Levels that really cut its power: a drill.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cut: Vec<Cut>,
}

impl FenceTest {
    /// Everything that was tried is as it should be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let asked = self.devices.iter().map(|asked| &asked.problem);
        let mut problems = asked.chain(self.cut.iter().map(|cut| &cut.problem));
        problems.all(String::is_empty)
    }
}

/// What came of one level in a drill.
#[derive(Clone, Debug, Serialize)]
pub struct Cut {
    /// The level, from 1.
    pub level: u32,
    /// Its devices.
    pub devices: Vec<String>,
    /// When the cluster had lost the node; none when it did not.
    pub off_after_ms: Option<u64>,
    /// When another run of its agent was there; none when it was not.
    pub back_after_ms: Option<u64>,
    /// Others that were lost meanwhile: it may have been their power.
    pub also_lost: Vec<String>,
    /// Why it is not proven that this is the node's power; empty when it is.
    pub problem: String,
}

impl Cut {
    /// Of a level, before anything came of it.
    #[must_use]
    pub fn of(level: u32, devices: &[DeviceId]) -> Self {
        Self {
            level,
            devices: devices.iter().map(ToString::to_string).collect(),
            off_after_ms: None,
            back_after_ms: None,
            also_lost: Vec::new(),
            problem: String::new(),
        }
    }
}

/// What came of one level, for people.
#[must_use]
pub fn fence_cut(node: &NodeId, cut: &Cut) -> String {
    let after = |ms: Option<u64>| length(Micros::from_millis(ms.unwrap_or_default()));
    let others = if cut.also_lost.is_empty() {
        String::new()
    } else {
        let names = cut.also_lost.join(", ");
        format!(" Lost meanwhile: {names}; it may have been the power of that machine.")
    };
    let (level, devices) = (cut.level, cut.devices.join(" and "));
    if cut.problem.is_empty() {
        let (off, back) = (after(cut.off_after_ms), after(cut.back_after_ms));
        return format!(
            "Level {level} ({devices}) cut the power of {node}: lost after {off}, back after {back}.{others}\n"
        );
    }
    format!(
        "Level {level} ({devices}) is NOT PROVEN to cut the power of {node}: {}.{others}\n",
        cut.problem
    )
}

/// For people.
#[must_use]
pub fn fence_test(report: &FenceTest, style: Style) -> String {
    let wrong = report
        .devices
        .iter()
        .filter(|asked| !asked.problem.is_empty());
    let wrong = wrong.count();
    let (tone, verdict) = match wrong {
        0 => (Tone::Good, "every device answers".to_owned()),
        n => (
            Tone::Bad,
            format!("{n} of {} cannot be relied on", report.devices.len()),
        ),
    };
    let mut text = format!(
        "Fence devices of {}, asked from {}: {}. Nothing was switched.\n\n",
        report.node,
        report.from,
        style.paint(tone, &verdict)
    );
    let rows = report.devices.iter().map(|asked| {
        let took = length(Micros::from_millis(asked.took_ms));
        let answer = match asked.power {
            Some(power) => Cell::from(format!("{power}, after {took}")),
            None => Cell::new(Tone::Bad, format!("none, after {took}")),
        };
        vec![
            Cell::from(asked.level.to_string()),
            Cell::from(asked.device.as_str()),
            Cell::from(asked.agent.as_str()),
            answer,
        ]
    });
    text.push_str(&table(
        style,
        &["LEVEL", "DEVICE", "AGENT", "POWER"],
        rows.collect(),
    ));
    for asked in report
        .devices
        .iter()
        .filter(|asked| !asked.problem.is_empty())
    {
        for line in asked.problem.lines() {
            text.push_str(&format!("\n{}: {line}", asked.device));
        }
    }
    if wrong > 0 {
        text.push('\n');
    }
    if report.off {
        text.push_str(
            "\nFencing is switched off (`fencing = \"off\"` in [cluster]): they are not used.\n",
        );
    }
    text
}

/// The question before a node's power is cut: what runs there, or is to, and what becomes of it, as far as that is known.
#[must_use]
pub fn before_cut(view: &View, node: &NodeId, how: &str, follows: Option<&Stage>) -> String {
    let groups = view.state.plan.groups.iter();
    let here = groups.filter(|(_, assignment)| assignment.node.as_ref() == Some(node));
    let runs: Vec<String> = here
        .map(
            |(group, _)| match follows.map(|stage| stage.places.get(group)) {
                Some(Some(Some(to))) if to != node => format!("{group}, which moves to {to}"),
                Some(_) => format!("{group}, which can run nowhere else and STOPS"),
                None => group.to_string(),
            },
        )
        .collect();
    let what = if runs.is_empty() {
        "It runs nothing.".to_owned()
    } else {
        format!("It runs {}.", runs.join("; "))
    };
    format!("The power of {node} is going to be cut{how}. {what} Type its name to go on: ")
}

const fn word(outcome: FenceOutcome) -> (&'static str, Tone) {
    match outcome {
        FenceOutcome::UnderWay => ("under way", Tone::Doubtful),
        FenceOutcome::Off => ("off", Tone::Good),
        FenceOutcome::Confirmed => ("confirmed", Tone::Good),
        FenceOutcome::CalledOff => ("not done", Tone::Good),
        FenceOutcome::Failed => ("FAILED", Tone::Bad),
        FenceOutcome::Void => ("VOID", Tone::Bad),
    }
}

/// How an act ended, for whoever asked for it.
#[must_use]
pub fn fence_act(act: &FenceAct) -> String {
    let node = &act.node;
    let first = match act.outcome {
        FenceOutcome::Off if act.power_on => {
            format!("{node} was off, as its devices say; then it was to get its power back.")
        }
        FenceOutcome::Off => format!("{node} is off, as its devices say."),
        FenceOutcome::Confirmed => format!("{node} counts as off, as an operator says."),
        FenceOutcome::UnderWay => format!("The fencing of {node} is under way."),
        FenceOutcome::CalledOff => format!("{node} was lost and is back: it was not fenced."),
        FenceOutcome::Failed => format!(
            "The fencing of {node} failed: nobody knows whether it is off, and nothing is released by it. Switch it off by \
             hand; then `standfast fence confirm {node}`."
        ),
        FenceOutcome::Void => format!(
            "The fencing of {node} is void: it was heard after it was said to be off. A device lies, or acts on another machine."
        ),
    };
    let tries = act.tries.iter().map(|line| format!("  {line}\n"));
    format!("{first}\n{}", tries.collect::<String>())
}

/// All acts that are remembered, the newest last.
#[must_use]
pub fn fence_history(view: &View, style: Style) -> String {
    if view.state.fences.is_empty() {
        return "Nobody was fenced.\n".to_owned();
    }
    let mut text = String::new();
    for act in &view.state.fences {
        let (outcome, tone) = word(act.outcome);
        let why = if act.why.is_empty() {
            String::new()
        } else {
            format!(", because {}", act.why)
        };
        let outcome = style.paint(tone, &format!("{outcome:<9}"));
        let (time, node, by) = (utc(act.began_ms), &act.node, &act.by);
        text.push_str(&format!("{time}  {outcome}  {node}, by {by}{why}\n"));
        for line in &act.tries {
            text.push_str(&format!("{:33}{line}\n", ""));
        }
    }
    text
}

/// The same as `standfast/fence-history/1`.
#[must_use]
pub fn fence_history_json(view: &View) -> String {
    #[derive(Serialize)]
    struct Document<'v> {
        schema: &'static str,
        acts: Vec<&'v FenceAct>,
    }
    super::text::json(&Document {
        schema: "standfast/fence-history/1",
        acts: view.state.fences.iter().collect(),
    })
}

/// What came of the newest act for a node, if nobody can rely on it and the run of the agent that it was for is the last one known.
pub(crate) fn unresolved(view: &View, node: &NodeId) -> Option<FenceOutcome> {
    let mut acts = view.state.fences.iter().rev();
    let last = acts.find(|act| act.node == *node)?;
    let run = view.state.nodes.get(node)?.report.incarnation;
    let bad = matches!(last.outcome, FenceOutcome::Failed | FenceOutcome::Void);
    (bad && run == last.incarnation).then_some(last.outcome)
}

/// What is to be said in `status`: the newest act of each node, while it is under way, or while the run of the agent that it
/// was for is the last one known. With each whether it makes the cluster less than it should be.
pub(crate) fn alarms(view: &View) -> Vec<(String, bool)> {
    let newest = |act: &&FenceAct| {
        let mut same = view
            .state
            .fences
            .iter()
            .rev()
            .filter(|other| other.node == act.node);
        same.next().is_some_and(|last| last.id == act.id)
    };
    let said = view.state.fences.iter().filter(newest).filter_map(|act| {
        let node = &act.node;
        let known = view.state.nodes.get(node)?;
        let same = known.report.incarnation == act.incarnation;
        let executor = act.executor.as_ref().map_or("nobody", NodeId::as_str);
        match act.outcome {
            FenceOutcome::UnderWay => Some((
                format!("{node} is being fenced by {executor}, level {}", act.level.saturating_add(1)),
                false,
            )),
            FenceOutcome::Failed if same => Some((
                format!(
                    "the fencing of {node} failed: nobody knows whether it is off; `standfast fence history` says why. Switch it \
                     off by hand, then `standfast fence confirm {node}`"
                ),
                true,
            )),
            FenceOutcome::Void if same => Some((
                format!(
                    "the fencing of {node} is void: it was heard after a device said that it is off; test its devices \
                     (`standfast fence test {node}`), and trust none of them until then"
                ),
                true,
            )),
            FenceOutcome::Failed
            | FenceOutcome::Void
            | FenceOutcome::Off
            | FenceOutcome::CalledOff
            | FenceOutcome::Confirmed => None,
        }
    });
    said.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::{golden::compare, json};

    fn report(answers: Vec<(u32, &str, Result<Power, FenceError>)>, off: bool) -> FenceTest {
        let asked = answers.into_iter().map(|(level, device, answer)| {
            let took = Micros::from_millis(832);
            Asked::of((level, &device.into(), "fence_ipmilan"), answer, took, true)
        });
        FenceTest {
            schema: "standfast/fence-test/1",
            node: "beta".to_owned(),
            from: "alpha".to_owned(),
            off,
            devices: asked.collect(),
            cut: Vec::new(),
        }
    }

    #[test]
    fn who_cuts_a_nodes_power_is_told_what_becomes_of_what_runs_there() {
        let mut view = View::default();
        for (group, node) in [("site", "beta"), ("db", "beta"), ("mail", "alpha")] {
            let assignment = view.state.plan.groups.entry(group.into()).or_default();
            assignment.node = Some(node.into());
        }
        let stage = Stage {
            places: [("site".into(), Some("gamma".into())), ("db".into(), None)].into(),
            ..Stage::default()
        };
        let asked = |node: &str, follows| before_cut(&view, &node.into(), ", 2 times", follows);
        assert_eq!(
            asked("beta", Some(&stage)),
            "The power of beta is going to be cut, 2 times. It runs db, which can run nowhere else and STOPS; site, which moves \
             to gamma. Type its name to go on: "
        );
        assert!(asked("beta", None).contains("It runs db; site. "));
        assert!(asked("gamma", Some(&stage)).contains("It runs nothing. "));
    }

    #[test]
    fn a_drill_reads_as_it_should() {
        let mut report = report(vec![(1, "ipmi-beta", Ok(Power::On))], false);
        let proven = Cut {
            off_after_ms: Some(2_310),
            back_after_ms: Some(41_870),
            ..Cut::of(1, &["ipmi-beta".into()])
        };
        let wrong = Cut {
            also_lost: vec!["gamma".to_owned()],
            problem: "level 2 (pdu-1 and pdu-2) from alpha, 2103 ms: beta was heard after it was said to be off"
                .to_owned(),
            ..Cut::of(2, &["pdu-1".into(), "pdu-2".into()])
        };
        let said = [&proven, &wrong].map(|cut| fence_cut(&"beta".into(), cut));
        report.cut = vec![proven, wrong];
        assert!(!report.is_good());
        let given = format!(
            "$ standfast fence test beta --cut --yes\n{}{}\n$ standfast fence test beta --cut --yes --json\n{}",
            fence_test(&report, Style::default()),
            said.concat(),
            json(&report)
        );
        compare("fence_drill", &given);
    }

    #[test]
    fn what_devices_said_reads_as_it_should() {
        let failed = FenceError::Failed {
            agent: "fence_ipmilan".to_owned(),
            action: "status",
            how: "failed with exit code 1".to_owned(),
            says: "Failed: Unable to obtain correct plug status".to_owned(),
        };
        let well = report(vec![(1, "ipmi-beta", Ok(Power::On))], true);
        let ill = report(
            vec![
                (1, "ipmi-beta", Err(failed)),
                (2, "pdu-1", Ok(Power::On)),
                (2, "pdu-2", Ok(Power::Off)),
            ],
            false,
        );
        let given = format!(
            "$ standfast fence test beta\n{}\n$ standfast fence test beta\n{}\n$ standfast fence test beta --json\n{}",
            fence_test(&well, Style::default()),
            fence_test(&ill, Style::default()),
            json(&ill)
        );
        compare("fence_test", &given);
    }

    fn act(id: u64, node: &str, outcome: FenceOutcome, tries: &[&str]) -> FenceAct {
        FenceAct {
            id,
            node: node.into(),
            incarnation: standfast_model::id::Incarnation(0),
            by: "root@alpha".to_owned(),
            why: if id == 7 {
                "the stop of web is not confirmed".to_owned()
            } else {
                String::new()
            },
            power_on: true,
            lost: id == 13,
            drill: None,
            levels: vec![vec!["ipmi-beta".into()]],
            level: 0,
            executor: (outcome == FenceOutcome::UnderWay).then(|| "gamma".into()),
            executor_run: standfast_model::id::Incarnation(0),
            turn: 1,
            spent: std::collections::BTreeSet::new(),
            tries: tries.iter().map(|line| (*line).to_owned()).collect(),
            outcome,
            began_ms: 1_795_275_886_000,
            ended_ms: 0,
        }
    }

    #[test]
    fn acts_read_as_they_should() {
        let mut view = View::default();
        for node in ["alpha", "beta", "gamma"] {
            view.state.nodes.entry(node.into()).or_default();
        }
        let failed = "level 1 (ipmi-beta) from alpha, 60002 ms: ipmi-beta: fence_ipmilan off: no end within 60000 ms; killed";
        let off = "beta is off, as ipmi-beta said to gamma after 2103 ms";
        view.state.fences.extend([
            act(7, "beta", FenceOutcome::Failed, &[failed]),
            act(9, "beta", FenceOutcome::Off, &[failed, off]),
            act(
                11,
                "alpha",
                FenceOutcome::Void,
                &["alpha was heard after it was said to be off"],
            ),
            act(12, "gamma", FenceOutcome::UnderWay, &[]),
            act(
                13,
                "delta",
                FenceOutcome::CalledOff,
                &["level 1 (ipmi-delta) from alpha, 0 ms: delta is back"],
            ),
        ]);
        let mut given = format!(
            "$ standfast fence history\n{}",
            fence_history(&view, Style::default())
        );
        for act in &view.state.fences {
            given.push_str(&format!(
                "\n$ standfast fence {}\n{}",
                act.node,
                fence_act(act)
            ));
        }
        given.push_str("\nstatus says:\n");
        for (line, serious) in alarms(&view) {
            given.push_str(&format!("  {} {line}\n", if serious { "!" } else { "-" }));
        }
        given.push_str(&format!(
            "\n$ standfast fence history --json\n{}",
            fence_history_json(&view)
        ));
        compare("fence_acts", &given);
    }
}
