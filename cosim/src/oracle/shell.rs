//! Command lines as a shell splits them: words, quotes, backslashes.

use thiserror::Error;

/// Why a command line cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ShellError {
    /// A quote has no end.
    #[error("the quote at column {0} does not end")]
    OpenQuote(usize),
    /// Something that only a shell can do.
    #[error("column {column}: `{character}` needs a shell")]
    Shell {
        /// From 1.
        column: usize,
        /// The character.
        character: char,
    },
    /// Nothing is there.
    #[error("the command is empty")]
    Empty,
}

/// Splits `line` into words.
///
/// # Errors
/// What would need a shell: expansions, pipes, redirections, several commands.
pub fn split(line: &str) -> Result<Vec<String>, ShellError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<(char, usize)> = None;
    let mut characters = line.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let column = at + 1;
        match (quote, c) {
            (Some((q, _)), c) if c == q => quote = None,
            (Some(('"', _)), '\\') => {
                let next = characters.next_if(|(_, n)| matches!(n, '"' | '\\' | '$' | '`'));
                word.get_or_insert_default()
                    .push(next.map_or('\\', |(_, n)| n));
            }
            (Some(('"', _)) | None, '$' | '`') => {
                return Err(ShellError::Shell {
                    column,
                    character: c,
                });
            }
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some((c, column));
                word.get_or_insert_default();
            }
            (None, '\\') => {
                let next = characters.next().map_or('\\', |(_, n)| n);
                word.get_or_insert_default().push(next);
            }
            (None, '|' | '&' | ';' | '<' | '>' | '(' | ')' | '*' | '?') => {
                return Err(ShellError::Shell {
                    column,
                    character: c,
                });
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    if let Some((_, column)) = quote {
        return Err(ShellError::OpenQuote(column));
    }
    words.extend(word);
    if words.is_empty() {
        return Err(ShellError::Empty);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_in_the_recordings() {
        let words = split(r#"nft "add chain ip z A { type filter hook forward priority 0; }""#);
        let expected = [
            "nft",
            "add chain ip z A { type filter hook forward priority 0; }",
        ];
        assert_eq!(words.unwrap(), expected);
        assert_eq!(
            split(r#"a 'b "c' "d \" e"f \;"#).unwrap(),
            ["a", "b \"c", "d \" ef", ";"]
        );
        assert_eq!(split("a '' \"\"").unwrap(), ["a", "", ""]);
    }

    #[test]
    fn what_needs_a_shell_is_named() {
        assert_eq!(split("ip 'x"), Err(ShellError::OpenQuote(4)));
        assert_eq!(split("  "), Err(ShellError::Empty));
        for (line, column, character) in [("a; b", 2, ';'), ("a \"$b\"", 4, '$'), ("a > b", 3, '>')]
        {
            let expected = ShellError::Shell { column, character };
            assert_eq!(split(line), Err(expected), "{line}");
        }
    }
}
