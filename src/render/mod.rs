//! Forms of an answer.
