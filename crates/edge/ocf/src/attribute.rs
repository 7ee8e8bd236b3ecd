//! What agents call as `crm_master` and `crm_attribute` to say by how much their copy is to be promoted. Everything else that
//! these can do with Pacemaker is refused.

use standfast_model::plan::INFINITY;
use std::{fs, path::Path};

/// The runner tells where the score is kept.
pub(crate) const FILE: &str = "STANDFAST_PROMOTION";
/// Exit codes of Pacemaker: wrong arguments, no such attribute, not possible here.
const USAGE: u8 = 64;
const NO_SUCH: u8 = 105;
const UNSUPPORTED: u8 = 3;
/// Options of theirs with a value that changes nothing here.
const IDLE: [&str; 6] = ["-l", "--lifetime", "-t", "--type", "-d", "--default"];

#[derive(Debug, PartialEq, Eq)]
enum Act {
    Query,
    Update(i64),
    Delete,
}

/// Carries out what an agent asks for. Returns what to print, or the exit code with what is wrong.
///
/// # Errors
/// It cannot be done.
pub fn attribute(name: &str, arguments: &[String]) -> Result<String, (u8, String)> {
    let node = std::env::var("STANDFAST_NODE").unwrap_or_default();
    let act = read(name, arguments, &node)?;
    let file = std::env::var(FILE).map_err(|_unset| {
        (
            UNSUPPORTED,
            format!("{name} is for agents of promotable copies"),
        )
    })?;
    let file = Path::new(&file);
    let failed = |error: std::io::Error| (1, format!("{}: {error}", file.display()));
    match act {
        Act::Query => match fs::read_to_string(file) {
            Ok(score) => Ok(score),
            Err(_) => Err((NO_SUCH, "no promotion score is set".to_owned())),
        },
        Act::Update(score) => {
            let new = file.with_extension("new");
            let written = fs::write(&new, score.to_string());
            written
                .and_then(|()| fs::rename(&new, file))
                .map_err(failed)?;
            Ok(String::new())
        }
        Act::Delete => match fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(String::new()),
        },
    }
}

fn read(name: &str, arguments: &[String], own: &str) -> Result<Act, (u8, String)> {
    let usage = |text: String| (USAGE, format!("{name}: {text}"));
    // The first is about nothing else.
    let (mut promotion, mut act) = (name == "crm_master", Act::Query);
    let mut rest = arguments.iter().map(String::as_str).peekable();
    while let Some(argument) = rest.next() {
        let (option, mut value) = match argument.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (option, Some(value)),
            _ if argument.len() > 2 && argument.starts_with('-') && !argument.starts_with("--") => {
                argument
                    .split_at_checked(2)
                    .map_or((argument, None), |(o, v)| (o, Some(v)))
            }
            _ => (argument, None),
        };
        let mut needed = || {
            let next = value.take().or_else(|| rest.next());
            next.ok_or_else(|| usage(format!("{option} needs a value")))
        };
        match option {
            "-v" | "--update" | "--attr-value" => {
                act = Act::Update(score(needed()?).map_err(usage)?)
            }
            "-D" | "--delete" | "--delete-attr" => act = Act::Delete,
            "-G" | "-Q" | "-q" | "--query" | "--get-value" | "--quiet" => {}
            "-p" | "--promotion" => {
                promotion = true;
                // Its value is optional: the resource, which can only be the agent's own.
                if value.is_none() {
                    rest.next_if(|next| !next.starts_with('-'));
                }
            }
            "-r" | "--resource" => drop(needed()?),
            "-N" | "--node" => {
                let node = needed()?;
                if node != own {
                    let text = format!("the score of {node} is said on {node}, and this is {own}");
                    return Err((UNSUPPORTED, format!("{name}: {text}")));
                }
            }
            option if IDLE.contains(&option) => drop(needed()?),
            other => {
                let text = format!("{other} is not there: only the promotion score can be set");
                return Err((UNSUPPORTED, format!("{name}: {text}")));
            }
        }
    }
    if !promotion {
        let text = "attributes of nodes are not there: only the promotion score can be set (-p)";
        return Err((UNSUPPORTED, format!("{name}: {text}")));
    }
    Ok(act)
}

fn score(text: &str) -> Result<i64, String> {
    match text {
        "INFINITY" | "+INFINITY" => Ok(INFINITY),
        "-INFINITY" => Ok(-INFINITY),
        number => {
            let number = number.parse::<i64>();
            let number = number.map_err(|_none| format!("{text:?} is no score"))?;
            Ok(number.clamp(-INFINITY, INFINITY))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str, line: &str) -> Result<Act, u8> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        read(name, &arguments, "alpha").map_err(|(code, _)| code)
    }

    #[test]
    fn the_ways_in_which_agents_set_a_score() {
        assert_eq!(said("crm_master", "-l reboot -v 5"), Ok(Act::Update(5)));
        assert_eq!(
            said("crm_master", "-Q -l reboot -v -INFINITY"),
            Ok(Act::Update(-INFINITY))
        );
        assert_eq!(said("crm_master", "-l reboot -D"), Ok(Act::Delete));
        assert_eq!(said("crm_master", "-q -G"), Ok(Act::Query));
        assert_eq!(said("crm_attribute", "-p -v 10"), Ok(Act::Update(10)));
        assert_eq!(
            said("crm_attribute", "-p postgres -v 10"),
            Ok(Act::Update(10))
        );
        assert_eq!(
            said("crm_attribute", "--promotion=db -l forever -D"),
            Ok(Act::Delete)
        );
        assert_eq!(
            said("crm_attribute", "--promotion --update=7 -N alpha"),
            Ok(Act::Update(7))
        );
        assert_eq!(said("crm_master", "-v2000000"), Ok(Act::Update(INFINITY)));
    }

    #[test]
    fn what_needs_more_of_pacemaker_is_refused() {
        assert_eq!(
            said("crm_attribute", "-n data-status -v LATEST"),
            Err(UNSUPPORTED)
        );
        assert_eq!(said("crm_attribute", "-l forever -v 1"), Err(UNSUPPORTED));
        assert_eq!(said("crm_master", "-N beta -v 1"), Err(UNSUPPORTED));
        assert_eq!(said("crm_master", "-v much"), Err(USAGE));
        assert_eq!(said("crm_master", "-v"), Err(USAGE));
    }
}
