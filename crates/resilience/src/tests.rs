//! What guarding a backend does, in paused time, with backends that fail as they are told.

mod layers;
mod repeated;
mod scripted;
mod seams;
