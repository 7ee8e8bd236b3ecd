//! The promoted role of what a runner runs: it promotes and demotes when it is told to, and sees that the agent says the same.
//!
//! What cannot be demoted is ended with everything else, as what cannot be stopped. Nobody is promoted by this runner's own
//! decision: an agent that says so without having been told is demoted.

use super::{Ended, Finished, Runner, SUCCEEDED, say};
use crate::{COMMANDS, HELPERS, ROLE, ROLE_SOCKET, Refusal, SCORE, Word, attribute, code};
use std::{
    collections::VecDeque,
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{
        fs::symlink,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

/// Who has connected writes at once.
const PATIENCE: Duration = Duration::from_millis(200);

/// The role of one resource.
pub(super) struct Promotion {
    pub(super) listener: UnixListener,
    wishes: VecDeque<(UnixStream, Word)>,
    /// The agent has promoted it, and says so.
    promoted: bool,
    /// It may be promoted: the file is there.
    maybe: bool,
    /// Its demotion has failed.
    failed: bool,
    /// As a check has found out, so that it has to end.
    undemoted: Option<Finished>,
    demote_ms: Option<u64>,
    helpers: PathBuf,
    score: PathBuf,
}

impl Promotion {
    pub(super) fn new(run_dir: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(run_dir.join(ROLE_SOCKET))?;
        listener.set_nonblocking(true)?;
        // Beside it: a copy's own folder has a colon in its name, which no PATH can have.
        let helpers = run_dir.parent().unwrap_or(run_dir).join(HELPERS);
        fs::create_dir_all(&helpers)?;
        let program = std::env::current_exe()?;
        // Links, because nothing is executed from where the run folder is on many machines.
        for name in COMMANDS {
            let link = helpers.join(name);
            match symlink(&program, &link) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Ok(Self {
            listener,
            wishes: VecDeque::new(),
            promoted: false,
            maybe: false,
            failed: false,
            undemoted: None,
            demote_ms: None,
            helpers,
            score: run_dir.join(SCORE),
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
            if let (Ok(_), Ok(word)) = (read, serde_json::from_str(&line)) {
                self.wishes.push_back((stream, word));
            }
        }
    }
}

fn answer(mut stream: UnixStream, what: &Result<(), Refusal>) {
    let line = serde_json::to_string(what).unwrap_or_default();
    // Whoever does not wait any more need not know.
    writeln!(stream, "{line}").ok();
}

fn has_hung_up(mut stream: &UnixStream) -> bool {
    let looked = stream.set_nonblocking(true);
    let hung_up = matches!(stream.read(&mut [0]), Ok(0)) || looked.is_err();
    hung_up || stream.set_nonblocking(false).is_err()
}

impl Runner {
    pub(super) fn has_wish(&self) -> bool {
        let promotion = self.promotion.as_ref();
        promotion.is_some_and(|promotion| !promotion.wishes.is_empty())
    }

    /// Whether an action has to make way for what was said meanwhile.
    pub(super) fn is_urgent(&self, task: &str) -> bool {
        let Some(promotion) = &self.promotion else {
            return false;
        };
        match task {
            "monitor" => !promotion.wishes.is_empty(),
            "promote" => {
                let mut wishes = promotion.wishes.iter();
                wishes.any(|(_, word)| matches!(word, Word::Demote(_)))
            }
            _ => false,
        }
    }

    pub(super) fn interval_ms(&self) -> u64 {
        let promoted = self
            .promotion
            .as_ref()
            .filter(|promotion| promotion.promoted);
        let own = promoted.and(self.order.promoted_interval_ms);
        own.unwrap_or(self.order.interval_ms)
    }

    pub(super) fn demote_ms(&self) -> u64 {
        let given = self
            .promotion
            .as_ref()
            .and_then(|promotion| promotion.demote_ms);
        given.unwrap_or(self.order.stop_ms)
    }

    /// The score's commands, where agents look for them, and the role that a recurring `monitor` is to find.
    pub(super) fn variables_of_role(&self, task: &str) -> Vec<(&'static str, String)> {
        let Some(promotion) = &self.promotion else {
            return Vec::new();
        };
        let helpers = promotion.helpers.display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut variables = vec![
            ("PATH", format!("{helpers}:{path}")),
            ("HA_SBIN_DIR", helpers),
            (attribute::FILE, promotion.score.display().to_string()),
        ];
        if task == "monitor" {
            let role = if promotion.promoted {
                "Promoted"
            } else {
                "Unpromoted"
            };
            variables.push(("OCF_RESKEY_CRM_meta_role", role.to_owned()));
        }
        variables
    }

    /// Does what was said. Returns an exit code where it cannot go on after that.
    pub(super) fn on_wish(&mut self) -> Option<u8> {
        let (stream, word) = self.promotion.as_mut()?.wishes.pop_front()?;
        // Whoever has died meanwhile has a successor, who knows nothing of this.
        if has_hung_up(&stream) {
            return None;
        }
        match word {
            Word::Ask => {
                let promoted = self.promotion.as_ref().is_some_and(|role| role.promoted);
                let refusal = Refusal {
                    why: "it is not promoted".to_owned(),
                    code: None,
                    unknown: false,
                };
                answer(stream, &if promoted { Ok(()) } else { Err(refusal) });
                None
            }
            Word::Promote(since) => self.promote(stream, &since),
            Word::Demote(within_ms) => match self.demote(within_ms) {
                Ok(()) => {
                    answer(stream, &Ok(()));
                    None
                }
                Err(failed) => Some(self.end_for(stream, "demote", &failed)),
            },
        }
    }

    fn promote(&mut self, stream: UnixStream, since: &str) -> Option<u8> {
        let file = self.order.run_dir.join(ROLE);
        if let Err(error) = fs::write(&file, since) {
            let refusal = Refusal {
                why: format!("{}: {error}", file.display()),
                code: None,
                unknown: false,
            };
            answer(stream, &Err(refusal));
            return None;
        }
        if let Some(promotion) = &mut self.promotion {
            promotion.maybe = true;
        }
        self.depth = 0;
        let promoted = self.act("promote");
        let (action, found) = if promoted.ended == SUCCEEDED {
            ("monitor", self.act("confirm"))
        } else {
            ("promote", promoted)
        };
        if found.code().is_some_and(code::is_promoted) {
            if let Some(promotion) = &mut self.promotion {
                promotion.promoted = true;
            }
            answer(stream, &Ok(()));
            return None;
        }
        let why = self.describe(action, &found);
        say(&why);
        if let Err(failed) = self.demote(self.order.stop_ms) {
            return Some(self.end_for(stream, "demote", &failed));
        }
        let refusal = Refusal {
            why,
            code: found.code().filter(|_| action == "promote"),
            unknown: false,
        };
        answer(stream, &Err(refusal));
        None
    }

    /// It cannot be demoted: it ends.
    fn end_for(&mut self, stream: UnixStream, action: &str, failed: &Finished) -> u8 {
        let refusal = Refusal {
            why: self.describe(action, failed),
            code: None,
            unknown: true,
        };
        answer(stream, &Err(refusal));
        self.fail(action, failed)
    }

    /// Demotes what may be promoted. It is over when the agent's `demote` says so and its `monitor` says nothing else; what
    /// does not run (7) is not promoted either.
    pub(super) fn demote(&mut self, within_ms: u64) -> Result<(), Finished> {
        let Some(promotion) = &mut self.promotion else {
            return Ok(());
        };
        if !promotion.maybe || promotion.failed {
            return Ok(());
        }
        promotion.demote_ms = Some(within_ms);
        self.depth = 0;
        let demoted = self.act("demote");
        if !matches!(demoted.ended, Ended::Code(0 | 7)) {
            return Err(self.not_demoted(demoted));
        }
        let found = self.act("confirm");
        // Whether anything else is wrong with it, its next check finds out.
        if found
            .code()
            .is_none_or(|code| code::is_promoted(code) || code == 9)
        {
            return Err(self.not_demoted(found));
        }
        let removed = fs::remove_file(self.order.run_dir.join(ROLE));
        if let Err(error) = removed.or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        }) {
            say(&format!("it counts as promoted: {error}"));
            return Err(self.not_demoted(demoted));
        }
        if let Some(promotion) = &mut self.promotion {
            (promotion.promoted, promotion.maybe) = (false, false);
        }
        Ok(())
    }

    fn not_demoted(&mut self, found: Finished) -> Finished {
        if let Some(promotion) = &mut self.promotion {
            promotion.failed = true;
        }
        found
    }

    /// What an earlier run has left promoted is demoted before it is stopped.
    pub(super) fn demote_remains(&mut self, probe: &Finished) {
        if self.promotion.is_none()
            || !probe
                .code()
                .is_some_and(|code| code::is_promoted(code) || code == 9)
        {
            return;
        }
        let demoted = self.act("demote");
        if demoted.ended != SUCCEEDED && !self.ending {
            say(&self.describe("demote before the start", &demoted));
        }
    }

    /// Whether a `monitor` says that all is well. What is promoted by itself, and what has lost its role, is demoted.
    pub(super) fn judge(&mut self, found: &Finished) -> bool {
        let Ended::Code(code) = found.ended else {
            return false;
        };
        let runs = self.order.dialect.runs(code);
        let Some(promotion) = &mut self.promotion else {
            return runs;
        };
        match (promotion.promoted, code::is_promoted(code)) {
            (true, true) => return true,
            (false, false) => return runs,
            (true, false) if !runs => return false,
            (true, false) => say(&self.describe("monitor", found)),
            (false, true) => {
                promotion.maybe = true;
                say("it is promoted and nobody has asked for that: demoted");
            }
        }
        let demoted = self.demote(self.order.stop_ms);
        if let (Err(failed), Some(promotion)) = (demoted, &mut self.promotion) {
            promotion.undemoted = Some(failed);
            return false;
        }
        true
    }

    /// What a check has found that could not be demoted.
    pub(super) fn undemoted(&mut self) -> Option<Finished> {
        self.promotion.as_mut()?.undemoted.take()
    }
}
