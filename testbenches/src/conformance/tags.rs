//! The tags of the tests.

use super::Error;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// On what a test shows something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ground {
    /// The RTL: the whole card or a block of it.
    Rtl,
    /// The PCI function around the RTL, which on an FPGA is the PCIe hard block's.
    Pci,
    /// The RTL under a stock Linux guest.
    Guest,
    /// The behavioural model.
    Model,
}

impl Ground {
    /// As it is written in tags and in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rtl => "RTL",
            Self::Pci => "PCI",
            Self::Guest => "guest",
            Self::Model => "model",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Rtl, Self::Pci, Self::Guest, Self::Model]
            .into_iter()
            .find(|ground| ground.name() == name)
    }
}

/// A test that shows a requirement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag {
    /// Of the requirement.
    pub id: String,
    /// On what.
    pub ground: Ground,
    /// From the top of the repository, with `/`.
    pub path: String,
    /// The test's name.
    pub function: String,
}

/// Where tests are; from the top of the repository.
const FOLDERS: [&str; 5] = [
    "testbenches/tests",
    "testbenches/src",
    "hwmodel/tests",
    "hwmodel/src",
    "cosim/tests",
];

/// Speaks about tags, and so holds what looks like some.
const EXCEPT: &str = "testbenches/src/conformance";

/// All tags below `root`, the top of the repository, sorted.
///
/// # Errors
/// A file that cannot be read; a malformed tag.
pub fn scan(root: &Path) -> Result<Vec<Tag>, Error> {
    let mut tags = Vec::new();
    for folder in FOLDERS {
        folder_tags(root, folder, &mut tags)?;
    }
    tags.sort();
    Ok(tags)
}

fn folder_tags(root: &Path, folder: &str, tags: &mut Vec<Tag>) -> Result<(), Error> {
    let at = root.join(folder);
    let failed = |path: PathBuf| move |source| Error::File { path, source };
    for entry in fs::read_dir(&at).map_err(failed(at.clone()))? {
        let entry = entry.map_err(failed(at.clone()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{folder}/{name}");
        let kind = entry.file_type().map_err(failed(entry.path()))?;
        if path.trim_end_matches(".rs") == EXCEPT {
            continue;
        }
        if kind.is_dir() {
            folder_tags(root, &path, tags)?;
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(entry.path()).map_err(failed(entry.path()))?;
            tags.extend(parse(&path, &text)?);
        }
    }
    Ok(())
}

/// The tags of a source file.
///
/// # Errors
/// A tag without a known ground or without ids, or one that is not above a function.
pub fn parse(path: &str, text: &str) -> Result<Vec<Tag>, Error> {
    let mut tags = Vec::new();
    let mut open: Vec<(usize, Ground, Vec<&str>)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let malformed = |line, what| Error::Malformed {
            path: path.to_owned(),
            line,
            what,
        };
        if let Some(tag) = line.strip_prefix("// shows") {
            let parts = tag
                .strip_prefix(" (")
                .and_then(|rest| rest.split_once("): "));
            let (ground, ids) =
                parts.ok_or_else(|| malformed(index + 1, "not `// shows (GROUND): ID, ID`"))?;
            let ground =
                Ground::named(ground).ok_or_else(|| malformed(index + 1, "no such ground"))?;
            let ids: Vec<&str> = ids.split(',').map(str::trim).collect();
            if ids.iter().any(|id| id.is_empty() || id.contains(' ')) {
                return Err(malformed(index + 1, "ids are separated by commas"));
            }
            open.push((index + 1, ground, ids));
        } else if let Some(function) = function(line) {
            for (_, ground, ids) in open.drain(..) {
                tags.extend(ids.into_iter().map(|id| Tag {
                    id: id.to_owned(),
                    ground,
                    path: path.to_owned(),
                    function: function.to_owned(),
                }));
            }
        } else if !line.starts_with("//")
            && !line.starts_with('#')
            && let Some((line, ..)) = open.first()
        {
            return Err(malformed(*line, "not above a function"));
        }
    }
    match open.first() {
        Some((line, ..)) => Err(Error::Malformed {
            path: path.to_owned(),
            line: *line,
            what: "not above a function",
        }),
        None => Ok(tags),
    }
}

/// The name of the function that this line begins.
fn function(line: &str) -> Option<&str> {
    let rest = ["pub ", "pub(super) ", "pub(crate) "]
        .iter()
        .find_map(|vis| line.strip_prefix(vis))
        .unwrap_or(line);
    let name = rest.strip_prefix("fn ")?;
    name.split(['(', '<']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(String, Ground, String)> {
        let tags = parse("a.rs", text).unwrap();
        tags.into_iter()
            .map(|tag| (tag.id, tag.ground, tag.function))
            .collect()
    }

    #[test]
    fn tags_belong_to_the_function_below() {
        let text = "fn before() {}\n// shows (RTL): 2.1.2-1, 2.1.2-2\n/// Doc.\n// shows (model): 6.2-1\n#[test]\nfn it() {\n}\n    // shows (PCI): 4.1.1-1\n    pub fn other<D>(d: D) {}\n";
        let tag = |id: &str, ground, function: &str| (id.to_owned(), ground, function.to_owned());
        assert_eq!(
            names(text),
            [
                tag("2.1.2-1", Ground::Rtl, "it"),
                tag("2.1.2-2", Ground::Rtl, "it"),
                tag("6.2-1", Ground::Model, "it"),
                tag("4.1.1-1", Ground::Pci, "other"),
            ]
        );
    }

    #[test]
    fn what_is_no_tag_is_told_with_its_line() {
        for text in [
            "\n// shows: 2.1.2-1\nfn a() {}",
            "\n// shows (silicon): 2.1.2-1\nfn a() {}",
            "\n// shows (RTL): 2.1.2-1 2.1.2-2\nfn a() {}",
            "\n// shows (RTL): 2.1.2-1,\nfn a() {}",
            "\n// shows (RTL): 2.1.2-1\nlet x = 1;\nfn a() {}",
            "\n// shows (RTL): 2.1.2-1\n",
        ] {
            let error = parse("a.rs", text).unwrap_err();
            assert!(
                matches!(error, Error::Malformed { line: 2, .. }),
                "{text:?}: {error}"
            );
        }
    }
}
