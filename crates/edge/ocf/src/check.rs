//! Whether a resource's parameters fit its agent, judged by what the agent says of itself. Not for what needs no agent:
//! the crate `config` has refused that before.

use crate::{
    environment::PREFIX,
    metadata::{Kind, Metadata, Parameter},
};
use standfast_model::config::ProcessConfig;
use std::fmt;

/// Words for yes and no that the agents know.
const BOOLEANS: [&str; 8] = ["1", "yes", "on", "true", "0", "no", "off", "false"];
/// Without these nothing can be run.
const NEEDED: [&str; 3] = ["start", "stop", "monitor"];

/// A setting that does not fit the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The parameter; the agent itself if there is none.
    pub parameter: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What is allowed; may be empty.
    pub allowed: String,
    /// The valid name that was probably meant.
    pub nearest: Option<String>,
}

impl Problem {
    fn new(parameter: &str, problem: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self {
            parameter: Some(parameter.to_owned()),
            problem: problem.into(),
            allowed: allowed.into(),
            nearest: None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.parameter {
            Some(name) => write!(f, "parameters.{name}: {}", self.problem)?,
            None => write!(f, "agent: {}", self.problem)?,
        }
        if !self.allowed.is_empty() {
            write!(f, "; allowed: {}", self.allowed)?;
        }
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean \"{nearest}\"?")?;
        }
        Ok(())
    }
}

/// Everything that does not fit, in the order of the names; what is missing last.
#[must_use]
pub fn problems(config: &ProcessConfig, metadata: &Metadata) -> Vec<Problem> {
    let Some(agent) = &config.agent else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let lacking = NEEDED
        .iter()
        .filter(|action| !metadata.actions.iter().any(|(name, _)| name == *action));
    found.extend(lacking.map(|action| Problem {
        parameter: None,
        problem: format!("{} has no action {action}", agent.name),
        allowed: String::new(),
        nearest: None,
    }));
    let names = agent.parameters.keys().map(String::as_str);
    for name in names.chain(secrets(config)) {
        if metadata.find(name).is_none() {
            found.push(unknown(name, &agent.name, metadata));
        }
    }
    for (name, value) in &agent.parameters {
        found.extend(
            metadata
                .find(name)
                .and_then(|parameter| of_value(parameter, value)),
        );
    }
    let missing = metadata.parameters.iter().filter(|parameter| {
        let given = agent.parameters.contains_key(&parameter.name)
            || secrets(config).any(|name| name == parameter.name);
        parameter.required && !parameter.deprecated && parameter.default.is_none() && !given
    });
    found.extend(missing.map(|parameter| {
        let what = match parameter.text.as_str() {
            "" => String::new(),
            text => format!(" ({text})"),
        };
        let problem = format!("is missing; {} needs it{what}", agent.name);
        Problem::new(&parameter.name, problem, "")
    }));
    found
}

/// Names of the parameters whose values are in files.
fn secrets(config: &ProcessConfig) -> impl Iterator<Item = &str> {
    let names = config.secret_environment.keys();
    names.filter_map(|name| name.strip_prefix(PREFIX))
}

fn unknown(name: &str, agent: &str, metadata: &Metadata) -> Problem {
    let known = metadata.parameters.iter().filter(|p| !p.deprecated);
    let known: Vec<&str> = known.map(|p| p.name.as_str()).collect();
    let allowed = if known.is_empty() {
        "none: it has no parameters".to_owned()
    } else {
        known.join(", ")
    };
    let mut problem = Problem::new(name, format!("{agent} has no such parameter"), allowed);
    let near = known.iter().map(|known| {
        let distance = strsim::damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase());
        (distance, *known)
    });
    let near = near.filter(|(distance, _)| *distance <= (name.len() / 3).max(1));
    problem.nearest = near.min().map(|(_, known)| known.to_owned());
    problem
}

fn of_value(parameter: &Parameter, value: &str) -> Option<Problem> {
    let (fits, allowed) = match &parameter.kind {
        Kind::Text => (true, String::new()),
        Kind::Integer => (value.parse::<i64>().is_ok(), "a whole number".to_owned()),
        Kind::Boolean => {
            let fits = BOOLEANS.contains(&value.to_lowercase().as_str());
            (fits, BOOLEANS.join(", "))
        }
        Kind::Choice(choices) => (choices.iter().any(|c| c == value), choices.join(", ")),
    };
    (!fits).then(|| Problem::new(&parameter.name, format!("{value:?} does not fit"), allowed))
}

