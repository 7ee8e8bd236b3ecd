//! Requests about the configuration: what is checked before a command goes into the log, and the texts
//! that are kept.
//!
//! Not for how the state changes (`configure`).

use crate::{configure::no_draft, core::Core};
use standfast_model::{
    command::Change,
    config::ClusterConfig,
    request::{Refusal, RefusalKind, Request, Response, TextOf},
};

/// Largest text of a configuration; the same as where files are read.
const TEXT_LIMIT: usize = 1 << 20;

impl Core {
    /// The command that a request for a configuration or a draft asks for.
    pub(crate) fn config_change(&self, request: Request) -> Result<Change, Refusal> {
        let too_long = |text: &str| {
            let bytes = text.len();
            (bytes > TEXT_LIMIT).then(|| {
                let text = format!("the text has {bytes} bytes; at most {TEXT_LIMIT} are kept");
                Self::refusal(RefusalKind::Invalid, text)
            })
        };
        if let Request::Apply {
            mut config,
            text,
            based_on,
            author,
            reason,
            draft,
        } = request
        {
            self.keep_pair(&mut config)?;
            self.check_config(&config)?;
            too_long(&text).map_or(Ok(()), Err)?;
            let based_on = based_on.unwrap_or(self.state.config_version);
            return Ok(Change::Configure {
                config,
                text,
                based_on,
                author,
                reason,
                draft,
            });
        }
        if let Request::Draft {
            name,
            text,
            author,
            reason,
        } = request
        {
            text.as_deref().and_then(too_long).map_or(Ok(()), Err)?;
            return Ok(Change::Draft {
                name,
                text,
                author,
                reason,
            });
        }
        Err(Self::refusal(
            RefusalKind::Invalid,
            "this is no request about the configuration",
        ))
    }

    /// Whether a cluster is a pair, of whom, and with which arbiter, is settled when it is made. A configuration without
    /// the section leaves the rest of it as it is.
    fn keep_pair(&self, config: &mut ClusterConfig) -> Result<(), Refusal> {
        let Some(known) = &self.state.config.pair else {
            return match config.pair {
                None => Ok(()),
                Some(_) => Err(Self::refusal(
                    RefusalKind::Invalid,
                    "this cluster has voters and is no pair, so it has no [pair]: take that section out; a pair is made by `standfast init --pair`",
                )),
            };
        };
        if let Some(wanted) = &config.pair
            && (wanted.nodes != known.nodes || wanted.arbiter != known.arbiter)
        {
            let [first, second] = &known.nodes;
            return Err(Self::refusal(
                RefusalKind::Invalid,
                format!(
                    "this is the pair of {first} and {second} with arbiter = \"{}\": neither can be changed while it runs",
                    known.arbiter.name()
                ),
            ));
        }
        if config.keep_pair(&self.state.config) {
            return Ok(());
        }
        let file = config.addresses_file().unwrap_or_default();
        Err(Self::refusal(
            RefusalKind::Invalid,
            format!(
                "{file}, which addresses_file in [pair] names, has not been read yet: `standfast apply FILE` does it"
            ),
        ))
    }

    /// A text that this node has.
    pub(crate) fn text(&self, of: &TextOf) -> Result<Response, Refusal> {
        let state = &self.state;
        let present = || Response::Text {
            text: state.config_text.clone(),
            version: state.config_version,
        };
        match of {
            TextOf::Present => Ok(present()),
            TextOf::Version(version) if *version == state.config_version => Ok(present()),
            TextOf::Version(version) => {
                let mut records = state.config_history.iter();
                let record = records.find(|record| record.version == *version);
                let text = record.and_then(|record| record.text.clone());
                let text = text.ok_or_else(|| self.no_version(*version))?;
                Ok(Response::Text {
                    text,
                    version: *version,
                })
            }
            TextOf::Draft(name) => {
                let draft = state.drafts.get(name);
                let draft = draft.ok_or_else(|| no_draft(state, name))?;
                Ok(Response::Text {
                    text: draft.text.clone(),
                    version: draft.based_on,
                })
            }
        }
    }

    fn no_version(&self, version: u64) -> Refusal {
        let records = self.state.config_history.iter();
        let kept: Vec<String> = records
            .filter(|record| record.text.is_some() || record.version == self.state.config_version)
            .map(|record| record.version.to_string())
            .collect();
        let kept = if kept.is_empty() {
            String::from("none has been applied yet")
        } else {
            format!("there are: {}", kept.join(", "))
        };
        Self::refusal(
            RefusalKind::NoSuchItem,
            format!("the text of configuration version {version} is not kept; {kept}"),
        )
    }
}
