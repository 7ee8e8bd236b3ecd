//! Whether a device's settings fit its agent, judged by what the agent says of itself. Not for what needs no agent: the
//! crate `config` has refused that before.

use crate::{
    error::Problem,
    metadata::{Kind, Metadata, Parameter},
};
use standfast_model::{
    fence::{FenceDevice, RESERVED, is_parameter},
    id::NodeId,
};

/// Words for yes and no that the agents know.
const BOOLEANS: [&str; 8] = ["1", "yes", "on", "true", "0", "no", "off", "false"];

/// Everything that does not fit, in the order of the keys.
pub(crate) fn problems(device: &FenceDevice, metadata: &Metadata) -> Vec<Problem> {
    let mut found = Vec::new();
    for (name, value) in &device.parameters {
        found.extend(of_name(name, device, metadata));
        if let Some(parameter) = metadata.find(name) {
            found.extend(of_value(parameter, value));
        }
    }
    for name in device.secret_parameters.keys() {
        found.extend(of_name(name, device, metadata));
    }
    found.extend(missing(device, metadata));
    let nodes = device.nodes.iter();
    found.extend(nodes.filter_map(|(node, plug)| of_plug(node, plug.as_deref(), metadata)));
    found
}

fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|(reserved, _)| *reserved == name)
}

fn of_name(name: &str, device: &FenceDevice, metadata: &Metadata) -> Option<Problem> {
    let key = format!("parameters.{name}");
    let known: Vec<&str> = metadata
        .parameters
        .iter()
        .filter(|p| !p.deprecated && !is_reserved(&p.name))
        .map(|p| p.name.as_str())
        .collect();
    match metadata.find(name) {
        _ if !is_parameter(name) => Some(Problem::new(key, "is no name of a parameter")),
        None => {
            let problem = Problem::new(key, format!("{} has no such parameter", device.agent));
            let nearest = nearest(name, metadata);
            Some(Problem {
                nearest,
                ..problem.allowed(known.join(", "))
            })
        }
        // Both names of one thing: nobody knows which of them counts.
        Some(parameter) => {
            let old = parameter.obsoletes.as_deref()?;
            (parameter.name != old && has(device, old)).then(|| {
                let text = format!("is the new name of {old}, which is given as well");
                Problem::new(key, text).allowed("one of them")
            })
        }
    }
}

/// The name that was probably meant; of two names of one thing the new one.
fn nearest(written: &str, metadata: &Metadata) -> Option<String> {
    let names = metadata.parameters.iter().map(|p| p.name.as_str());
    let distances = names.map(|name| (strsim::damerau_levenshtein(written, name), name));
    let near = distances.filter(|(distance, _)| *distance <= (written.len() / 3).max(1));
    let (_, name) = near.filter(|(_, name)| !is_reserved(name)).min()?;
    let mut parameters = metadata.parameters.iter();
    let new = parameters.find(|p| p.name != name && p.obsoletes.as_deref() == Some(name));
    Some(new.map_or(name, |new| new.name.as_str()).to_owned())
}

fn of_value(parameter: &Parameter, value: &str) -> Option<Problem> {
    let (fits, allowed) = match &parameter.kind {
        Kind::Text => (true, String::new()),
        Kind::Integer => (value.parse::<i64>().is_ok(), "a whole number".to_owned()),
        Kind::Seconds => (value.parse::<u32>().is_ok(), "whole seconds".to_owned()),
        Kind::Boolean => {
            let fits = BOOLEANS.contains(&value.to_lowercase().as_str());
            (fits, BOOLEANS.join(", "))
        }
        Kind::Choice(choices) => (choices.iter().any(|c| c == value), choices.join(", ")),
    };
    let key = format!("parameters.{}", parameter.name);
    if value.contains(['\n', '\r', '\0']) {
        return Some(Problem::new(key, "has more than one line").allowed("one line"));
    }
    (!fits).then(|| Problem::new(key, format!("{value:?} does not fit")).allowed(allowed))
}

fn has(device: &FenceDevice, name: &str) -> bool {
    device.parameters.contains_key(name) || device.secret_parameters.contains_key(name)
}

fn missing(device: &FenceDevice, metadata: &Metadata) -> Vec<Problem> {
    let required = metadata.parameters.iter().filter(|parameter| {
        parameter.required
            && !parameter.deprecated
            && parameter.default.is_none()
            && !is_reserved(&parameter.name)
    });
    let absent = required.filter(|parameter| {
        let old = parameter.obsoletes.as_deref();
        !has(device, &parameter.name) && !old.is_some_and(|old| has(device, old))
    });
    absent
        .map(|parameter| {
            let text = if parameter.text.is_empty() {
                format!("is missing; {} needs it", device.agent)
            } else {
                format!("is missing; {} needs it ({})", device.agent, parameter.text)
            };
            Problem::new(format!("parameters.{}", parameter.name), text)
        })
        .collect()
}

