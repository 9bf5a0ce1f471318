//! The contract with the outside, executable: a case for each of its sentences.
