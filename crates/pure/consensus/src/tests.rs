//! A small network of members, and what must hold in it.

mod garbage;
mod random;
mod records;
mod scenarios;
mod waiting;
mod world;
