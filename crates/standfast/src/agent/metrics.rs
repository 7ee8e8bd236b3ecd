//! Metrics of this agent: the HTTP server asks for the picture like any client, and renders it on its
//! own thread.

use super::{Options, fencing::Seen, input::Input, queue::Queue, setup::pki_dir};
use crate::render::{Form, Local, metrics};
use standfast_web::{Format, Server};
use std::sync::PoisonError;

/// Serves them. An address that is taken costs the metrics, never the agent.
pub(super) fn serve(options: &Options, inputs: &Queue, seen: Seen) -> Option<Server> {
    let address = options.metrics?;
    let inputs = inputs.clone();
    let certificates = pki_dir(&options.state);
    let server = Server::start(
        address,
        move |asked| inputs.send(Input::Watcher(asked)),
        move |view, format| {
            let local = Local {
                certificates: standfast_transport::pki::expiry(&certificates),
                devices: seen.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            };
            let form = match format {
                Format::Prometheus => Form::Prometheus,
                Format::OpenMetrics => Form::OpenMetrics,
            };
            metrics(view, &local, form)
        },
    );
    match server {
        Ok(server) => {
            tracing::info!(address = %server.address, "metrics are served");
            Some(server)
        }
        Err(error) => {
            let error = crate::failure::Failure::cannot("start the metrics server", &error);
            tracing::warn!("{}; --metrics IP:PORT names another place", error.text);
            None
        }
    }
}
