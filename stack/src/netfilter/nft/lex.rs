//! Words of the nft language, with their positions.
//!
//! As in nft's own scanner an address or a MAC address is one word although it contains colons, a hyphen inside a word belongs to it
//! (`frag-off`), and a number followed by letters is a quantity (`1h30m`).

use super::error::{NftError, Pos};
use std::net::Ipv6Addr;

/// Longest text that is read: a ruleset of a million elements, and far from what could exhaust memory.
const MAX_TEXT: usize = 256 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A bare word: keyword, name, number, address, quantity, wildcard.
    Word,
    /// `"…"`, quotes removed.
    Quoted,
    /// Punctuation or operator.
    Punct(&'static str),
    /// End of a line.
    Newline,
    /// End of the text.
    End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub kind: Kind,
    pub text: String,
    pub line: usize,
    pub column: usize,
}

impl Token {
    pub fn pos(&self) -> Pos {
        Pos {
            line: self.line,
            column: self.column,
            word: match self.kind {
                Kind::Newline => "end of line".to_owned(),
                Kind::End => String::new(),
                _ => self.text.clone(),
            },
        }
    }

    pub fn is(&self, punct: &str) -> bool {
        matches!(self.kind, Kind::Punct(p) if p == punct)
    }

    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text == word
    }
}

const PUNCTUATION: [&str; 26] = [
    "==", "!=", "<=", ">=", "<<", ">>", "{", "}", "(", ")", "[", "]", ";", ",", "=", "<", ">", "&",
    "|", "^", "!", ".", "@", "$", "/", "-",
];

/// Punctuation that is one character and not in the list above.
const MORE_PUNCTUATION: [&str; 4] = [":", "*", "+", "~"];

fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '\\')
}

/// The longest address at the start of `rest`: characters of it.
fn address_len(rest: &[char]) -> Option<usize> {
    let run = rest
        .iter()
        .take(64)
        .take_while(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '.'))
        .count();
    // A colon behind the address separates it from what follows.
    for len in [run, run.saturating_sub(1)] {
        let text: String = rest.get(..len)?.iter().collect();
        // The character behind must not continue the word, or `dead::beefx` would be an address and an `x`.
        let ends = rest.get(len).is_none_or(|c| !c.is_ascii_alphanumeric());
        if ends && (text.parse::<Ipv6Addr>().is_ok() || parse_mac(&text).is_some()) {
            return Some(len);
        }
    }
    let run = rest
        .iter()
        .take(16)
        .take_while(|c| c.is_ascii_digit() || **c == '.')
        .count();
    let text: String = rest.get(..run)?.iter().collect();
    // Four numbers, which may be octal: what they are is told when they are read.
    let four = text.split('.').filter(|part| !part.is_empty()).count() == 4;
    (four && text.matches('.').count() == 3).then_some(run)
}

/// Six groups of one or two hexadecimal digits.
pub(crate) fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut groups = text.split(':');
    for byte in &mut mac {
        let group = groups.next()?;
        if group.is_empty() || group.len() > 2 {
            return None;
        }
        *byte = u8::from_str_radix(group, 16).ok()?;
    }
    groups.next().is_none().then_some(mac)
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    column: usize,
    tokens: Vec<Token>,
}

impl Lexer {
    fn rest(&self) -> &[char] {
        self.chars.get(self.at..).unwrap_or_default()
    }

