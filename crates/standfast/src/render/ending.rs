//! The end of a pair, as its command says it: before, what goes and what stays; after, what is left to do.
//!
//! Not for how the pair is: `pair`.

use standfast_model::{id::NodeId, pair::PairView, request::View};

/// Who stays and who goes.
pub(crate) struct Ending {
    sentence: String,
    stays: String,
    goes: String,
    runs: Vec<String>,
}

impl Ending {
    /// As the pair is now.
    pub(crate) fn of(view: &View, pair: &PairView) -> Self {
        let both = view.state.config.pair.as_ref().map(|pair| &pair.nodes);
        let stays = pair
            .primary
            .as_ref()
            .map_or(view.node.as_str(), NodeId::as_str);
        let other = both
            .into_iter()
            .flatten()
            .find(|node| node.as_str() != stays);
        let here = view.state.plan.groups.iter().filter(|(_, given)| {
            let node = given.node.as_ref();
            node.is_some_and(|node| node.as_str() == stays)
        });
        Self {
            sentence: pair.sentence.clone(),
            stays: stays.to_owned(),
            goes: other.map_or_else(|| "the other node".to_owned(), ToString::to_string),
            runs: here.map(|(group, _)| group.to_string()).collect(),
        }
    }

    /// Before it is done.
    pub(crate) fn warning(&self) -> String {
        let Self {
            sentence,
            stays,
            goes,
            runs,
        } = self;
        let runs = if runs.is_empty() {
            String::new()
        } else {
            format!("; {} there, without interruption", runs.join(", "))
        };
        format!(
            "{sentence}\n\nThe pair ends.\n  \
             kept     {stays} as a cluster of one, with its configuration and its journal{runs}\n  \
             kept     what {goes} has on its disk, until `standfast destroy` there\n  \
             removed  {goes}: no member any more, its certificate is worth nothing; it runs nothing and never takes over\n  \
             removed  [pair] from the configuration; the addresses of its file stay, as those of an ordinary resource\n\n\
             Nothing survives the loss of {stays} then.\n"
        )
    }

    /// When it is done, as the node that was asked has it.
    pub(crate) fn outcome(&self, view: &View) -> String {
        let Self { stays, goes, .. } = self;
        if view.pair.is_some() {
            return format!(
                "The pair is dissolved: {} is out of it and runs nothing.\nNext: `standfast destroy` here takes away what it still has.\n",
                view.node
            );
        }
        format!(
            "The pair is dissolved: {stays} goes on as a cluster of one, and {goes} is no member any more.\n\
             Next: `standfast destroy` on {goes}; and take [pair] and [nodes.{goes}] out of the configuration file.\n"
        )
    }
}
