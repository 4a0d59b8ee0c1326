//! Why a text or a command was refused.

use std::fmt;
use thiserror::Error;

/// A refused ruleset text. Nothing of it took effect: the commands of one text are one transaction.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct NftError {
    /// Line of the word, from 1 on.
    pub line: usize,
    /// Column of the word's first character, from 1 on, in characters.
    pub column: usize,
    /// The word itself; empty at the end of the text.
    pub word: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for NftError {
    /// `1:14: "foo": unknown …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if self.word.is_empty() {
            write!(f, "{}", self.problem)
        } else {
            write!(f, "{:?}: {}", self.word, self.problem)
        }
    }
}

/// Where a word stands, for errors that are found after parsing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pos {
    pub line: usize,
    pub column: usize,
    pub word: String,
}

impl Pos {
    pub fn error(&self, problem: impl Into<String>) -> NftError {
        NftError {
            line: self.line,
            column: self.column,
            word: self.word.clone(),
            problem: problem.into(),
        }
    }
}