/// What two resources of one agent may not share and do: the parameter's problem, to be said of either. Values that are
/// in files are not compared.
#[must_use]
pub fn repeated(
    (one, name): (&ProcessConfig, &str),
    other: &ProcessConfig,
    metadata: &Metadata,
) -> Vec<Problem> {
    let (Some(one), Some(other)) = (&one.agent, &other.agent) else {
        return Vec::new();
    };
    if one.name != other.name {
        return Vec::new();
    }
    let unique = metadata.parameters.iter().filter(|p| p.unique);
    let same = unique.filter_map(|parameter| {
        let value = other.parameters.get(&parameter.name)?;
        (one.parameters.get(&parameter.name) == Some(value)).then(|| {
            let problem = format!("{value:?} is also that of resource {name}");
            Problem::new(&parameter.name, problem, "a value of its own")
        })
    });
    same.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use standfast_model::config::AgentConfig;

    const XML: &str = r#"<resource-agent name="x"><parameters>
 <parameter name="file" unique="1" required="1"><shortdesc>Its file</shortdesc><content type="string"/></parameter>
 <parameter name="password" required="1"><content type="string"/></parameter>
 <parameter name="port" required="1"><content type="integer" default="80"/></parameter>
 <parameter name="ssl"><content type="boolean"/></parameter>
 <parameter name="old" required="1" deprecated="1"><content type="string"/></parameter>
</parameters><actions><action name="start"/><action name="stop"/><action name="monitor"/></actions></resource-agent>"#;

    fn config(parameters: &[(&str, &str)]) -> ProcessConfig {
        let owned = |(n, v): &(&str, &str)| ((*n).to_owned(), (*v).to_owned());
        ProcessConfig {
            agent: Some(Box::new(AgentConfig {
                name: "ocf:heartbeat:x".to_owned(),
                parameters: parameters.iter().map(owned).collect(),
                ..AgentConfig::default()
            })),
            secret_environment: [("OCF_RESKEY_password".to_owned(), "/etc/p".to_owned())].into(),
            ..ProcessConfig::default()
        }
    }

    fn said(parameters: &[(&str, &str)]) -> Vec<String> {
        let found = problems(&config(parameters), &Metadata::parse(XML).unwrap());
        found.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn what_fits_is_accepted() {
        let none: Vec<String> = Vec::new();
        assert_eq!(
            said(&[("file", "/a"), ("port", "8080"), ("ssl", "Yes")]),
            none
        );
        assert_eq!(said(&[("file", "/a"), ("old", "x")]), none);
    }

    #[test]
    fn each_problem_says_what_is_allowed() {
        assert_eq!(
            said(&[("fiel", "/a"), ("port", "http"), ("ssl", "2")]),
            [
                "parameters.fiel: ocf:heartbeat:x has no such parameter; allowed: file, password, port, ssl; did you \
                 mean \"file\"?",
                "parameters.port: \"http\" does not fit; allowed: a whole number",
                "parameters.ssl: \"2\" does not fit; allowed: 1, yes, on, true, 0, no, off, false",
                "parameters.file: is missing; ocf:heartbeat:x needs it (Its file)",
            ]
        );
    }

    #[test]
    fn what_is_no_agent_of_resources_is_said() {
        let found = problems(&config(&[]), &Metadata::parse("<resource-agent/>").unwrap());
        assert!(
            found[0]
                .to_string()
                .starts_with("agent: ocf:heartbeat:x has no action start")
        );
    }

    #[test]
    fn a_unique_value_is_given_once() {
        let metadata = Metadata::parse(XML).unwrap();
        let (one, two) = (
            config(&[("file", "/a"), ("port", "1")]),
            config(&[("file", "/a"), ("port", "1")]),
        );
        let found = repeated((&one, "web"), &two, &metadata);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].to_string(),
            "parameters.file: \"/a\" is also that of resource web; allowed: a value of its own"
        );
        assert!(repeated((&one, "web"), &config(&[("file", "/b")]), &metadata).is_empty());
    }
}
