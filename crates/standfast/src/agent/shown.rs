//! What leaves the agent towards people: without values that may be secret. The core knows them, because it
//! starts what needs them; nobody else has to.

use standfast_config::{HIDDEN, completed, differences, redacted};
use standfast_model::{
    config::{ClusterConfig, ResourceKind},
    request::{Request, Response},
    state::ClusterState,
};

/// What the agent adds to the core's answer, or takes away from it.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// How the configuration that was asked about differs from the one in force.
    differences: Vec<String>,
    /// As it is, for whoever may change it.
    reveal: bool,
    /// The text in force lacks the nodes that joined since: these.
    nodes: Option<Box<ClusterConfig>>,
}

impl Shown {
    /// For a request, before the core has it.
    pub(crate) fn of(request: &Request, state: &ClusterState) -> Self {
        let mut shown = Self::default();
        if let Request::Plan { config } = request {
            let mut config = config.clone();
            config.keep_pair(&state.config);
            shown.differences = differences(&state.config, &config);
        }
        shown.reveal = matches!(request, Request::Backup);
        if let Request::Text { of, reveal } = request {
            shown.reveal = *reveal;
            let present = matches!(of, standfast_model::request::TextOf::Present);
            shown.nodes = present.then(|| Box::new(state.config.clone()));
        }
        shown
    }

    /// The answer as it goes out.
    pub(crate) fn answer(self, response: Response) -> Response {
        match response {
            Response::View(mut view) if !self.reveal => {
                hide(&mut view.state.config);
                Response::View(view)
            }
            Response::Plan(mut preview) => {
                preview.differences = self.differences;
                Response::Plan(preview)
            }
            Response::Text { text, version } => {
                let text = match self.nodes {
                    Some(config) => completed(&text, &config),
                    None => text,
                };
                let text = if self.reveal { text } else { redacted(&text) };
                Response::Text { text, version }
            }
            other => other,
        }
    }
}

fn hide(config: &mut ClusterConfig) {
    for resource in config.every_resource_mut() {
        if let ResourceKind::Process(process) = &mut resource.kind {
            for value in process.environment.values_mut() {
                HIDDEN.clone_into(value);
            }
        }
    }
}
