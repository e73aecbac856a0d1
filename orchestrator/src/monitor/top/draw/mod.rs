//! Draws a [`State`](super::State): a function of it and of the size of the screen.

mod dialogs;
mod frame;
mod list;
mod overview;
mod panes;
mod plot;
mod rows;
mod trial;

pub use frame::draw;
