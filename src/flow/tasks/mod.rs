//! Tasks that belong to their makers: tags off in requests, on in answers.

pub mod answer;
pub mod owned;
pub mod remote;
