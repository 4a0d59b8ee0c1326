//! Which test shows what the specification demands: `CONFORMANCE.md`.
//!
//! The requirements are in [`requirements`]; tests name what they show by comment lines right above the
//! function:
//!
//! ```text
//! // shows (RTL): 2.1.2-1, 4.1.4.3.1-6
//! // shows (model): 2.1.2-1
//! ```
//!
//! The word in brackets says on what ([`Ground`]). A function that is tagged is a test, or a check that
//! a test of the same crate runs.

mod report;
pub mod requirements;
mod tags;

pub use report::{Counts, markdown};
pub use tags::{Ground, Tag, parse, scan};

use requirements::{CHAPTERS, Requirement};
use std::path::{Path, PathBuf};

/// What is wrong with the tags, the requirements or the report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A comment that begins as a tag and is none.
    #[error("{path}:{line}: {what}")]
    Malformed {
        /// From the top of the repository.
        path: String,
        /// Of the tag, from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
}

/// The top of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where the report is.
pub fn report_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("CONFORMANCE.md")
}

/// All requirements in their order.
pub fn requirements() -> impl Iterator<Item = &'static Requirement> {
    CHAPTERS.iter().flat_map(|chapter| chapter.requirements)
}

/// Everything in which tags and requirements do not fit together, one line each:
/// a tag that names no requirement; a requirement with neither test nor reason, or with both; an id
/// that is there twice.
pub fn check(tags: &[Tag]) -> Vec<String> {
    let mut wrong = Vec::new();
    for tag in tags {
        if !requirements().any(|r| r.id == tag.id) {
            wrong.push(format!(
                "{}: {} shows {}, which is no requirement",
                tag.path, tag.function, tag.id
            ));
        }
    }
    for (index, requirement) in requirements().enumerate() {
        let shown = tags.iter().any(|tag| tag.id == requirement.id);
        match (shown, requirement.reason) {
            (false, None) => wrong.push(format!("{}: neither test nor reason", requirement.id)),
            (true, Some(reason)) => wrong.push(format!(
                "{}: a test shows it, in spite of \"{reason}\"",
                requirement.id
            )),
            _ => {}
        }
        if requirements()
            .take(index)
            .any(|other| other.id == requirement.id)
        {
            wrong.push(format!("{}: there twice", requirement.id));
        }
    }
    wrong
}
