//! A file that is equal on the nodes of a pair: written here whenever what is in force is another one, looked at again and again.
//!
//! An operator edits it and applies it. So an edit that is not in force yet is left alone, and said; one that another
//! node's has overtaken is set aside as `NAME.before`.
//!
//! Not for what is in it.

use super::{input::Input, queue::Queue};
use standfast_model::event::Event;
use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

/// Locked with the rest of the agent's memory, hence small.
const STACK_BYTES: usize = 512 * 1024;
/// Between two looks at the file.
const AGAIN: Duration = Duration::from_secs(5);
/// While there is no such file.
const IDLE: Duration = Duration::from_secs(3600);
/// A longer one is not what was applied, whatever is in it, bytes.
const MOST: u64 = 1 << 20;

type Wanted = Option<(String, String)>;

/// The handle. Dropped, its thread ends.
#[derive(Debug)]
pub(crate) struct KeptFile {
    wanted: Sender<Wanted>,
}

impl KeptFile {
    /// Starts the thread. `state`: where it remembers what it wrote.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(state: &Path, inputs: Queue) -> io::Result<Self> {
        let (wanted, changed) = channel();
        let keeper = Keeper {
            memory: state.join("kept-file"),
            wanted: None,
            told: String::new(),
            tell: Box::new(move |text| {
                let topic = "kept-file".to_owned();
                inputs.send(Input::Event(Event::Notice { topic, text }));
            }),
        };
        thread::Builder::new()
            .name("kept-file".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || keeper.run(&changed))?;
        Ok(Self { wanted })
    }

    /// This path is to have this text; none: there is no such file any more, and what is there stays.
    pub(crate) fn keep(&self, wanted: Wanted) {
        // The thread lives as long as this value does.
        drop(self.wanted.send(wanted));
    }
}

struct Keeper {
    /// Has what was in the file when it was last equal to what is in force.
    memory: PathBuf,
    wanted: Option<(PathBuf, String)>,
    /// What the last notice said.
    told: String,
    tell: Box<dyn Fn(String) + Send>,
}

impl Keeper {
    fn run(mut self, changed: &Receiver<Wanted>) {
        loop {
            let wait = if self.wanted.is_none() { IDLE } else { AGAIN };
            match changed.recv_timeout(wait) {
                Ok(wanted) => {
                    self.wanted = wanted.map(|(path, text)| (PathBuf::from(path), text));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let notice = self.look();
            if notice == self.told {
                continue;
            }
            if !notice.is_empty() {
                tracing::warn!("{notice}");
            }
            self.told.clone_from(&notice);
            (self.tell)(notice);
        }
    }

    /// Makes the file equal, if that takes nothing away from anybody. What an operator has to know; empty for nothing.
    fn look(&self) -> String {
        let Some((path, text)) = &self.wanted else {
            return String::new();
        };
        let name = path.display();
        let known = fs::read(&self.memory).ok();
        let is_known = |bytes: &[u8]| known.as_deref() == Some(bytes);
        let done = match read(path) {
            Ok(found) if found == text.as_bytes() => self.remember(text, &is_known),
            Ok(_) if is_known(text.as_bytes()) => {
                return format!(
                    "{name} was edited here and is not in force: `standfast apply FILE` puts it in force"
                );
            }
            Ok(found) => set_aside(path, !is_known(&found))
                .and_then(|()| write(path, text))
                .and_then(|()| self.remember(text, &is_known)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                write(path, text).and_then(|()| self.remember(text, &is_known))
            }
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => String::new(),
            Err(error) => format!("{name} cannot be kept equal to the other node's: {error}"),
        }
    }

    fn remember(&self, text: &str, is_known: &dyn Fn(&[u8]) -> bool) -> io::Result<()> {
        if is_known(text.as_bytes()) {
            return Ok(());
        }
        write(&self.memory, text)
    }
}

/// What is there, as far as it may be equal.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// An edit that nobody has applied is kept beside the file.
fn set_aside(path: &Path, edited: bool) -> io::Result<()> {
    if !edited {
        return Ok(());
    }
    let beside = beside(path, ".before");
    tracing::warn!(
        "{} had another text here, which is in {} now",
        path.display(),
        beside.display()
    );
    fs::copy(path, beside).map(drop)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Whoever reads it sees the old text or the new one.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = beside(path, ".new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Node {
        folder: tempfile::TempDir,
    }

    impl Node {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            Self { folder }
        }

        fn file(&self) -> PathBuf {
            self.folder.path().join("addresses")
        }

        fn look(&self, text: &str) -> String {
            let keeper = Keeper {
                memory: self.folder.path().join("memory"),
                wanted: Some((self.file(), text.to_owned())),
                told: String::new(),
                tell: Box::new(drop),
            };
            keeper.look()
        }

        fn has(&self) -> String {
            fs::read_to_string(self.file()).expect("a file")
        }
    }

    #[test]
    fn what_is_in_force_is_written_and_what_is_equal_is_left() {
        let node = Node::new();
        assert_eq!(node.look("one"), "");
        assert_eq!(node.has(), "one");
        let before = fs::metadata(node.file()).expect("a file");
        assert_eq!(node.look("one"), "");
        let after = fs::metadata(node.file()).expect("a file");
        assert_eq!(
            std::os::unix::fs::MetadataExt::ino(&before),
            std::os::unix::fs::MetadataExt::ino(&after),
            "not written again"
        );
        assert_eq!(node.look("two"), "");
        assert_eq!(node.has(), "two");
        fs::remove_file(node.file()).expect("gone");
        assert_eq!(node.look("two"), "");
        assert_eq!(node.has(), "two");
        assert!(!beside(&node.file(), ".before").exists());
    }

    #[test]
    fn an_edit_is_left_until_it_is_applied_or_overtaken() {
        let node = Node::new();
        node.look("one");
        fs::write(node.file(), "edited").expect("a file");
        let said = node.look("one");
        assert!(said.contains("edited here and is not in force"), "{said}");
        assert_eq!(node.has(), "edited");
        assert_eq!(node.look("edited"), "", "it was applied");
        fs::write(node.file(), "edited again").expect("a file");
        assert_eq!(node.look("the other node's"), "");
        assert_eq!(node.has(), "the other node's");
        let kept = fs::read_to_string(beside(&node.file(), ".before")).expect("kept");
        assert_eq!(kept, "edited again");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_said() {
        let node = Node::new();
        fs::create_dir(node.file()).expect("a folder in its place");
        let said = node.look("one");
        assert!(said.contains("cannot be kept equal"), "{said}");
    }
}
