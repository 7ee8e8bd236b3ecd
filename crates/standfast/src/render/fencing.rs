//! What fence devices said, as a table and as JSON.
//!
//! Not for asking them (`cli::fence`).

use super::{
    style::{Style, Tone},
    table::{Cell, table},
    text::length,
};
use serde::Serialize;
use standfast_fence::{FenceError, Power};
use standfast_model::{id::DeviceId, time::Micros};

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
        }
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
}
