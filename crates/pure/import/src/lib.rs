//! Brings the configuration of another cluster here: Pacemaker's cluster information base in, a
//! `cluster.toml` out, with a note for everything that it could not or need not say.
//!
//! Whatever the source configures is in the text or in a note; nothing is dropped. Passwords are in
//! neither: they become references to files, which a note asks for.
//!
//! Not for reading files, not for the status of a cluster, and not for checking the result: whoever
//! calls this has the configuration's own reader do that.

#![deny(
    clippy::wildcard_enum_match_arm,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]
#![warn(missing_docs)]

mod between;
mod clones;
mod constraints;
mod corosync;
mod draft;
mod fencing;
mod groups;
mod location;
mod names;
mod nodes;
mod notes;
mod ocf;
mod process;
mod properties;
mod resources;
mod rule;
mod script;
mod source;
mod vip;
mod write;

pub use notes::{Note, Sort};
pub use source::Mistake;

use draft::Draft;
use source::Source;

/// Most nodes of a cluster here.
const MAX_NODES: usize = 16;

/// What may be known besides the cluster information base.
#[derive(Debug, Clone, Copy)]
pub struct More<'m> {
    /// The text of `corosync.conf`, which has the addresses of the nodes.
    pub corosync: Option<&'m str>,
    /// Seconds since 1970, for rules about dates.
    pub now: i64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The configuration file, with comments.
    pub text: String,
    /// What it does not say, what it says otherwise, what is left to do.
    pub notes: Vec<Note>,
}

/// Makes a configuration of a cluster information base. `file` is its name, for messages.
///
/// # Errors
///
/// If the text is none, or of a cluster that is too large; with the place, and what is allowed.
pub fn pacemaker(text: &str, file: &str, more: &More<'_>) -> Result<Imported, Mistake> {
    let document = source::open(text, file)?;
    let source = Source::new(&document, text, file, more.now)?;
    let mut draft = Draft::default();
    properties::read(&source, &mut draft);
    nodes::read(&source, more.corosync, &mut draft)?;
    fencing::read(&source, &mut draft);
    resources::read(&source, &mut draft);
    constraints::read(&source, &mut draft);
    groups::settle(&mut draft);
    notes::note_the_rest(&source, &mut draft);
    draft.notes.sort_by_key(|note| note.sort);
    Ok(Imported {
        text: write::text(&source, &draft),
        notes: draft.notes,
    })
}
