//! What the live view shows and what a key does to it. Pure: keys and views in, orders out.
//!
//! Not for drawing (`draw`) and not for asking or changing anything (`feed`).

use super::faults::Fault;
use crate::render::{Status, other_homes};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use standfast_model::{
    id::{GroupId, NodeId},
    request::View,
};

/// Everything that is on the screen.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    /// The last picture, and what `status` says of it.
    pub(super) picture: Option<(View, Status)>,
    /// Why there is no newer one.
    pub(super) trouble: Option<String>,
    /// The row that keys are about: nodes first, then groups.
    pub(super) selected: usize,
    pub(super) mode: Mode,
    /// Nodes can be killed, frozen and cut off from here (the demonstration).
    pub(super) faults: bool,
}

/// What the last line is for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// Showing the keys.
    #[default]
    Keys,
    /// Waiting for a yes.
    Confirm(Question),
    /// Showing what became of an order, until the next key.
    Said(String),
}

/// Something that is done only after a yes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) text: String,
    /// The key that means yes, and the order that it gives.
    pub(super) yes: char,
    pub(super) order: Order,
    /// Other keys with other orders: the nodes to move to.
    pub(super) others: Vec<(char, Order)>,
}

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Switchover(GroupId, Option<NodeId>),
    Drain(NodeId, bool),
    /// Maintenance of a group, or of the whole cluster.
    Maintenance(Option<GroupId>, bool),
    Fault(Fault, NodeId),
}

/// What a key leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    None,
    Quit,
    Do(Order),
}

/// What a row stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Row {
    Node(NodeId),
    Group(GroupId),
}

impl Screen {
    pub(crate) fn new(faults: bool) -> Self {
        Self {
            faults,
            ..Self::default()
        }
    }

    /// A new picture, or why there is none.
    pub(crate) fn on_view(&mut self, view: Result<Box<View>, String>) {
        match view {
            Ok(view) => {
                let status = Status::of(&view);
                self.picture = Some((*view, status));
                self.trouble = None;
            }
            Err(why) => self.trouble = Some(why),
        }
        self.selected = self.selected.min(self.rows().len().saturating_sub(1));
    }

    /// What became of an order.
    pub(crate) fn on_said(&mut self, text: String) {
        self.mode = Mode::Said(text);
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        let Some((_, status)) = &self.picture else {
            return Vec::new();
        };
        let nodes = status.nodes.iter();
        let nodes = nodes.map(|node| Row::Node(node.name.as_str().into()));
        let groups = status.groups.iter();
        let groups = groups.map(|group| Row::Group(group.name.as_str().into()));
        nodes.chain(groups).collect()
    }

    pub(crate) fn on_key(&mut self, key: KeyEvent) -> Reaction {
        let control_c =
            key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        if control_c {
            return Reaction::Quit;
        }
        match std::mem::take(&mut self.mode) {
            Mode::Confirm(question) => return Self::answer(question, key.code),
            Mode::Keys | Mode::Said(_) => {}
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Reaction::Quit,
            KeyCode::Down | KeyCode::Char('j') => {
                let last = self.rows().len().saturating_sub(1);
                self.selected = (self.selected + 1).min(last);
            }
            KeyCode::Up | KeyCode::Char('k') => self.selected = self.selected.saturating_sub(1),
            KeyCode::Tab => self.next_section(),
            KeyCode::Char(letter) => self.mode = self.on_letter(letter),
            _ => {}
        }
        Reaction::None
    }

    fn answer(question: Question, code: KeyCode) -> Reaction {
        let KeyCode::Char(letter) = code else {
            return Reaction::None;
        };
        if letter == question.yes {
            return Reaction::Do(question.order);
        }
        let mut others = question.others.into_iter();
        others
            .find(|(key, _)| *key == letter)
            .map_or(Reaction::None, |(_, order)| Reaction::Do(order))
    }

    /// From the nodes to the groups, and back.
    fn next_section(&mut self) {
        let rows = self.rows();
        let on_node = matches!(rows.get(self.selected), Some(Row::Node(_)));
        let mut groups = rows.iter();
        let group = groups.position(|row| matches!(row, Row::Group(_)));
        self.selected = if on_node { group.unwrap_or(0) } else { 0 };
    }

