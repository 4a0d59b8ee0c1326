//! Commands one after the other, and what nft answered: taken, or the place of the word that it refused.
//!
//! `tests/data/nft/commands.txt` is what nft 1.0.6 on a 6.18 kernel said; where they are to be had they are asked again, and the rulesets that
//! come of it are compared, too. A line is `ok` or `LINE:COLUMN`, and a command, in which `\n` is the end of a line; an empty line starts with
//! an empty ruleset again.

use crate::live::{assert_same, kernel};
use stack::nft::Nft;

const COMMANDS: &str = include_str!("../data/nft/commands.txt");

/// The parts of the file, each a list of answers and commands.
fn parts() -> Vec<Vec<(&'static str, String)>> {
    let line = |line: &'static str| {
        let (answer, command) = line.split_once(' ').unwrap_or_else(|| panic!("{line}"));
        (answer, command.replace("\\n", "\n"))
    };
    let part = |part: &'static str| part.lines().map(line).collect();
    COMMANDS.split("\n\n").map(part).collect()
}

fn devices() -> Nft {
    let mut nft = Nft::new(1);
    nft.set_devices(vec!["lo".to_owned()]);
    nft
}

fn ours(nft: &mut Nft, command: &str) -> String {
    match nft.apply(command, 0) {
        Ok(_) => "ok".to_owned(),
        Err(e) => format!("{}:{}", e.line, e.column),
    }
}

#[test]
fn commands_are_answered_as_by_nft() {
    for part in parts() {
        let mut nft = devices();
        for (answer, command) in part {
            assert_eq!(ours(&mut nft, &command), answer, "{command}");
        }
    }
}

#[test]
fn the_kernel_answers_the_same() {
    let Some(ns) = kernel() else { return };
    for part in parts() {
        let mut nft = devices();
        ns.run(&["nft", "flush", "ruleset"], "").unwrap();
        for (answer, command) in part {
            ours(&mut nft, &command);
            let theirs = match ns.run(&["nft", "-f", "-"], &format!("{command}\n")) {
                Ok(_) => "ok".to_owned(),
                // /dev/stdin:1:19-31: Error: …
                Err(e) => e
                    .split(':')
                    .skip(1)
                    .map(|n| n.split('-').next().unwrap_or_default())
                    .take(2)
                    .collect::<Vec<_>>()
                    .join(":"),
            };
            assert_eq!(theirs, answer, "{command}");
        }
        let listed = ns.run(&["nft", "-s", "list", "ruleset"], "").unwrap();
        assert_same("commands", &nft.list(0, true), &listed);
    }
}
