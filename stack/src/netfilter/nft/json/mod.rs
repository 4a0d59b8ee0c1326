//! libnftables JSON, as `nft -j list ruleset` prints it and `nft -j -f` reads it.
//!
//! Each object is written as a command of the nft language, which is then read like any other text: both inputs mean the same, because
//! there is one parser. An object's text stands in a line of its own, so that an error in it is told at the object's place in the JSON.
//!
//! The types of the `nftables` crate are accepted as it writes them, but not used for reading: they lose what nft 1.0.6 prints (comments,
//! set types besides seven, numbers above 32 bits, flags that are one word), and what is lost would be accepted with another meaning.

mod expr;
mod object;
mod stmt;

use super::error::NftError;
use serde_json::Value;
use serde_json::value::RawValue;

/// Why a value cannot be written as nft text.
pub(super) struct Problem {
    /// The word that is to blame.
    pub word: String,
    pub problem: String,
}

pub(super) type Written<T = ()> = Result<T, Problem>;

pub(super) fn problem<T>(word: impl ToString, problem: impl Into<String>) -> Written<T> {
    Err(Problem {
        word: word.to_string(),
        problem: problem.into(),
    })
}

/// Fields of an object; one that nobody asked for is an error.
pub(super) struct Fields<'a> {
    of: &'a serde_json::Map<String, Value>,
    asked: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    pub fn new(value: &'a Value, what: &str) -> Written<Self> {
        match value.as_object() {
            Some(of) => Ok(Self {
                of,
                asked: Vec::new(),
            }),
            None => problem(value, format!("{what} is an object")),
        }
    }

    /// A field; `null` counts as missing.
    pub fn get(&mut self, name: &'static str) -> Option<&'a Value> {
        self.asked.push(name);
        self.of.get(name).filter(|v| !v.is_null())
    }

    pub fn need(&mut self, name: &'static str) -> Written<&'a Value> {
        match self.get(name) {
            Some(value) => Ok(value),
            None => problem(name, "is missing"),
        }
    }

    pub fn string(&mut self, name: &'static str) -> Written<Option<&'a str>> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => match value.as_str() {
                Some(text) => Ok(Some(text)),
                None => problem(value, format!("{name} is a string")),
            },
        }
    }

    pub fn number(&mut self, name: &'static str) -> Written<Option<u64>> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(n) => Ok(Some(n)),
                None => problem(value, format!("{name} is a number")),
            },
        }
    }

    pub fn flag(&mut self, name: &'static str) -> bool {
        self.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Words: one, or an array of them.
    pub fn words(&mut self, name: &'static str) -> Written<Vec<&'a str>> {
        let Some(value) = self.get(name) else {
            return Ok(Vec::new());
        };
        let items = match value {
            Value::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        let word = |v: &'a Value| match v.as_str() {
            Some(text) => Ok(text),
            None => problem(v, format!("{name} are words")),
        };
        items.iter().map(word).collect()
    }

    /// Everything was asked for.
    pub fn done(self) -> Written {
        match self.of.keys().find(|k| !self.asked.contains(&k.as_str())) {
            None => Ok(()),
            Some(key) => problem(key, "is not known here"),
        }
    }
}

/// A word that stands in the text as it is.
pub(super) fn bare(word: &str) -> Written<&str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '\\');
    if !word.is_empty() && word.chars().all(fits) && !word.ends_with(['-', '.']) {
        return Ok(word);
    }
    problem(word, "is not a word of the language")
}

/// A string in quotes.
pub(super) fn quoted(text: &str) -> Written<String> {
    if text.contains(['"', '\n']) {
        return problem(text, "a string contains no quotes and no line ends");
    }
    Ok(format!("\"{text}\""))
}

/// Line and column of a place in `text`, from 1 on.
fn position(text: &str, part: &str) -> (usize, usize) {
    let offset = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    let before = text.get(..offset).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    (line, column)
}

#[derive(serde::Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    nftables: Vec<&'a RawValue>,
}

/// The nft text of a JSON text, one line an object, and where each object stands.
pub(super) fn to_text(json: &str) -> Result<(String, Vec<(usize, usize)>), NftError> {
    let syntax = |e: serde_json::Error| NftError {
        line: e.line().max(1),
        column: e.column().max(1),
        word: String::new(),
        problem: e.to_string(),
    };
    let document: Document<'_> = serde_json::from_str(json).map_err(syntax)?;
    let mut lines: Vec<(u8, String, (usize, usize))> = Vec::new();
    let mut listed = true;
    for raw in document.nftables {
        let place = position(json, raw.get());
        let value: Value = serde_json::from_str(raw.get()).map_err(syntax)?;
        let mut commands = Vec::new();
        let written = object::object(&value, &mut commands);
        written.map_err(|Problem { word, problem }| NftError {
            line: place.0,
            column: place.1,
            word,
            problem,
        })?;
        for command in commands {
            listed &= command.rank.is_some();
            lines.push((command.rank.unwrap_or(0), command.text, place));
        }
    }
    // A list has elements that jump to chains, and rules that jump to chains, before these. Commands come in the order in which they stand.
    if listed {
        lines.sort_by_key(|(rank, _, _)| *rank);
    }
    let places = lines.iter().map(|(_, _, place)| *place).collect();
    let text: Vec<String> = lines.into_iter().map(|(_, text, _)| text).collect();
    Ok((text.join("\n"), places))
}
