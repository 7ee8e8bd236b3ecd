//! The line to the emulator of a machine (QMP): orders, and what it tells by itself. Not for the machine's own programs.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::error::{Broken, Result, file};

/// The connection.
#[derive(Debug)]
pub(crate) struct Monitor {
    machine: String,
    stream: UnixStream,
    events: Receiver<(Instant, String)>,
}

impl Monitor {
    /// Connects to an emulator that listens there.
    pub(crate) fn connect(machine: &str, socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).map_err(file(socket))?;
        let reader = BufReader::new(stream.try_clone().map_err(file(socket))?);
        let (tell, events) = mpsc::channel();
        // Ends with the emulator.
        std::thread::spawn(move || {
            for line in reader.lines().map_while(std::io::Result::ok) {
                let said: Option<Value> = serde_json::from_str(&line).ok();
                let event = said.and_then(|said| Some(said.get("event")?.as_str()?.to_owned()));
                if let Some(event) = event
                    && tell.send((Instant::now(), event)).is_err()
                {
                    return;
                }
            }
        });
        let mut monitor = Self {
            machine: machine.to_owned(),
            stream,
            events,
        };
        monitor.order("qmp_capabilities")?;
        Ok(monitor)
    }

    /// Gives an order without arguments.
    pub(crate) fn order(&mut self, name: &str) -> Result<()> {
        let line = format!("{}\n", json!({ "execute": name }));
        let sent = self.stream.write_all(line.as_bytes());
        sent.map_err(file(&self.machine))
    }

    /// Waits for an event and says when it came; others are passed over.
    pub(crate) fn wait(&self, wanted: &str, patience: Duration) -> Result<Instant> {
        let end = Instant::now() + patience;
        loop {
            match self
                .events
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok((at, event)) if event == wanted => return Ok(at),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(Broken::TimedOut {
                        machine: self.machine.clone(),
                        what: format!("event {wanted}"),
                        seconds: patience.as_secs(),
                    });
                }
            }
        }
    }
}
