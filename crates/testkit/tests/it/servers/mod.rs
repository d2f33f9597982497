//! The servers start, suffer what their verbs say, and leave nothing behind.

mod postgres;
