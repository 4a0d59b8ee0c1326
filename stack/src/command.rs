//! Configuration lines as people type them (`ip`, `tc`, `sysctl`): words with their places, and errors that name the word at fault.
//!
//! ```
//! use stack::command::Words;
//!
//! let mut words = Words::new("route add default via 10.0.0.1 metric ten").unwrap();
//! assert!(words.accept("route") && words.accept("add"));
//! words.expect("a prefix").unwrap();
//! words.expect("via").unwrap();
//! words.expect("an address").unwrap();
//! assert!(words.accept("metric"));
//! let error = words.parse::<u32>("a number").unwrap_err();
//! assert_eq!(error.to_string(), r#"1:39: "ten": not a number"#);
//! ```

use std::str::FromStr;
use thiserror::Error;

/// What is wrong with a configuration line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{line}:{column}: {}: {problem}", quoted(word))]
pub struct CommandError {
    /// Line of the text, from 1.
    pub line: usize,
    /// First character of the word in its line, from 1; behind the last word when one is missing.
    pub column: usize,
    /// The word at fault; empty when the line ended too soon.
    pub word: String,
    /// What is wrong with it.
    pub problem: String,
}

fn quoted(word: &str) -> String {
    if word.is_empty() {
        "end of line".to_owned()
    } else {
        format!("{word:?}")
    }
}

/// A word and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// The word, without quotes.
    pub text: &'a str,
    /// Line of the text, from 1.
    pub line: usize,
    /// First character in its line, from 1.
    pub column: usize,
}

impl Word<'_> {
    /// An error about this word.
    pub fn error(&self, problem: impl Into<String>) -> CommandError {
        CommandError {
            line: self.line,
            column: self.column,
            word: self.text.to_owned(),
            problem: problem.into(),
        }
    }

    /// Whether the word is `full` or its beginning, as iproute2's `matches()` has it: `a`, `ad` and `add` are `add`. Who offers several
    /// words asks for them in iproute2's order, as the first one that fits wins.
    pub fn abbreviates(&self, full: &str) -> bool {
        !self.text.is_empty() && full.starts_with(self.text)
    }

    /// The word as a value; `what` is what it should have been ("a number").
    pub fn parse<T: FromStr>(&self, what: &str) -> Result<T, CommandError> {
        self.text
            .parse()
            .map_err(|_| self.error(format!("not {what}")))
    }
}

/// The words of one line, read from left to right. White space separates; `'…'` and `"…"` keep a word together; `#` at the start of a
/// word begins a comment.
#[derive(Clone, Debug)]
pub struct Words<'a> {
    words: Vec<Word<'a>>,
    next: usize,
    /// Place behind the last word.
    end: (usize, usize),
}

impl<'a> Words<'a> {
    /// The words of a line. Errors when a quote is not closed, or stands inside a word.
    pub fn new(line: &'a str) -> Result<Self, CommandError> {
        Self::at(line, 1)
    }

    /// As [`new`](Self::new), for line number `number` (from 1) of a longer text.
    pub fn at(line: &'a str, number: usize) -> Result<Self, CommandError> {
        let mut words = Vec::new();
        let mut end = (number, 1);
        let (mut rest, mut column) = (line, 1);
        while let Some(first) = rest.chars().next() {
            if first.is_whitespace() {
                rest = &rest[first.len_utf8()..];
                column += 1;
                continue;
            }
            let word = |text| Word {
                text,
                line: number,
                column,
            };
            let (text, taken) = match first {
                '#' => break,
                '"' | '\'' => {
                    let inner = &rest[1..];
                    let Some(len) = inner.find(first) else {
                        return Err(word(rest).error("quote is not closed"));
                    };
                    (&inner[..len], len + 2)
                }
                _ => {
                    let len = rest.find(char::is_whitespace).unwrap_or(rest.len());
                    (&rest[..len], len)
                }
            };
            let glued = rest[taken..].chars().next();
            if matches!(first, '"' | '\'') && glued.is_some_and(|c| !c.is_whitespace()) {
                return Err(word(rest).error("quote ends inside a word"));
            }
            words.push(word(text));
            column += rest[..taken].chars().count();
            end = (number, column);
            rest = &rest[taken..];
        }
        Ok(Self {
            words,
            next: 0,
            end,
        })
    }

