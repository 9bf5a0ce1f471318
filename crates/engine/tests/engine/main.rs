//! The engine against the memory adapter, in paused time: nothing here waits for a real clock.

mod cancelling;
mod commands;
mod consumers;
mod fencing;
mod heartbeats;
mod housekeeping;
mod jobs;
mod leaving;
mod link;
mod poison;
mod readers;
mod reconciling;
mod relaying;
mod retrying;
mod scheduling;
mod sequencing;
mod site;
mod steering;
mod turns;
mod unknown;
mod wrapped_queue;
