//! The nft language: text to [`Cmd`]s.
//!
//! What stands on the right of a match is read by the type of what stands on its left, so there is one pass, and types of sets are
//! looked up while reading.

mod block;
mod command;
mod define;
mod expr;
mod nat;
mod stmt;
mod value;

pub(crate) use stmt::{LOG_FLAGS, LOG_LEVELS, TIME_UNITS, default_reject, single};
pub(crate) use value::type_names;

use super::command::{Action, Cmd, Places, TableName};
use super::error::{NftError, Pos};
use super::lex::{Kind, Token, lex};
use super::model::{SetSpec, TableFamily};
use std::collections::BTreeMap;

/// Nesting of parentheses and operators that is followed.
const MAX_DEPTH: usize = 64;

/// What the parser asks about the ruleset that is there already.
pub(crate) trait Known {
    /// The declaration of a set.
    fn set(&self, table: &TableName, name: &str) -> Option<SetSpec>;
    /// The number of a device.
    fn device(&self, name: &str) -> Option<u32>;
}

pub(crate) struct Parser<'a> {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    known: &'a dyn Known,
    /// Sets that this text declares.
    sets: BTreeMap<(TableName, String), SetSpec>,
    /// Table whose rule or set is being read.
    table: TableName,
    /// Where the words of the command stand that is being read.
    places: Places,
    /// Elements are named, not declared: a map's need no data.
    by_key: bool,
    commands: Vec<Cmd>,
}

/// Reads a whole text: its commands, and the tokens that their [`Places`] are numbers of.
pub(crate) fn parse(text: &str, known: &dyn Known) -> Result<(Vec<Cmd>, Vec<Token>), NftError> {
    let tokens = define::expand(lex(text)?)?;
    let mut parser = Parser {
        tokens,
        at: 0,
        depth: 0,
        known,
        sets: BTreeMap::new(),
        table: TableName {
            family: TableFamily::Ip,
            name: String::new(),
        },
        places: Places::default(),
        by_key: false,
        commands: Vec::new(),
    };
    parser.text()?;
    Ok((parser.commands, parser.tokens))
}

impl Parser<'_> {
    fn peek_at(&self, n: usize) -> &Token {
        // The last token is End and is never passed.
        let last = self.tokens.len() - 1;
        &self.tokens[(self.at + n).min(last)]
    }

    fn peek(&self) -> &Token {
        self.peek_at(0)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        if token.kind != Kind::End {
            self.at += 1;
        }
        token
    }

    fn pos(&self) -> Pos {
        self.peek().pos()
    }

    fn error<T>(&self, problem: impl Into<String>) -> Result<T, NftError> {
        Err(self.pos().error(problem))
    }

    /// An error at the command's first word.
    fn error_at_start<T>(
        &self,
        places: &Places,
        problem: impl Into<String>,
    ) -> Result<T, NftError> {
        Err(self.tokens[places.start].pos().error(problem))
    }

    fn push(&mut self, places: Places, action: Action) {
        self.commands.push(Cmd { places, action });
    }

    /// The name of a chain or an object, which is looked up when the command is carried out.
    fn mention(&mut self, name: String, at: usize) -> String {
        self.places.mentions.push((name.clone(), at));
        name
    }

    fn is(&self, punct: &str) -> bool {
        self.peek().is(punct)
    }

    fn is_word(&self, word: &str) -> bool {
        self.peek().is_word(word)
    }

    /// Takes the punctuation if it is next.
    fn take(&mut self, punct: &str) -> bool {
        let found = self.is(punct);
        self.at += usize::from(found);
        found
    }

    /// Takes the word if it is next.
    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, punct: &str) -> Result<(), NftError> {
        if self.take(punct) {
            return Ok(());
        }
        self.error(format!("expected {punct}"))
    }

    fn expect_word(&mut self, word: &str) -> Result<(), NftError> {
        if self.take_word(word) {
            return Ok(());
        }
        self.error(format!("expected {word}"))
    }

    fn skip_newlines(&mut self) {
        while self.peek().kind == Kind::Newline {
            self.at += 1;
        }
    }

    /// Whether a statement ends here.
    fn at_end(&self) -> bool {
        let token = self.peek();
        matches!(token.kind, Kind::Newline | Kind::End) || token.is(";") || token.is("}")
    }

    /// The end of a statement; a closing brace is left.
    fn end_of_stmt(&mut self) -> Result<(), NftError> {
        if !self.at_end() {
            return self.error("unexpected word");
        }
        if !self.is("}") {
            self.next();
        }
        Ok(())
    }

    /// A bare word.
    fn word(&mut self, what: &str) -> Result<String, NftError> {
        if self.peek().kind == Kind::Word {
            return Ok(self.next().text);
        }
        self.error(format!("expected {what}"))
    }

    /// The name of a table, chain, set or object.
    fn name(&mut self, what: &str) -> Result<String, NftError> {
        let pos = self.pos();
        let name = self.word(what)?;
        let valid = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && !name.ends_with('*')
            && name.len() < 256;
        if !valid {
            return Err(pos.error(format!("cannot be the name of {what}")));
        }
        Ok(name)
    }

    /// A quoted string, or a word in its place.
    fn string(&mut self, what: &str) -> Result<String, NftError> {
        match self.peek().kind {
            Kind::Quoted | Kind::Word => Ok(self.next().text),
            _ => self.error(format!("expected {what}")),
        }
    }

    /// A number of at most `max`.
    fn number(&mut self, what: &str, max: u64) -> Result<u64, NftError> {
        let pos = self.pos();
        let text = self.word(what)?;
        match super::datatype::parse_number(&text) {
            Some(n) if n <= u128::from(max) => Ok(n as u64),
            Some(_) => Err(pos.error(format!("{what} is at most {max}"))),
            None => Err(pos.error(format!("expected {what}, a number"))),
        }
    }

    /// A span of time in milliseconds.
    fn time(&mut self) -> Result<u64, NftError> {
        let pos = self.pos();
        let text = self.string("a time")?;
        super::datatype::parse_time(&text)
            .ok_or_else(|| pos.error("expected a span of time such as 1h30m"))
    }

    /// `comment "…"`, the word taken already.
    fn comment(&mut self) -> Result<String, NftError> {
        let pos = self.pos();
        let text = self.string("a comment")?;
        if text.len() > 127 {
            return Err(pos.error("a comment has at most 127 bytes"));
        }
        Ok(text)
    }

    fn deeper(&mut self) -> Result<(), NftError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.error(format!("nested more than {MAX_DEPTH} times"));
        }
        Ok(())
    }

    /// Declaration of a set of the current table, of this text or the ruleset.
    fn set_spec(&self, name: &str) -> Option<SetSpec> {
        self.sets
            .get(&(self.table.clone(), name.to_owned()))
            .cloned()
            .or_else(|| self.known.set(&self.table, name))
    }
}
