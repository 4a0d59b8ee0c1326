//! `define NAME = …` and `$NAME`: replaced before anything is parsed.

use crate::netfilter::nft::error::{NftError, Pos};
use crate::netfilter::nft::lex::{Kind, Token};
use std::collections::BTreeMap;

/// Most tokens after expansion; a definition of definitions of definitions grows without bounds otherwise.
const MAX_TOKENS: usize = 1 << 24;

/// Takes the definitions out of `tokens` and puts their values in.
pub(crate) fn expand(tokens: Vec<Token>) -> Result<Vec<Token>, NftError> {
    let mut out: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut defines: BTreeMap<String, Vec<Token>> = BTreeMap::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let starts = out
            .last()
            .is_none_or(|t| t.kind == Kind::Newline || t.is(";") || t.is("{"));
        let keyword = ["define", "redefine", "undefine"]
            .into_iter()
            .find(|w| starts && token.is_word(w));
        if let Some(keyword) = keyword {
            at += 1;
            let name = word(&tokens, at)?;
            at += 1;
            if keyword == "undefine" {
                if defines.remove(&name).is_none() {
                    return Err(tokens[at - 1].pos().error("is not defined"));
                }
                continue;
            }
            if keyword == "define" && defines.contains_key(&name) {
                return Err(tokens[at - 1].pos().error("is defined already"));
            }
            match tokens.get(at) {
                Some(t) if t.is("=") => at += 1,
                _ => return Err(position(&tokens, at).error("expected = after the name")),
            }
            let end = value_end(&tokens, at);
            let mut value = Vec::new();
            for token in substitute(&tokens[at..end], &defines)? {
                value.push(token);
            }
            if value.is_empty() {
                return Err(position(&tokens, at).error("the definition has no value"));
            }
            defines.insert(name, value);
            at = end;
            continue;
        }
        // nft expands names in prefixes of log.
        if token.kind == Kind::Quoted && out.last().is_some_and(|t| t.is_word("prefix")) {
            out.push(expand_prefix(token, &defines)?);
            at += 1;
        } else if token.is("$") {
            let one = tokens.get(at..at + 2).unwrap_or(&tokens[at..]);
            out.extend(substitute(one, &defines)?);
            at += 2;
        } else {
            out.push(token.clone());
            at += 1;
        }
        if out.len() > MAX_TOKENS {
            return Err(token.pos().error(format!("more than {MAX_TOKENS} words")));
        }
    }
    Ok(out)
}

/// `prefix "IN=$if "`
fn expand_prefix(token: &Token, defines: &BTreeMap<String, Vec<Token>>) -> Result<Token, NftError> {
    let mut text = String::new();
    let mut rest = token.text.as_str();
    while let Some((before, behind)) = rest.split_once('$') {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, behind) = behind.split_at(behind.find(|c| !is_name(c)).unwrap_or(behind.len()));
        text += before;
        match defines.get(name) {
            Some(value) => value.iter().for_each(|word| text += &word.text),
            None if name.is_empty() => text.push('$'),
            None => return Err(token.pos().error(format!("{name:?} is not defined"))),
        }
        rest = behind;
    }
    text += rest;
    Ok(Token {
        text,
        ..token.clone()
    })
}

/// Where token `at` stands; the last one when there are not so many: a value may end with its line.
fn position(tokens: &[Token], at: usize) -> Pos {
    let token = tokens.get(at).or(tokens.last());
    token.map(Token::pos).unwrap_or_default()
}

fn word(tokens: &[Token], at: usize) -> Result<String, NftError> {
    match tokens.get(at) {
        Some(t) if t.kind == Kind::Word => Ok(t.text.clone()),
        _ => Err(position(tokens, at).error("expected the name of a definition")),
    }
}

/// Where the value that starts at `at` ends: at the end of the line, but not inside braces.
fn value_end(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0i32;
    for (i, token) in tokens.iter().enumerate().skip(at) {
        match token.kind {
            Kind::Punct("{") => depth += 1,
            Kind::Punct("}") if depth == 0 => return i,
            Kind::Punct("}") => depth -= 1,
            Kind::Newline | Kind::Punct(";") if depth == 0 => return i,
            Kind::End => return i,
            _ => {}
        }
    }
    tokens.len()
}

fn substitute(
    tokens: &[Token],
    defines: &BTreeMap<String, Vec<Token>>,
) -> Result<Vec<Token>, NftError> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if token.is("$") {
            let name = word(tokens, at + 1)?;
            let Some(value) = defines.get(&name) else {
                return Err(tokens[at + 1].pos().error("is not defined"));
            };
            // Errors in the value are told where it is used.
            out.extend(value.iter().map(|t| Token {
                line: token.line,
                column: token.column,
                ..t.clone()
            }));
            at += 2;
        } else {
            out.push(token.clone());
            at += 1;
        }
        if out.len() > MAX_TOKENS {
            return Err(token.pos().error(format!("more than {MAX_TOKENS} words")));
        }
    }
    Ok(out)
}
