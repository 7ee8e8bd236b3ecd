//! Whether a resource was started with the parameters that it has today.
//!
//! Histories keep an MD5 sum of the parameters. Not for secrets: nobody may rely on this sum.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use standfast_scheduler::input::{Attributes, Resource};

use crate::Xml;

/// What a sum is made from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub(crate) parameters: Attributes,
    /// Milliseconds by name and interval.
    timeouts: BTreeMap<(String, u64), u64>,
    /// The sum of all parameters; hundreds of results ask for it.
    sum: OnceCell<String>,
}

impl Known {
    /// Whether the sum of a result is known to be that of other parameters; a check that recurs
    /// has its time limit among them.
    pub(crate) fn is_outdated(
        &self,
        record: Xml<'_>,
        task: &str,
        interval: u64,
        usual: u64,
    ) -> bool {
        if record.attribute("op-digest").is_none()
            && record.attribute("op-restart-digest").is_none()
        {
            return false;
        }
        if interval == 0 {
            return self.differs(record);
        }
        let mut parameters = self.parameters.clone();
        let limit = self.timeouts.get(&(task.to_owned(), interval));
        let limit = limit.copied().unwrap_or(usual).to_string();
        parameters.insert("CRM_meta_timeout".to_owned(), limit);
        differs(record, &parameters)
    }
}

impl Known {
    /// Whether a recorded start has to be done again, because of other or unknown parameters.
    pub(crate) fn differs(&self, record: Xml<'_>) -> bool {
        if record.attribute("op-restart-digest").is_some() {
            return differs(record, &self.parameters);
        }
        let sum = self.sum.get_or_init(|| sum(self.parameters.iter()));
        record.attribute("op-digest") != Some(sum)
    }
}

/// Parameters by the name of the primitive.
pub(crate) fn collect(resources: &[Resource], all: &mut Vec<(String, Known)>) {
    for resource in resources {
        if resource.children.is_empty() {
            let timeouts = resource.operations.iter();
            let timeouts = timeouts.map(|op| ((op.name.clone(), op.interval_ms), op.timeout_ms));
            let known = Known {
                parameters: resource.parameters.clone(),
                timeouts: timeouts.collect(),
                sum: OnceCell::new(),
            };
            all.push((resource.id.clone(), known));
        }
        collect(&resource.children, all);
    }
}

/// Whether a recorded start has to be done again, because of other or unknown parameters.
fn differs(record: Xml<'_>, parameters: &Attributes) -> bool {
    let recorded = record.attribute("op-restart-digest");
    if let Some(recorded) = recorded {
        let named = record.attribute("op-force-restart").unwrap_or_default();
        let named: Vec<&str> = named.split_whitespace().collect();
        let kept = parameters
            .iter()
            .filter(|(name, _)| named.contains(&name.as_str()));
        return sum(kept) != recorded;
    }
    record.attribute("op-digest") != Some(sum(parameters.iter()).as_str())
}

fn sum<'b>(parameters: impl Iterator<Item = (&'b String, &'b String)>) -> String {
    let mut text = String::from(" <parameters");
    for (name, value) in parameters {
        if name == "CRM_meta_timeout" || !name.starts_with("CRM_meta_") {
            text.push_str(&format!(" {name}=\"{}\"", escaped(value)));
        }
    }
    text.push_str("/>\n");
    md5(text.as_bytes())
}

fn escaped(value: &str) -> String {
    let mut text = String::new();
    for symbol in value.chars() {
        match symbol {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            other => text.push(other),
        }
    }
    text
}

const SHIFTS: [[u32; 4]; 4] = [
    [7, 12, 17, 22],
    [5, 9, 14, 20],
    [4, 11, 16, 23],
    [6, 10, 15, 21],
];

/// The constants: the integer part of 2^32 times the absolute sine of 1 to 64.
const SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

fn md5(message: &[u8]) -> String {
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    let bits = u64::try_from(message.len()).unwrap_or(0).wrapping_mul(8);
    padded.extend(bits.to_le_bytes());
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    for block in padded.chunks_exact(64) {
        let words: Vec<u32> = block
            .chunks_exact(4)
            .map(|four| {
                four.iter()
                    .rev()
                    .fold(0, |word, byte| (word << 8) | u32::from(*byte))
            })
            .collect();
        let mixed = mix(state, &words);
        for (part, add) in state.iter_mut().zip(mixed) {
            *part = part.wrapping_add(add);
        }
    }
    let mut text = String::new();
    for byte in state.iter().flat_map(|part| part.to_le_bytes()) {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

fn mix(state: [u32; 4], words: &[u32]) -> [u32; 4] {
    let [mut a, mut b, mut c, mut d] = state;
    for (step, sine) in SINES.iter().enumerate() {
        let (value, word) = match step / 16 {
            0 => ((b & c) | (!b & d), step),
            1 => ((d & b) | (!d & c), (5 * step + 1) % 16),
            2 => (b ^ c ^ d, (3 * step + 5) % 16),
            _ => (c ^ (b | !d), (7 * step) % 16),
        };
        let word = words.get(word).copied().unwrap_or(0);
        let shifts = SHIFTS.get(step / 16).copied().unwrap_or_default();
        let shift = shifts.get(step % 4).copied().unwrap_or(0);
        let sum = a.wrapping_add(value).wrapping_add(*sine).wrapping_add(word);
        (a, d, c, b) = (d, c, b, b.wrapping_add(sum.rotate_left(shift)));
    }
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_that_histories_keep() {
        assert_eq!(md5(b""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(
            sum(Attributes::new().iter()),
            "f2317cad3d54cec5d7d7aa7d0bf35cf8"
        );
    }
}