fn of_plug(node: &NodeId, plug: Option<&str>, metadata: &Metadata) -> Option<Problem> {
    let key = format!("nodes.{node}");
    let name = metadata.plug();
    // Some agents call an address a plug: there it need not be given.
    let needed = name
        .and_then(|name| metadata.find(name))
        .is_some_and(|found| found.required && found.default.is_none() && found.name != "nodename");
    match (plug, name) {
        (Some(plug), None) => {
            let text = format!(
                "{} has one machine only, not a machine called {plug:?}",
                metadata.name
            );
            Some(Problem::new(key, text).allowed("a list: nodes = [\"NAME\"]"))
        }
        (Some(plug), Some(_)) if plug.contains(['\n', '\r', '\0']) => {
            Some(Problem::new(key, "has more than one line").allowed("one line"))
        }
        (None, Some(plug)) if needed => {
            let text = format!(
                "does not say what the device calls this node; {} needs it as {plug}",
                metadata.name
            );
            Some(Problem::new(key, text).allowed("a table: nodes = { NAME = \"PLUG\" }"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use standfast_model::time::Micros;
    use std::collections::BTreeMap;

    const XML: &str = r#"<resource-agent name="fence_x"><parameters>
 <parameter name="action" required="1"><content type="string" default="reboot"/></parameter>
 <parameter name="ip" required="1" obsoletes="ipaddr"><content type="string"/><shortdesc>Where</shortdesc></parameter>
 <parameter name="ipaddr" required="1" deprecated="1"><content type="string"/></parameter>
 <parameter name="auth" required="0"><content type="select"><option value="md5"/><option value="none"/></content></parameter>
 <parameter name="ipport" required="0"><content type="integer" default="623"/></parameter>
 <parameter name="login_timeout" required="0"><content type="second" default="5"/></parameter>
 <parameter name="ssl" required="0"><content type="boolean"/></parameter>
 <parameter name="plug" required="1" obsoletes="port"><content type="string"/></parameter>
 <parameter name="port" required="1" deprecated="1"><content type="string"/></parameter>
</parameters></resource-agent>"#;

    fn said(parameters: &[(&str, &str)], plug: Option<&str>) -> Vec<String> {
        let owned = |(n, v): &(&str, &str)| ((*n).to_owned(), (*v).to_owned());
        let device = FenceDevice {
            agent: "fence_x".to_owned(),
            parameters: parameters.iter().map(owned).collect(),
            secret_parameters: BTreeMap::new(),
            nodes: BTreeMap::from([("alpha".into(), plug.map(str::to_owned))]),
            timeout: Micros::from_millis(1),
            retries: 0,
            delay: Micros::ZERO,
            monitor: Micros::ZERO,
        };
        let found = problems(&device, &Metadata::parse(XML).unwrap());
        found.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn what_fits_is_accepted_under_new_and_old_names() {
        let none: Vec<String> = Vec::new();
        let all = [
            ("ip", "1"),
            ("auth", "md5"),
            ("ipport", "623"),
            ("ssl", "Yes"),
        ];
        assert_eq!(said(&all, Some("3")), none);
        assert_eq!(said(&[("ipaddr", "1")], Some("3")), none);
    }

    #[test]
    fn each_problem_names_its_key_and_what_is_allowed() {
        assert_eq!(
            said(&[("ip", "1"), ("auht", "md5")], Some("3")),
            [
                r#"parameters.auht: fence_x has no such parameter; allowed: ip, auth, ipport, login_timeout, ssl; did you mean "auth"?"#
            ]
        );
        assert_eq!(
            said(&[("ip", "1"), ("auth", "md6")], Some("3")),
            [r#"parameters.auth: "md6" does not fit; allowed: md5, none"#]
        );
        assert_eq!(
            said(
                &[
                    ("ip", "1"),
                    ("ipport", "ipmi"),
                    ("login_timeout", "-1"),
                    ("ssl", "2")
                ],
                Some("3")
            ),
            [
                r#"parameters.ipport: "ipmi" does not fit; allowed: a whole number"#,
                r#"parameters.login_timeout: "-1" does not fit; allowed: whole seconds"#,
                r#"parameters.ssl: "2" does not fit; allowed: 1, yes, on, true, 0, no, off, false"#,
            ]
        );
        assert_eq!(
            said(&[], Some("3")),
            ["parameters.ip: is missing; fence_x needs it (Where)"]
        );
        assert_eq!(
            said(&[("ip", "1"), ("ipaddr", "2")], Some("3")),
            [
                "parameters.ip: is the new name of ipaddr, which is given as well; allowed: one of them"
            ]
        );
        assert_eq!(
            said(&[("ip", "1")], None),
            [
                r#"nodes.alpha: does not say what the device calls this node; fence_x needs it as plug; allowed: a table: nodes = { NAME = "PLUG" }"#
            ]
        );
    }

    #[test]
    fn a_line_in_a_value_would_be_another_parameter() {
        let found = said(&[("ip", "1\naction=on")], Some("3"));
        assert_eq!(
            found,
            ["parameters.ip: has more than one line; allowed: one line"]
        );
        assert_eq!(
            said(&[("ip", "1")], Some("3\naction=on")),
            ["nodes.alpha: has more than one line; allowed: one line"]
        );
    }
}