    /// The lines of a text that have words, each with its line number in the text.
    pub fn lines(text: &'a str) -> impl Iterator<Item = Result<Words<'a>, CommandError>> {
        text.lines()
            .enumerate()
            .map(|(i, line)| Words::at(line, i + 1))
            .filter(|words| !matches!(words, Ok(words) if words.is_empty()))
    }

    /// The next word, which stays.
    pub fn peek(&self) -> Option<Word<'a>> {
        self.words.get(self.next).copied()
    }

    /// Whether all words were read.
    pub fn is_empty(&self) -> bool {
        self.next >= self.words.len()
    }

    /// Takes the next word if it is exactly `word`.
    pub fn accept(&mut self, word: &str) -> bool {
        let fits = self.peek().is_some_and(|w| w.text == word);
        self.next += usize::from(fits);
        fits
    }

    /// Takes the next word, which must be there; `what` is what is missing otherwise ("an address").
    pub fn expect(&mut self, what: &str) -> Result<Word<'a>, CommandError> {
        self.next()
            .ok_or_else(|| self.end_error(format!("{what} is missing")))
    }

    /// Takes the next word, which must be a `T`; `what` says what that is ("a number").
    pub fn parse<T: FromStr>(&mut self, what: &str) -> Result<T, CommandError> {
        self.expect(what)?.parse(what)
    }

    /// Errors when words are left: nobody knows what they are.
    pub fn finish(&self) -> Result<(), CommandError> {
        match self.peek() {
            Some(word) => Err(word.error("unknown word")),
            None => Ok(()),
        }
    }

    /// An error about the line's end.
    pub fn end_error(&self, problem: impl Into<String>) -> CommandError {
        CommandError {
            line: self.end.0,
            column: self.end.1,
            word: String::new(),
            problem: problem.into(),
        }
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let word = self.peek()?;
        self.next += 1;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(line: &str) -> Vec<&str> {
        Words::new(line).unwrap().map(|w| w.text).collect()
    }

    #[test]
    fn words_quotes_and_comments() {
        assert_eq!(
            texts("  add 'a b'\t\"\" c#d # e"),
            ["add", "a b", "", "c#d"]
        );
        let columns: Vec<_> = Words::new("é 'x' y").unwrap().map(|w| w.column).collect();
        assert_eq!(columns, [1, 3, 7]);
    }

    #[test]
    fn errors_name_the_place() {
        let say = |line| Words::new(line).unwrap_err().to_string();
        assert_eq!(say("a 'b"), r#"1:3: "'b": quote is not closed"#);
        assert_eq!(say("'a'b"), r#"1:1: "'a'b": quote ends inside a word"#);
        let mut words = Words::at("dev eth0  ", 7).unwrap();
        let left = words.finish().unwrap_err().to_string();
        assert_eq!(left, r#"7:1: "dev": unknown word"#);
        assert!(words.by_ref().nth(1).is_some() && words.finish().is_ok());
        let missing = words.expect("a device").unwrap_err().to_string();
        assert_eq!(missing, "7:9: end of line: a device is missing");
    }

    #[test]
    fn abbreviations() {
        let word = Words::new("ad").unwrap().next().unwrap();
        assert!(word.abbreviates("add") && word.abbreviates("addr") && !word.abbreviates("a"));
    }

    #[test]
    fn lines_are_numbered_and_empty_ones_left_out() {
        let numbers: Vec<_> = Words::lines("a\n\n # c\nb 'x\nd")
            .map(|words| words.map(|w| w.end).map_err(|e| (e.line, e.column)))
            .collect();
        assert_eq!(numbers, [Ok((1, 2)), Err((4, 3)), Ok((5, 2))]);
    }

    proptest! {
        #[test]
        fn every_word_stands_where_it_says(line in r##"[ \ta-c'"#é]{0,30}"##) {
            let Ok(words) = Words::new(&line) else { return Ok(()) };
            for word in words {
                let at: String = line.chars().skip(word.column - 1).collect();
                let quote = usize::from(at.starts_with(['"', '\'']));
                prop_assert!(at[quote..].starts_with(word.text));
            }
        }
    }
}
