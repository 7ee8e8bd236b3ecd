//! What may be on a disk after a power cut. Not for how calls of a program become steps: see `trace.rs`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// A file or a folder, whatever it is called at the time. The first one is the folder that everything is in.
pub(crate) type Node = usize;

/// One thing that a program did.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A name appeared in a folder.
    Make {
        folder: Node,
        name: String,
        node: Node,
        is_folder: bool,
    },
    /// A file got one more name in its folder.
    Link {
        folder: Node,
        name: String,
        node: Node,
    },
    /// A name went.
    Remove { folder: Node, name: String },
    /// A name was changed inside its folder.
    Rename {
        folder: Node,
        from: String,
        to: String,
        node: Node,
    },
    /// Bytes of a file were written.
    Write {
        node: Node,
        at: usize,
        bytes: Vec<u8>,
    },
    /// A file was cut, or made longer.
    Length { node: Node, length: usize },
    /// A file or folder was flushed; `what` says which call that is.
    Sync {
        node: Node,
        what: String,
        worked: bool,
    },
    /// The program said that something is done.
    Said(String),
}

/// What of the writes that nothing has flushed is there after a cut.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kept {
    /// None of it.
    Nothing,
    /// All of it.
    Everything,
    /// Only what happened to names.
    Names,
    /// Only what was written to files.
    Contents,
    /// Each with even chances, drawn from this number.
    Some(u64),
}

/// Folders (without contents) and files below the root.
pub(crate) type Image = BTreeMap<PathBuf, Option<Vec<u8>>>;

#[derive(Debug, Clone)]
enum Thing {
    Folder {
        flushed: BTreeMap<String, Node>,
        waiting: Vec<Name>,
    },
    File {
        flushed: Vec<u8>,
        waiting: Vec<Edit>,
    },
}

#[derive(Debug, Clone)]
enum Name {
    Is(String, Node),
    Gone(String),
    Moved(String, String, Node),
}

#[derive(Debug, Clone)]
enum Edit {
    Write(usize, Vec<u8>),
    Length(usize),
}

/// The disk: what was flushed, and what waits.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    things: BTreeMap<Node, Thing>,
}

impl Disk {
    /// With nothing in its first folder.
    pub(crate) fn new() -> Self {
        Self {
            things: BTreeMap::from([(0, Thing::new(true))]),
        }
    }

    /// Does what a program did.
    pub(crate) fn take(&mut self, step: &Step) {
        match step.clone() {
            Step::Make {
                folder,
                name,
                node,
                is_folder,
            } => {
                self.things.insert(node, Thing::new(is_folder));
                self.rename(folder, Name::Is(name, node));
            }
            Step::Link { folder, name, node } => self.rename(folder, Name::Is(name, node)),
            Step::Remove { folder, name } => self.rename(folder, Name::Gone(name)),
            Step::Rename {
                folder,
                from,
                to,
                node,
            } => self.rename(folder, Name::Moved(from, to, node)),
            Step::Write { node, at, bytes } => self.edit(node, Edit::Write(at, bytes)),
            Step::Length { node, length } => self.edit(node, Edit::Length(length)),
            Step::Sync { node, worked, .. } => {
                if let Some(thing) = self.things.get_mut(&node) {
                    thing.sync(worked);
                }
            }
            Step::Said(_) => {}
        }
    }

    fn rename(&mut self, folder: Node, change: Name) {
        if let Some(Thing::Folder { waiting, .. }) = self.things.get_mut(&folder) {
            waiting.push(change);
        }
    }

    fn edit(&mut self, file: Node, change: Edit) {
        if let Some(Thing::File { waiting, .. }) = self.things.get_mut(&file) {
            waiting.push(change);
        }
    }

    /// What is there after a cut now.
    pub(crate) fn after_cut(&self, kept: Kept) -> Image {
        let mut image = Image::new();
        let mut dice = Dice::new(kept);
        self.collect(0, Path::new(""), &mut dice, &mut image);
        image
    }

    fn collect(&self, folder: Node, path: &Path, dice: &mut Dice, image: &mut Image) {
        let Some(Thing::Folder { flushed, waiting }) = self.things.get(&folder) else {
            return;
        };
        let mut names = flushed.clone();
        for change in waiting {
            if dice.keeps(true) {
                change.apply(&mut names);
            }
        }
        for (name, node) in names {
            let path = path.join(name);
            match self.things.get(&node) {
                Some(Thing::Folder { .. }) => {
                    image.insert(path.clone(), None);
                    self.collect(node, &path, dice, image);
                }
                Some(Thing::File { flushed, waiting }) => {
                    let mut bytes = flushed.clone();
                    for change in waiting {
                        if dice.keeps(false) {
                            change.apply(&mut bytes);
                        }
                    }
                    image.insert(path, Some(bytes));
                }
                None => {}
            }
        }
    }
}

