//! The hub's sockets: opening them, accepting on them, and making lost ones anew.
//!
//! Not for the connections that run over them.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::{Endpoint, ServerConfig};
use tokio::runtime::Runtime;

use super::{Hub, Report};
use crate::{
    accept::accept_all,
    pki::Credentials,
    quic::{self, Bound},
    tls,
};

/// A lost socket is made anew after this pause.
const REBIND_PAUSE: Duration = Duration::from_millis(500);

impl Hub {
    pub(super) fn open_endpoints(
        &mut self,
        runtime: &Runtime,
        sockets: Vec<Bound>,
    ) -> io::Result<()> {
        let _inside = runtime.enter();
        for bound in sockets {
            self.addresses.push(bound.address);
            let endpoint = self.open_endpoint(bound)?;
            self.common.endpoints.push(Some(endpoint));
        }
        for index in 0..self.common.endpoints.len() {
            self.accept_at(index);
        }
        Ok(())
    }

    fn open_endpoint(&self, bound: Bound) -> io::Result<Endpoint> {
        let server = self
            .server_config(self.joins_open)
            .map_err(io::Error::other)?;
        quic::endpoint(bound, server)
    }

    fn accept_at(&self, index: usize) {
        let Some(Some(endpoint)) = self.common.endpoints.get(index) else {
            return;
        };
        let accepting = accept_all(endpoint.clone(), Arc::clone(&self.door));
        let reports = self.common.reports.clone();
        tokio::spawn(async move {
            accepting.await;
            drop(reports.send(Report::EndpointLost(index)));
        });
    }

    fn server_config(&self, joins: bool) -> Result<ServerConfig, rustls::Error> {
        let crypto = tls::server(&self.credentials, &self.members, joins)?;
        Ok(quic::server(
            crypto,
            self.heartbeat,
            self.idle_timeout,
            joins,
        ))
    }

    /// A socket is gone; it is made anew a little later.
    pub(super) fn on_endpoint_lost(&mut self, index: usize, now: Instant) {
        if let Some(endpoint) = self.common.endpoints.get_mut(index) {
            *endpoint = None;
        }
        self.rebind_at = Some(now + REBIND_PAUSE);
    }

    /// Nodes without a certificate may begin a handshake only while a token lives.
    pub(super) fn update_joins(&mut self) {
        let open = self.desk.is_open();
        if open == self.joins_open {
            return;
        }
        match self.server_config(open) {
            Ok(server) => {
                for endpoint in self.common.endpoints.iter().flatten() {
                    endpoint.set_server_config(Some(server.clone()));
                }
                self.joins_open = open;
            }
            Err(error) => tracing::error!(%error, "TLS for joining cannot be set up"),
        }
    }

    /// Uses another certificate of this node from the next handshake on. What is connected stays so.
    pub(super) fn set_credentials(&mut self, new: Credentials) {
        let before = std::mem::replace(&mut self.credentials, new);
        let both = tls::client(&self.credentials, &self.members)
            .and_then(|client| Ok((client, self.server_config(self.joins_open)?)));
        match both {
            Ok((client, server)) => {
                self.common.client = quic::client(client, self.heartbeat, self.idle_timeout);
                for endpoint in self.common.endpoints.iter().flatten() {
                    endpoint.set_server_config(Some(server.clone()));
                }
            }
            Err(error) => {
                tracing::error!(%error, "the new certificate cannot be used");
                self.credentials = before;
            }
        }
    }

    pub(super) fn rebind(&mut self, now: Instant) {
        self.rebind_at = None;
        for index in 0..self.common.endpoints.len() {
            let (Some(None), Some(&address)) =
                (self.common.endpoints.get(index), self.addresses.get(index))
            else {
                continue;
            };
            match quic::bind(address).and_then(|bound| self.open_endpoint(bound)) {
                Ok(endpoint) => {
                    if let Some(place) = self.common.endpoints.get_mut(index) {
                        *place = Some(endpoint);
                    }
                    self.accept_at(index);
                }
                Err(error) => {
                    tracing::warn!(%address, %error, "cannot receive on this address");
                    self.rebind_at = Some(now + REBIND_PAUSE);
                }
            }
        }
    }
}
