//! `config edit`: the configuration in an editor, from the text in force to a new version.
//!
//! The text has everything in it, secrets too, so its file is this user's alone, in a folder of its own.

use super::{
    agents,
    apply::{Proposal, carry_out, preview},
    ask::look_at_state,
    config_args::{ConfigEditArgs, HowArgs},
    exit, print,
};
use crate::failure::Failure;
use crate::render::{self, PreviewReport};
use standfast_config::{MAX_TEXT, Mistake};
use standfast_model::{config::ClusterConfig, request::TextOf};
use std::{
    env, fs,
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

/// Begins a line that this program wrote into the file, and takes out again.
const NOTE: &str = "#! ";

pub(super) fn edit(socket: &Path, args: &ConfigEditArgs) -> Result<(), Failure> {
    let (mut agent, _) = look_at_state(socket)?;
    let (before, based_on) = agent.text(TextOf::Present, true)?;
    let place = Place::new(&before)?;
    let Some((config, text)) = until_right(&place, &before)? else {
        return print("Nothing was changed.\n");
    };
    let done = || -> Result<(), Failure> {
        // A new connection: an agent may have restarted while somebody was typing.
        let (mut agent, _) = look_at_state(socket)?;
        let preview = preview(&mut agent, &config)?;
        if preview.based_on != based_on {
            let now = preview.based_on;
            let text = format!(
                "somebody else has put version {now} in force since you began with version {based_on}; nothing was \
                 changed; `standfast config diff {based_on} {now}` says what is different"
            );
            return Err(Failure::new(exit::TRY_AGAIN, text));
        }
        if !args.yes && io::stdin().is_terminal() {
            print(&render::preview(&PreviewReport::of(preview.clone())))?;
            if !agreed("Apply this? [y/N] ")? {
                return Err(Failure::new(exit::UNAVAILABLE, "nothing was changed"));
            }
        }
        let how = HowArgs {
            reason: args.reason.clone(),
            ..HowArgs::default()
        };
        let proposal = Proposal {
            config: config.clone(),
            text: text.clone(),
            draft: None,
            how,
        };
        carry_out(&mut agent, proposal, preview)
    };
    done().map_err(|failure| place.keep(failure))
}

/// Edits until nothing is wrong any more; `None` when nothing was changed.
fn until_right(place: &Place, before: &str) -> Result<Option<(ClusterConfig, String)>, Failure> {
    let mut last = before.to_owned();
    loop {
        place.open_editor()?;
        let text = place.read()?;
        if text.trim().is_empty() || text == before {
            return Ok(None);
        }
        match agents::parse(&text, "your text") {
            Ok((config, warnings)) => {
                for warning in warnings {
                    writeln!(io::stderr(), "{warning}").ok();
                }
                return Ok(Some((config, text)));
            }
            Err(mistakes) => {
                for mistake in &mistakes {
                    writeln!(io::stderr(), "{mistake}").ok();
                }
                // Whoever leaves it as it is has given up.
                if text == last {
                    let text = "the mistakes are still there; nothing was changed";
                    return Err(place.keep(Failure::new(exit::CONFIG, text)));
                }
                place.write(&with_notes(&text, &mistakes))?;
                last = text;
            }
        }
    }
}

/// The text with its mistakes named at the top, by their lines as they will be there.
fn with_notes(text: &str, mistakes: &[Mistake]) -> String {
    let more = mistakes.len() + 2;
    let mut noted = format!("{NOTE}Nothing was changed yet, because of these mistakes:\n");
    for mistake in mistakes {
        let moved = Mistake {
            line: mistake.line + more,
            file: String::from("line"),
            ..mistake.clone()
        };
        // Whatever is quoted in it may have line ends of its own.
        noted.push_str(&format!("{NOTE}{}\n", moved.to_string().replace('\n', " ")));
    }
    noted.push_str(&format!(
        "{NOTE}These lines go by themselves. Leave the text as it is to give up.\n"
    ));
    noted + text
}

fn agreed(question: &str) -> Result<bool, Failure> {
    print(question)?;
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::new(exit::IO, format!("cannot read the answer: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// A file in a folder of its own; both go with this, unless they are kept.
struct Place {
    folder: PathBuf,
    file: PathBuf,
    kept: std::cell::Cell<bool>,
}

impl Place {
    fn new(text: &str) -> Result<Self, Failure> {
        let random = crate::agent::setup::random_u64()?;
        let folder = env::temp_dir().join(format!("standfast-edit-{random:016x}"));
        let made = fs::DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|error| Failure::cannot(&format!("make {}", folder.display()), &error))?;
        let place = Self {
            file: folder.join("cluster.toml"),
            folder,
            kept: std::cell::Cell::new(false),
        };
        place.write(text)?;
        Ok(place)
    }

    fn write(&self, text: &str) -> Result<(), Failure> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let written = options
            .open(&self.file)
            .and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| {
            let text = format!("cannot write {}: {error}", self.file.display());
            Failure::new(exit::IO, text)
        })
    }

    /// What is there now, without our own notes.
    fn read(&self) -> Result<String, Failure> {
        let fail = |why: String| {
            let text = format!("cannot read {}: {why}", self.file.display());
            self.keep(Failure::new(exit::DATA, text))
        };
        let size = fs::metadata(&self.file).map_err(|error| fail(error.to_string()))?;
        // What is too long is told by whoever reads it, but not with all of it in memory.
        if size.len() > 2 * u64::try_from(MAX_TEXT).unwrap_or(u64::MAX) {
            return Err(fail(format!("more than {MAX_TEXT} bytes")));
        }
        let text = fs::read_to_string(&self.file).map_err(|error| fail(error.to_string()))?;
        let lines = text.split_inclusive('\n');
        Ok(lines.filter(|line| !line.starts_with(NOTE)).collect())
    }

    fn open_editor(&self) -> Result<(), Failure> {
        let named = |name| env::var(name).ok().filter(|value| !value.trim().is_empty());
        let editor = named("VISUAL").or_else(|| named("EDITOR"));
        let editor = editor.unwrap_or_else(|| String::from("vi"));
        // As everywhere: the variable may have arguments in it, so a shell takes it apart.
        let status = Command::new("/bin/sh")
            .arg("-c")
            .arg(format!("{editor} \"$1\""))
            .arg("editor")
            .arg(&self.file)
            .status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => {
                let text =
                    format!("the editor ({editor}) ended with {status}; nothing was changed");
                Err(Failure::new(exit::UNAVAILABLE, text))
            }
            Err(error) => Err(Failure::cannot(
                &format!("start the editor {editor}"),
                &error,
            )),
        }
    }

    /// The work is not lost because it could not be used.
    fn keep(&self, failure: Failure) -> Failure {
        self.kept.set(true);
        let file = self.file.display();
        Failure::new(
            failure.code,
            format!("{}; your text is kept in {file}", failure.text),
        )
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.kept.get() {
            fs::remove_dir_all(&self.folder).ok();
        }
    }
}