    fn advance(&mut self, n: usize) {
        for _ in 0..n {
            if self.chars.get(self.at) == Some(&'\n') {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
            self.at += 1;
        }
    }

    /// Takes `len` characters as one token.
    fn token(&mut self, kind: Kind, len: usize) {
        let text = self.rest().iter().take(len).collect();
        self.tokens.push(Token {
            kind,
            text,
            line: self.line,
            column: self.column,
        });
        self.advance(len);
    }

    fn error(&self, problem: &str) -> NftError {
        NftError {
            line: self.line,
            column: self.column,
            word: self.rest().iter().take(1).collect(),
            problem: problem.to_owned(),
        }
    }

    fn quoted(&mut self) -> Result<(), NftError> {
        let inner: String = self
            .rest()
            .iter()
            .skip(1)
            .take_while(|c| !matches!(c, '"' | '\n'))
            .collect();
        let len = inner.chars().count();
        if self.rest().get(len + 1) != Some(&'"') {
            return Err(self.error("the string is not closed"));
        }
        if let Some(nul) = inner.chars().position(|c| c == '\0') {
            // It would end the string for the kernel, and not for the rest of the text.
            self.advance(nul + 1);
            return Err(self.error("a string cannot hold a NUL"));
        }
        self.tokens.push(Token {
            kind: Kind::Quoted,
            text: inner,
            line: self.line,
            column: self.column,
        });
        self.advance(len + 2);
        Ok(())
    }

    fn word_len(&self) -> usize {
        let rest = self.rest();
        let Some(&first) = rest.first() else { return 0 };
        if first.is_ascii_digit() {
            // A number ends at the first character that is no letter or digit: 10/second, 1-5.
            return rest
                .iter()
                .take_while(|c| c.is_ascii_alphanumeric())
                .count();
        }
        let mut len = rest.iter().take_while(|c| is_word_char(**c)).count();
        // A point or hyphen at the end is no part of the word: `saddr . daddr` written tightly at the end of a line.
        while len > 1 && matches!(rest[len - 1], '.' | '-') {
            len -= 1;
        }
        if rest.get(len) == Some(&'*') {
            len += 1;
        }
        len
    }

    fn run(mut self) -> Result<Vec<Token>, NftError> {
        while let Some(&c) = self.rest().first() {
            match c {
                '\n' => self.token(Kind::Newline, 1),
                c if c.is_whitespace() => self.advance(1),
                '\\' if self.rest().get(1) == Some(&'\n') => self.advance(2),
                '#' => {
                    let len = self.rest().iter().take_while(|c| **c != '\n').count();
                    self.advance(len);
                }
                '"' => self.quoted()?,
                _ => {
                    if let Some(len) = address_len(self.rest()) {
                        self.token(Kind::Word, len);
                    } else if c.is_ascii_alphanumeric() || c == '_' {
                        let len = self.word_len();
                        self.token(Kind::Word, len);
                    } else {
                        let starts = |p: &&&str| {
                            p.chars()
                                .enumerate()
                                .all(|(i, c)| self.rest().get(i) == Some(&c))
                        };
                        let found = PUNCTUATION.iter().chain(&MORE_PUNCTUATION).find(starts);
                        match found {
                            Some(p) => self.token(Kind::Punct(p), p.len()),
                            None => return Err(self.error("not a character of the language")),
                        }
                    }
                }
            }
        }
        self.token(Kind::End, 0);
        Ok(self.tokens)
    }
}

/// Splits `text` into tokens; the last one is [`Kind::End`].
pub(crate) fn lex(text: &str) -> Result<Vec<Token>, NftError> {
    if text.len() > MAX_TEXT {
        return Err(NftError {
            line: 1,
            column: 1,
            word: String::new(),
            problem: format!("text of {} bytes is longer than {MAX_TEXT}", text.len()),
        });
    }
    Lexer {
        chars: text.chars().collect(),
        at: 0,
        line: 1,
        column: 1,
        tokens: Vec::new(),
    }
    .run()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        lex(text).unwrap().into_iter().map(|t| t.text).collect()
    }

    #[test]
    fn addresses_are_one_word() {
        assert_eq!(
            words("dnat to 10.0.0.1:80 [fd00::1]:80 02:0:0:0:0:1 10.0.0.0/8 1.1.1.1-1.1.1.9"),
            [
                "dnat",
                "to",
                "10.0.0.1",
                ":",
                "80",
                "[",
                "fd00::1",
                "]",
                ":",
                "80",
                "02:0:0:0:0:1",
                "10.0.0.0",
                "/",
                "8",
                "1.1.1.1",
                "-",
                "1.1.1.9",
                ""
            ]
        );
        assert_eq!(words("{22:accept}"), ["{", "22", ":", "accept", "}", ""]);
        assert_eq!(words("::/0"), ["::", "/", "0", ""]);
    }

    #[test]
    fn words_and_numbers() {
        assert_eq!(
            words("frag-off & 0x3fff != 0 10/second 1h30m \"eth*\" eth* -150"),
            [
                "frag-off", "&", "0x3fff", "!=", "0", "10", "/", "second", "1h30m", "eth*", "eth*",
                "-", "150", ""
            ]
        );
    }

    #[test]
    fn positions_count_from_one() {
        let tokens = lex("a # rest\n  \"b c\" d").unwrap();
        let at: Vec<_> = tokens.iter().map(|t| (t.line, t.column)).collect();
        assert_eq!(at, [(1, 1), (1, 9), (2, 3), (2, 9), (2, 10)]);
        assert_eq!(
            lex("x\n \"y").unwrap_err().to_string(),
            "2:2: \"\\\"\": the string is not closed"
        );
        assert_eq!(lex("ip ä").unwrap_err().column, 4);
        assert_eq!(
            lex("a \"x\0*\"").unwrap_err().to_string(),
            "1:5: \"\\0\": a string cannot hold a NUL"
        );
    }
}
