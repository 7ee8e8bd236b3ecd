//! The repository's text files, read once. Knows nothing of rules.

use std::fs;
use std::io;
use std::path::Path;

/// What is in the folder but not the repository's; in a worktree `.git` is a file.
const FOREIGN: &[&str] = &[".git", "target", ".lab"];

/// A text file.
#[derive(Debug)]
pub(crate) struct File {
    /// Path from the root, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(crate) fn is_markdown(&self) -> bool {
        self.path.ends_with(".md")
    }

    /// Tests of their own: in a `tests` folder, or a file of that name.
    pub(crate) fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    /// The lines with their numbers, from 1, as `path:line`.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (String, &str)> {
        (1..)
            .zip(self.text.lines())
            .map(|(number, line)| (format!("{}:{number}", self.path), line))
    }
}

/// All text files, in order of their paths.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
    /// Every path, folders and binary files included.
    paths: Vec<String>,
}

impl Tree {
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        tree.add(root, "")?;
        Ok(tree)
    }

    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.paths.push((*path).to_owned());
            tree.files.push(File {
                path: (*path).to_owned(),
                text: (*text).to_owned(),
            });
        }
        tree
    }

    /// Whether there is such a file, or a folder above one.
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.paths.iter().any(|known| {
            known
                .strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.is_rust())
    }

    fn add(&mut self, dir: &Path, prefix: &str) -> io::Result<()> {
        let mut entries = fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if FOREIGN.contains(&name.as_str()) {
                continue;
            }
            if kind.is_dir() {
                self.add(&entry.path(), &format!("{path}/"))?;
            } else if kind.is_file() {
                if let Ok(text) = String::from_utf8(fs::read(entry.path())?) {
                    self.files.push(File {
                        path: path.clone(),
                        text,
                    });
                }
                self.paths.push(path);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_there_if_something_is_in_it() {
        let tree = Tree::of(&[("crates/pure/model/src/lib.rs", "")]);
        assert!(tree.has("crates/pure/model/src/lib.rs"));
        assert!(tree.has("crates/pure/"));
        assert!(!tree.has("crates/pu"));
        assert!(!tree.has("crates/edge"));
    }
}
