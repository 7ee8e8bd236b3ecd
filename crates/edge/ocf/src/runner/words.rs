//! What a runner is told while it serves: to promote, to demote, and what its agent is given from now on.
//!
//! Whoever tells it may be killed meanwhile, and its successor says the same again. So a runner knows which parameters its agent
//! has taken over, and which it may have taken over. Not for how a role is kept (`promotion`).

use super::{Ended, Runner, SUCCEEDED, say};
use crate::{Done, Refusal, WORDS_SOCKET, Word, is_parameter, machine::children};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    env,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    time::Duration,
};

/// Who has connected writes at once.
const PATIENCE: Duration = Duration::from_millis(200);

/// Who has said something, and has no answer yet.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) listener: UnixListener,
    wishes: VecDeque<(UnixStream, Word)>,
    /// Whether it is promoted, while its agent takes something over, which changes nothing about that: whoever asks waits for nothing.
    settled: Option<bool>,
}

impl Words {
    pub(super) fn listen(run_dir: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(run_dir.join(WORDS_SOCKET))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            wishes: VecDeque::new(),
            settled: None,
        })
    }

    /// Takes in what was said.
    pub(super) fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if stream.set_nonblocking(false).is_err()
                || stream.set_read_timeout(Some(PATIENCE)).is_err()
            {
                continue;
            }
            let mut line = String::new();
            let read = BufReader::new(&stream).read_line(&mut line);
            let (Ok(_), Ok(word)) = (read, serde_json::from_str(&line)) else {
                continue;
            };
            match (&word, self.settled) {
                (Word::Ask, Some(promoted)) => drop(answer(stream, &role(promoted))),
                _ => self.wishes.push_back((stream, word)),
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.wishes.is_empty()
    }

    /// What concerns a role comes first.
    fn next(&mut self) -> Option<(UnixStream, Word)> {
        let mut wishes = self.wishes.iter();
        let role = wishes.position(|(_, word)| !matches!(word, Word::Reload { .. }));
        self.wishes.remove(role.unwrap_or(0))
    }

    /// Whether an action has to make way for what was said meanwhile.
    pub(super) fn are_urgent(&self, task: &str) -> bool {
        let mut wishes = self.wishes.iter();
        match task {
            // Killed, it might leave something behind: what is to be taken over can wait.
            "monitor" => wishes.any(|(_, word)| !matches!(word, Word::Reload { .. })),
            "promote" => wishes.any(|(_, word)| matches!(word, Word::Demote(_))),
            "reload-agent" => {
                wishes.any(|(_, word)| matches!(word, Word::Demote(_) | Word::Promote(_)))
            }
            _ => false,
        }
    }
}

/// The variables of an agent's parameters.
#[derive(Debug)]
pub(super) struct Given {
    /// What every action is given.
    now: BTreeMap<String, String>,
    /// What the agent was told to take over, as long as it has not said that it did.
    next: Option<BTreeMap<String, String>>,
    /// It has said so, and nobody has heard it.
    unheard: bool,
}

impl Given {
    /// Those that this process was started with.
    pub(super) fn at_start() -> Self {
        let all = env::vars_os();
        let all = all.filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Self {
            now: all.filter(|(name, _)| is_parameter(name)).collect(),
            next: None,
            unheard: false,
        }
    }

    /// Which are others than those that are wanted, and cannot be taken over; and whether the agent is known to have all of them.
    fn compared(
        &self,
        wanted: &BTreeMap<String, String>,
        reloadable: &BTreeSet<String>,
    ) -> (BTreeSet<String>, bool) {
        let names: BTreeSet<&String> = self.now.keys().chain(wanted.keys()).collect();
        let differing = |name: &&String| self.now.get(*name) != wanted.get(*name);
        let differing: BTreeSet<String> = names.into_iter().filter(differing).cloned().collect();
        let same = differing.is_empty() && self.next.is_none();
        let fixed = differing.difference(reloadable).cloned().collect();
        (fixed, same)
    }

    /// Those of an action.
    pub(super) fn to(&self, task: &str) -> &BTreeMap<String, String> {
        let next = self.next.as_ref().filter(|_| task == "reload-agent");
        next.unwrap_or(&self.now)
    }
}

/// Whether it was heard: whoever does not wait any more need not know.
pub(super) fn answer(mut stream: UnixStream, what: &Result<Done, Refusal>) -> bool {
    let line = serde_json::to_string(what).unwrap_or_default();
    !has_hung_up(&stream) && writeln!(stream, "{line}").is_ok()
}

