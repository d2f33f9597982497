//! The model is explored: what holds, what each rule is for, the timelines that taught the rules.

mod holds;
mod rules;
mod timelines;
