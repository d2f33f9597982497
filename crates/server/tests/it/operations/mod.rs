//! What `docs/operations` tells operators to do, done.

mod authloyalty;
mod backup;
mod rolling;