/// The answer to who asks for the role.
fn role(promoted: bool) -> Result<Done, Refusal> {
    let refusal = || Refusal {
        why: "it is not promoted".to_owned(),
        code: None,
        unknown: false,
    };
    promoted.then_some(Done::Now).ok_or_else(refusal)
}

fn has_hung_up(mut stream: &UnixStream) -> bool {
    let looked = stream.set_nonblocking(true);
    let hung_up = matches!(stream.read(&mut [0]), Ok(0)) || looked.is_err();
    hung_up || stream.set_nonblocking(false).is_err()
}

impl Runner {
    /// Does what was said. Returns an exit code where it cannot go on after that.
    pub(super) fn on_wish(&mut self) -> Option<u8> {
        let (stream, word) = self.words.next()?;
        // Whoever has died meanwhile has a successor, who knows nothing of this.
        if has_hung_up(&stream) {
            return None;
        }
        match word {
            Word::Ask => {
                answer(stream, &role(self.is_promoted()));
                None
            }
            Word::Promote(since) => self.promote(stream, &since),
            Word::Demote(within_ms) => match self.demote(within_ms) {
                Ok(()) => {
                    answer(stream, &Ok(Done::Now));
                    None
                }
                Err(failed) => Some(self.end_for(stream, "demote", &failed)),
            },
            Word::Reload {
                parameters,
                reloadable,
            } => {
                self.reload(stream, parameters, reloadable);
                None
            }
        }
    }

    fn is_promoted(&self) -> bool {
        self.promotion.as_ref().is_some_and(|role| role.promoted)
    }

    /// Has the agent take over what it is not known to have.
    fn reload(
        &mut self,
        stream: UnixStream,
        parameters: BTreeMap<String, String>,
        reloadable: BTreeSet<String>,
    ) {
        let (outdated, same) = self.given.compared(&parameters, &reloadable);
        if !outdated.is_empty() {
            answer(stream, &Ok(Done::Outdated(outdated)));
            return;
        }
        if same {
            let done = if self.given.unheard {
                Done::Now
            } else {
                Done::Before
            };
            self.given.unheard &= !answer(stream, &Ok(done));
            return;
        }
        self.given.next = Some(parameters);
        self.depth = 0;
        self.words.settled = Some(self.is_promoted());
        let reloaded = self.act("reload-agent");
        self.words.settled = None;
        if reloaded.ended == Ended::Interrupted {
            // A stop ends it anyway. A role comes first, and then this again.
            if let (false, Some(parameters)) = (self.ending, &self.given.next) {
                let again = Word::Reload {
                    parameters: parameters.clone(),
                    reloadable,
                };
                self.words.wishes.push_back((stream, again));
            }
            return;
        }
        if reloaded.ended == SUCCEEDED {
            self.given.now = self.given.next.take().unwrap_or_default();
            // It may have other processes from now on. One that has ended meanwhile is still looked after.
            self.daemons.extend(children());
            self.given.unheard = !answer(stream, &Ok(Done::Now));
            return;
        }
        let why = self.describe("reload-agent", &reloaded);
        say(&why);
        let refusal = Refusal {
            why,
            code: reloaded.code(),
            unknown: false,
        };
        answer(stream, &Err(refusal));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_and_not_taken_over_is_told_again() {
        let of = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            let owned = pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            owned.collect()
        };
        let names = |all: &[&str]| -> BTreeSet<String> {
            all.iter().map(|name| (*name).to_owned()).collect()
        };
        let mut given = Given {
            now: of(&[("a", "1"), ("b", "1")]),
            next: None,
            unheard: false,
        };
        let b = names(&["b"]);
        let said = |given: &Given, wanted| given.compared(&of(wanted), &b);
        assert_eq!(said(&given, &[("a", "1"), ("b", "1")]), (names(&[]), true));
        assert_eq!(said(&given, &[("a", "1"), ("b", "2")]), (names(&[]), false));
        assert_eq!(said(&given, &[("a", "1")]), (names(&[]), false));
        let both = [("a", "2"), ("b", "2")];
        assert_eq!(said(&given, &both), (names(&["a"]), false));
        let more = [("a", "1"), ("b", "1"), ("c", "1")];
        assert_eq!(said(&given, &more), (names(&["c"]), false));
        // The agent may have it, or not.
        given.next = Some(of(&[("a", "1"), ("b", "2")]));
        assert_eq!(said(&given, &[("a", "1"), ("b", "1")]), (names(&[]), false));
        assert_eq!(said(&given, &[("a", "1"), ("b", "2")]), (names(&[]), false));
    }
}