    fn on_letter(&self, letter: char) -> Mode {
        let row = self.rows().get(self.selected).cloned();
        let Some(((view, _), row)) = self.picture.as_ref().zip(row) else {
            return Mode::Keys;
        };
        let fault = Fault::of_key(letter).filter(|_| self.faults);
        match (letter, row) {
            ('s', Row::Group(group)) => Mode::Confirm(switchover(view, group)),
            ('s', Row::Node(_)) => needs("a group", "move it"),
            ('d', Row::Node(node)) => Mode::Confirm(drain(view, node)),
            ('d', Row::Group(_)) => needs("a node", "drain it"),
            ('m', Row::Group(group)) => Mode::Confirm(maintenance(view, Some(group))),
            ('M', _) => Mode::Confirm(maintenance(view, None)),
            ('m', Row::Node(_)) => needs(
                "a group",
                "switch its maintenance; M is the whole cluster's",
            ),
            (_, Row::Node(node)) if fault.is_some() => fault.map_or(Mode::Keys, |fault| {
                Mode::Confirm(Question {
                    text: format!("{} {node}? y yes, any other key no", fault.verb()),
                    yes: 'y',
                    order: Order::Fault(fault, node),
                    others: Vec::new(),
                })
            }),
            (_, Row::Group(_)) if fault.is_some() => needs("a node", "do that to it"),
            _ => Mode::Keys,
        }
    }
}

fn needs(what: &str, why: &str) -> Mode {
    Mode::Said(format!("select {what} to {why} (arrow keys, Tab)"))
}

fn switchover(view: &View, group: GroupId) -> Question {
    let plan = view.state.plan.groups.get(&group);
    let from = plan.and_then(|assignment| assignment.node.as_ref());
    let away = from.map_or_else(String::new, |node| format!(" away from {node}"));
    let homes = other_homes(view, &group);
    let keys = ('1'..='9').zip(&homes);
    let list: Vec<String> = keys
        .clone()
        .map(|(key, node)| format!("{key} to {node}"))
        .collect();
    let targets = if list.is_empty() {
        String::from("no other node can run it now; ")
    } else {
        format!("{}, ", list.join(", "))
    };
    let warning = super::through(view, |moved| moved == &group);
    let others = keys
        .map(|(key, node)| (key, Order::Switchover(group.clone(), Some((*node).clone()))))
        .collect();
    Question {
        text: format!("Move {group}{away}? {warning}y to the best, {targets}any other key no"),
        yes: 'y',
        order: Order::Switchover(group, None),
        others,
    }
}

fn drain(view: &View, node: NodeId) -> Question {
    let known = view.state.nodes.get(&node);
    if known.is_some_and(|known| known.drained) {
        return Question {
            text: format!("Let {node} work again? y yes, any other key no"),
            yes: 'y',
            order: Order::Drain(node, false),
            others: Vec::new(),
        };
    }
    let plan = &view.state.plan.groups;
    let here = plan
        .iter()
        .filter(|(_, assignment)| assignment.node.as_ref() == Some(&node));
    let stuck: Vec<&str> = here
        .clone()
        .filter(|(group, _)| other_homes(view, group).is_empty())
        .map(|(group, _)| group.as_str())
        .collect();
    let warning = super::through(view, |moved| here.clone().any(|(group, _)| group == moved));
    let (text, yes) = if stuck.is_empty() {
        (
            format!("Drain {node}? {warning}y yes, any other key no"),
            'y',
        )
    } else {
        let stuck = stuck.join(", ");
        (
            format!(
                "Drain {node}? It STOPS {stuck}: no other node can run it. {warning}F does so all the same"
            ),
            'F',
        )
    };
    Question {
        text,
        yes,
        order: Order::Drain(node, true),
        others: Vec::new(),
    }
}

fn maintenance(view: &View, group: Option<GroupId>) -> Question {
    let config = &view.state.config;
    let on = match &group {
        Some(group) => config.groups.get(group).is_some_and(|g| g.maintenance),
        None => config.maintenance,
    };
    let what = group
        .as_ref()
        .map_or_else(|| String::from("the whole cluster"), ToString::to_string);
    let text = if on {
        format!("End the maintenance of {what}? y yes, any other key no")
    } else {
        format!(
            "Maintenance of {what}? Nothing of it is moved or restarted then, not even after a loss. y yes, any other key no"
        )
    };
    Question {
        text,
        yes: 'y',
        order: Order::Maintenance(group, !on),
        others: Vec::new(),
    }
}
