//! `status --watch` on a terminal: a live view with keys. The laboratory's demonstration uses the same
//! one, with keys for faults.
//!
//! [`run`] is the loop; `screen` is what is shown and what keys mean, `draw` draws it, `feed` talks to
//! the agent. The terminal is as it was before when this ends, by a key, a signal or a panic.

mod draw;
mod faults;
mod feed;
mod maintenance;
mod screen;

use crate::failure::Failure;
use draw::draw;
use feed::News;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyEventKind},
};
use screen::{Reaction, Screen};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use standfast_model::{id::GroupId, request::View};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::channel,
    },
    time::Duration,
};

/// Between two looks for keys, signals and news.
const PAUSE: Duration = Duration::from_millis(50);

/// How to watch.
#[derive(Debug)]
pub(crate) struct Watch<'w> {
    /// The agent's socket; in a demonstration those of all agents.
    pub(crate) sockets: Vec<PathBuf>,
    /// A new picture this often.
    pub(crate) every: Duration,
    /// Colours are wanted.
    pub(crate) colour: bool,
    /// The laboratory's socket, in its demonstration.
    pub(crate) faults: Option<&'w Path>,
}

/// Watches until a key or a signal ends it.
///
/// # Errors
/// The terminal cannot be used, or was lost.
pub(crate) fn run(watch: &Watch<'_>) -> Result<(), Failure> {
    let over = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGHUP, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&over))
            .map_err(|error| Failure::cannot("wait for signals", &error))?;
    }
    let mut terminal = ratatui::try_init().map_err(|error| {
        let failure = Failure::cannot("use this terminal", &error);
        Failure::new(
            failure.code,
            format!(
                "{}; `standfast status --watch | cat` needs none",
                failure.text
            ),
        )
    })?;
    let result = show(watch, &mut terminal, &over);
    ratatui::restore();
    result.map_err(|error| Failure::cannot("use this terminal any longer", &error))
}

fn show(
    watch: &Watch<'_>,
    terminal: &mut DefaultTerminal,
    over: &AtomicBool,
) -> std::io::Result<()> {
    let (sender, news) = channel();
    let ask = feed::pictures(&watch.sockets, watch.every, sender.clone())?;
    let mut screen = Screen::new(watch.faults.is_some());
    let mut stale = true;
    while !over.load(Ordering::Relaxed) {
        if stale {
            terminal.draw(|frame| draw(frame, &screen, watch.colour))?;
            stale = false;
        }
        if event::poll(PAUSE)? {
            stale = true;
            let reaction = match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => screen.on_key(key),
                _ => Reaction::None,
            };
            match reaction {
                Reaction::None => {}
                Reaction::Quit => return Ok(()),
                Reaction::Do(order) => {
                    screen.on_said(String::from("..."));
                    feed::carry_out(&watch.sockets, watch.faults, order, sender.clone());
                }
            }
        }
        while let Ok(news) = news.try_recv() {
            stale = true;
            match news {
                News::View(view) => screen.on_view(view),
                News::Said(text) => {
                    screen.on_said(text);
                    // Only if the thread that asks has ended is nobody there to hear it.
                    ask.send(()).ok();
                }
            }
        }
    }
    Ok(())
}

/// A warning when the viewer's own connection comes through an address that would move.
fn through(view: &View, moves: impl Fn(&GroupId) -> bool) -> String {
    match crate::connection::through(view, moves) {
        Some(found) => format!(
            "YOUR OWN CONNECTION comes through {}, which moves! ",
            found.address
        ),
        None => String::new(),
    }
}

#[cfg(test)]
mod golden;
