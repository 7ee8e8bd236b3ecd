//! What the live view looks like: `tests/golden/watch-NAME.txt`, drawn on ratatui's own test backend.

use super::{
    draw::draw,
    screen::{Order, Reaction, Screen},
};
use crate::render::golden::{compare, healthy, known, lose};
use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
};
use standfast_model::request::View;

fn key(screen: &mut Screen, code: KeyCode) -> Reaction {
    screen.on_key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn type_keys(screen: &mut Screen, keys: &str) -> Reaction {
    let mut last = Reaction::None;
    for letter in keys.chars() {
        last = key(screen, KeyCode::Char(letter));
    }
    last
}

fn drawn(screen: &Screen, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("terminal");
    let drawn = terminal.draw(|frame| draw(frame, screen, true));
    drawn.expect("drawn");
    terminal.backend().to_string()
}

fn watching(view: View) -> Screen {
    let mut screen = Screen::new(false);
    screen.on_view(Ok(Box::new(view)));
    screen
}

#[test]
fn everything_fits_80_by_24() {
    compare("watch-healthy", &drawn(&watching(healthy()), 80, 24));
    let mut view = healthy();
    lose(&mut view, "gamma");
    known(&mut view, "beta").drained = true;
    compare("watch-degraded", &drawn(&watching(view), 80, 24));
}

#[test]
fn a_question_is_asked_before_anything_is_done() {
    let mut screen = watching(healthy());
    assert_eq!(key(&mut screen, KeyCode::Tab), Reaction::None);
    assert_eq!(type_keys(&mut screen, "s"), Reaction::None);
    compare("watch-question", &drawn(&screen, 80, 24));
    assert_eq!(
        type_keys(&mut screen, "y"),
        Reaction::Do(Order::Switchover("site".into(), None))
    );
    let beta = Order::Switchover("site".into(), Some("beta".into()));
    assert_eq!(type_keys(&mut screen, "s1"), Reaction::Do(beta));
    assert_eq!(type_keys(&mut screen, "sn"), Reaction::None);
    assert_eq!(type_keys(&mut screen, "y"), Reaction::None, "no question");
    assert_eq!(type_keys(&mut screen, "q"), Reaction::Quit);
}

#[test]
fn what_would_stop_something_needs_another_key_than_yes() {
    let mut view = healthy();
    lose(&mut view, "beta");
    let mut screen = watching(view);
    assert_eq!(type_keys(&mut screen, "dy"), Reaction::None);
    assert_eq!(
        type_keys(&mut screen, "dF"),
        Reaction::Do(Order::Drain("alpha".into(), true))
    );
    let cluster = Order::Maintenance(None, true);
    assert_eq!(type_keys(&mut screen, "My"), Reaction::Do(cluster));
    assert_eq!(
        type_keys(&mut screen, "Ky"),
        Reaction::None,
        "no laboratory"
    );
}

#[test]
fn a_picture_that_grows_old_says_so() {
    let mut screen = watching(healthy());
    screen.on_view(Err(String::from("no agent answers on /run/x")));
    compare("watch-old", &drawn(&screen, 80, 24));
    let mut screen = Screen::new(false);
    screen.on_view(Err(String::from("no agent answers on /run/x")));
    assert!(drawn(&screen, 40, 5).contains("no agent answers"));
}

#[test]
fn any_size_is_drawn() {
    let mut view = healthy();
    lose(&mut view, "gamma");
    let mut screen = watching(view);
    for (width, height) in [(1, 1), (10, 3), (20, 8), (40, 12), (80, 14), (200, 60)] {
        drawn(&screen, width, height);
        type_keys(&mut screen, "js");
    }
    let small = drawn(&screen, 80, 12);
    assert!(small.contains("more"), "{small}");
}
