//! The promoted role of what a runner runs: it promotes and demotes when it is told to, and sees that the agent says the same.
//!
//! What cannot be demoted is ended with everything else, as what cannot be stopped. Nobody is promoted by this runner's own
//! decision: an agent that says so without having been told is demoted.

use super::{Ended, Finished, Runner, SUCCEEDED, say, words::answer};
use crate::{COMMANDS, Done, HELPERS, ROLE, Refusal, SCORE, attribute, code};
use std::{
    fs, io,
    os::unix::{fs::symlink, net::UnixStream},
    path::{Path, PathBuf},
};

/// The role of one resource.
pub(super) struct Promotion {
    /// The agent has promoted it, and says so.
    pub(super) promoted: bool,
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
            promoted: false,
            maybe: false,
            failed: false,
            undemoted: None,
            demote_ms: None,
            helpers,
            score: run_dir.join(SCORE),
        })
    }
}

impl Runner {
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

    pub(super) fn promote(&mut self, stream: UnixStream, since: &str) -> Option<u8> {
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
            answer(stream, &Ok(Done::Now));
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
    pub(super) fn end_for(&mut self, stream: UnixStream, action: &str, failed: &Finished) -> u8 {
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