impl Thing {
    fn new(is_folder: bool) -> Self {
        if is_folder {
            Self::Folder {
                flushed: BTreeMap::new(),
                waiting: Vec::new(),
            }
        } else {
            Self::File {
                flushed: Vec::new(),
                waiting: Vec::new(),
            }
        }
    }

    /// After a failure the kernel takes what waited for written, and never writes it.
    fn sync(&mut self, worked: bool) {
        match self {
            Self::Folder { flushed, waiting } => {
                for change in waiting.drain(..).filter(|_| worked) {
                    change.apply(flushed);
                }
            }
            Self::File { flushed, waiting } => {
                for change in waiting.drain(..).filter(|_| worked) {
                    change.apply(flushed);
                }
            }
        }
    }
}

impl Name {
    fn apply(&self, names: &mut BTreeMap<String, Node>) {
        match self {
            Self::Is(name, node) => drop(names.insert(name.clone(), *node)),
            Self::Gone(name) => drop(names.remove(name)),
            Self::Moved(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
        }
    }
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Write(at, written) => {
                let end = at + written.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                if let Some(place) = bytes.get_mut(*at..end) {
                    place.copy_from_slice(written);
                }
            }
        }
    }
}

/// Who says what was kept.
struct Dice {
    kept: Kept,
    random: u64,
}

impl Dice {
    fn new(kept: Kept) -> Self {
        let seed = if let Kept::Some(seed) = kept { seed } else { 0 };
        Self {
            kept,
            // Never zero, which this generator cannot leave.
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        }
    }

    fn keeps(&mut self, is_name: bool) -> bool {
        match self.kept {
            Kept::Nothing => false,
            Kept::Everything => true,
            Kept::Names => is_name,
            Kept::Contents => !is_name,
            Kept::Some(_) => {
                self.random ^= self.random << 13;
                self.random ^= self.random >> 7;
                self.random ^= self.random << 17;
                self.random >> 40 & 1 == 0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> Disk {
        let mut disk = Disk::new();
        disk.take(&Step::Make {
            folder: 0,
            name: "a".to_owned(),
            node: 1,
            is_folder: false,
        });
        disk.take(&Step::Write {
            node: 1,
            at: 2,
            bytes: vec![7],
        });
        disk
    }

    fn sync(node: Node, worked: bool) -> Step {
        Step::Sync {
            node,
            what: String::new(),
            worked,
        }
    }

    fn contents(disk: &Disk, kept: Kept) -> Option<Vec<u8>> {
        disk.after_cut(kept).get(Path::new("a")).cloned().flatten()
    }

    #[test]
    fn a_file_needs_its_own_flush_and_its_folders() {
        let mut disk = made();
        assert_eq!(contents(&disk, Kept::Nothing), None);
        assert_eq!(contents(&disk, Kept::Names), Some(vec![]));
        assert_eq!(contents(&disk, Kept::Contents), None);
        assert_eq!(contents(&disk, Kept::Everything), Some(vec![0, 0, 7]));
        disk.take(&sync(1, true));
        assert_eq!(contents(&disk, Kept::Nothing), None);
        disk.take(&sync(0, true));
        assert_eq!(contents(&disk, Kept::Nothing), Some(vec![0, 0, 7]));
    }

    #[test]
    fn what_a_failed_flush_was_about_is_lost_whatever_is_flushed_later() {
        let mut disk = made();
        disk.take(&sync(0, true));
        disk.take(&sync(1, false));
        disk.take(&Step::Write {
            node: 1,
            at: 0,
            bytes: vec![1],
        });
        disk.take(&sync(1, true));
        assert_eq!(contents(&disk, Kept::Everything), Some(vec![1]));
    }

    #[test]
    fn a_name_is_changed_as_one_and_some_is_any_choice() {
        let mut disk = made();
        disk.take(&sync(0, true));
        disk.take(&Step::Rename {
            folder: 0,
            from: "a".to_owned(),
            to: "b".to_owned(),
            node: 1,
        });
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..40 {
            let names: Vec<_> = disk.after_cut(Kept::Some(seed)).into_keys().collect();
            assert_eq!(names.len(), 1);
            seen.extend(names);
        }
        assert_eq!(seen.len(), 2);
    }
}
