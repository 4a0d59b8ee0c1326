//! `CONFORMANCE.md` and the tags from which it is made.

use testbenches::conformance::{self, Tag};

fn tags() -> Vec<Tag> {
    conformance::scan(&conformance::root()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_requirement_has_a_test_or_a_reason() {
    let wrong = conformance::check(&tags());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_report_is_up_to_date() {
    let path = conformance::report_path();
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == conformance::markdown(&tags()),
        "{} is not what the tests say: cargo run -p testbenches -- --conformance",
        path.display()
    );
}

/// Each thing that may be wrong is found.
#[test]
fn gaps_and_strays_are_found() {
    let all = tags();
    assert_eq!(conformance::check(&all), Vec::<String>::new());
    let gone = &all[0].id;
    let without: Vec<Tag> = all.iter().filter(|tag| tag.id != *gone).cloned().collect();
    assert_eq!(
        conformance::check(&without),
        [format!("{gone}: neither test nor reason")]
    );
    let named = |id: &str| {
        let tag = Tag {
            id: id.to_owned(),
            ..all[0].clone()
        };
        let tags = [&all[..], &[tag]].concat();
        conformance::check(&tags)
    };
    assert_eq!(named("2.1.2-99").len(), 1);
    let excused = conformance::requirements()
        .find(|r| r.reason.is_some())
        .expect("some have none");
    assert_eq!(named(excused.id).len(), 1);
    assert_eq!(named(gone), Vec::<String>::new());
}
