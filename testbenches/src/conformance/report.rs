//! The report as Markdown.

use super::{
    requirements,
    requirements::{CHAPTERS, Chapter, Kind, Requirement},
    tags::{Ground, Tag},
};
use std::fmt::Write;

/// How many requirements are shown by what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub all: usize,
    /// Shown on the RTL, its PCI function or under a guest.
    pub hardware: usize,
    /// Shown on the model only.
    pub model: usize,
    /// Without a test that there could be.
    pub missing: usize,
    /// Without a test, because there is nothing to test, or because the device does not do it.
    pub reason: usize,
}

impl Counts {
    /// Counts the requirements of a kind.
    pub fn of(kind: Kind, tags: &[Tag]) -> Self {
        let mut counts = Self::default();
        for requirement in requirements().filter(|r| r.kind == kind) {
            let mut grounds = shown_by(requirement, tags).map(|tag| tag.ground).peekable();
            counts.all += 1;
            if grounds.peek().is_none() {
                let missing = requirement
                    .reason
                    .is_some_and(|reason| reason.starts_with("no test yet"));
                counts.missing += usize::from(missing);
                counts.reason += usize::from(!missing);
            } else if grounds.all(|ground| ground == Ground::Model) {
                counts.model += 1;
            } else {
                counts.hardware += 1;
            }
        }
        counts
    }
}

fn shown_by<'a>(
    requirement: &'a Requirement,
    tags: &'a [Tag],
) -> impl Iterator<Item = &'a Tag> + 'a {
    tags.iter().filter(|tag| tag.id == requirement.id)
}

const HEAD: &str = "\
# Conformance with virtio 1.2

Generated from the tests by `cargo run -p testbenches -- --conformance`; `cargo test -p testbenches` fails when it is
not up to date, when a test names a requirement that is not here, and when a requirement has neither test nor reason.

Each row is a device-side requirement of the Virtual I/O Device specification, version 1.2, that the profile touches, in
our own words; its id is the section and a running number. MUST NOT counts as MUST; *text* is behaviour that the
specification describes without the word. The requirements are listed in `src/conformance/requirements`, and so is what
was left out.

Behind each test stands on what it shows the requirement: **RTL** the card's RTL, as a whole or a block of it; **PCI** the
function's configuration space, which on an FPGA is the hard block's; **guest** the RTL under a stock Linux kernel;
**model** the behavioural model of the device. *model only* is a requirement that no test shows on the RTL yet.

";

/// The whole report.
pub fn markdown(tags: &[Tag]) -> String {
    let mut out = HEAD.to_owned();
    out.push_str(
        "| | all | on the RTL | model only | no test yet | nothing to test, or not done |\n",
    );
    out.push_str("| --- | ---: | ---: | ---: | ---: | ---: |\n");
    for (name, kind) in [("MUST", Kind::Must), ("text", Kind::Text)] {
        let counts = Counts::of(kind, tags);
        let Counts {
            all,
            hardware,
            model,
            missing,
            reason,
        } = counts;
        // A String takes everything.
        let _ = writeln!(
            out,
            "| {name} | {all} | {hardware} | {model} | {missing} | {reason} |"
        );
    }
    for chapter in CHAPTERS {
        self::chapter(&mut out, chapter, tags);
    }
    out
}

fn chapter(out: &mut String, chapter: &Chapter, tags: &[Tag]) {
    let _ = write!(out, "\n## {}\n\n", chapter.title);
    out.push_str("| id | requirement | shown by |\n| --- | --- | --- |\n");
    for requirement in chapter.requirements {
        let kind = match requirement.kind {
            Kind::Must => "",
            Kind::Text => "*text:* ",
        };
        let _ = writeln!(
            out,
            "| {} | {kind}{} | {} |",
            requirement.id,
            requirement.text,
            shown(requirement, tags)
        );
    }
}

/// One entry a file and ground; or the reason.
fn shown(requirement: &Requirement, tags: &[Tag]) -> String {
    let mut tags: Vec<&Tag> = shown_by(requirement, tags).collect();
    tags.sort_by_key(|tag| (tag.ground, &tag.path, &tag.function));
    let mut entries: Vec<String> = tags
        .chunk_by(|a, b| (a.ground, &a.path) == (b.ground, &b.path))
        .map(|same| {
            let first = same[0];
            let names: Vec<String> = same.iter().map(|t| format!("`{}`", t.function)).collect();
            format!(
                "{}: [{path}](../{path}) {}",
                first.ground.name(),
                names.join(", "),
                path = first.path
            )
        })
        .collect();
    if let Some(reason) = requirement.reason {
        entries.push(format!("— {reason}"));
    } else if tags.iter().all(|tag| tag.ground == Ground::Model) {
        entries.insert(0, "*model only*".to_owned());
    }
    entries.join("<br>")
}
