//! The roles of a node. They meet in the backends only and never call each other.

pub(crate) mod api;
pub(crate) mod dispatcher;
pub(crate) mod handlers;
pub(crate) mod supervisor;
pub(crate) mod worker;
