//! Command lines as a shell reads them: words, quotes, backslashes, here-strings, redirections, several commands in one line.
//!
//! Only what needs no state is read. Expansions (`$x`, `` `x` ``, `*`), subshells, loops and functions are errors that name the column.

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
    /// A redirection without a target, or a connective without a command beside it.
    #[error("behind `{0}` a word is missing")]
    Missing(String),
    /// Nothing is there.
    #[error("the command is empty")]
    Empty,
}

/// When a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Whatever the one before it did (`;`, a new line, the first).
    Always,
    /// When the one before it succeeded (`&&`).
    Succeeded,
    /// When it failed (`||`).
    Failed,
    /// Beside it: it reads what that one prints (`|`).
    Piped,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// When it runs.
    pub when: When,
    /// Its words.
    pub words: Vec<String>,
    /// A here-string (`<<< WORD`).
    pub input: Option<String>,
    /// The file that its output goes to (`> FILE`, `>> FILE`); of errors (`2> FILE`, `2>&1`) nothing is kept.
    pub output: Option<String>,
}

impl Command {
    fn new(when: When) -> Self {
        Self {
            when,
            words: Vec::new(),
            input: None,
            output: None,
        }
    }

    fn is_empty(&self) -> bool {
        self.words.is_empty() && self.input.is_none() && self.output.is_none()
    }
}

/// A word, or what stands between words.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Operator(String),
}

/// Longest first: the first that fits is meant.
const OPERATORS: [&str; 14] = [
    "2>&1", "2>>", "<<<", "&>>", "&>", "2>", ">&2", ">>", "&&", "||", ">", "|", ";", "\n",
];

fn tokens(text: &str) -> Result<Vec<Token>, ShellError> {
    let mut found = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let at = text.len() - rest.len();
        let shell = |character| ShellError::Shell {
            column: at + 1,
            character,
        };
        // `2>` redirects only where a word could begin.
        let operator = OPERATORS
            .into_iter()
            .find(|o| rest.starts_with(o) && (word.is_none() || !o.starts_with('2')));
        if let Some(operator) = operator {
            found.extend(word.take().map(Token::Word));
            found.push(Token::Operator(operator.to_owned()));
            rest = &rest[operator.len()..];
            continue;
        }
        let mut taken = c.len_utf8();
        match c {
            '\'' => {
                let inner = &rest[1..];
                let len = inner.find('\'').ok_or(ShellError::OpenQuote(at + 1))?;
                word.get_or_insert_default().push_str(&inner[..len]);
                taken = len + 2;
            }
            '"' => {
                let (inner, len) = double_quoted(&rest[1..], at + 1)?;
                word.get_or_insert_default().push_str(&inner);
                taken = len + 1;
            }
            '\\' => {
                let next = rest[1..].chars().next();
                taken += next.map_or(0, char::len_utf8);
                // A backslash before a line's end joins both lines.
                if next != Some('\n') {
                    word.get_or_insert_default().push(next.unwrap_or('\\'));
                }
            }
            '$' | '`' | '&' | '<' | '(' | ')' | '*' | '?' => return Err(shell(c)),
            '#' if word.is_none() => taken = rest.find('\n').unwrap_or(rest.len()),
            c if c.is_whitespace() => found.extend(word.take().map(Token::Word)),
            c => word.get_or_insert_default().push(c),
        }
        rest = &rest[taken..];
    }
    found.extend(word.map(Token::Word));
    Ok(found)
}

/// What stands up to the closing quote, and how many bytes that and the quote are. `column`: of the opening quote, from 1.
fn double_quoted(text: &str, column: usize) -> Result<(String, usize), ShellError> {
    let mut inner = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Ok((inner, at + 1)),
            '\\' => match characters.next_if(|(_, n)| matches!(n, '"' | '\\' | '$' | '`' | '\n')) {
                Some((_, '\n')) => {}
                Some((_, n)) => inner.push(n),
                None => inner.push('\\'),
            },
            '$' | '`' => {
                return Err(ShellError::Shell {
                    column: column + at + 1,
                    character: c,
                });
            }
            c => inner.push(c),
        }
    }
    Err(ShellError::OpenQuote(column))
}

/// The commands of `line`, at least one.
///
/// # Errors
/// What would need a shell: expansions, subshells, input from files, background jobs.
pub fn commands(line: &str) -> Result<Vec<Command>, ShellError> {
    let mut found = Vec::new();
    let mut command = Command::new(When::Always);
    let mut tokens = tokens(line)?.into_iter();
    let mut owed = None;
    while let Some(token) = tokens.next() {
        let operator = match token {
            Token::Word(word) => {
                command.words.push(word);
                continue;
            }
            Token::Operator(operator) => operator,
        };
        let mut target = || match tokens.next() {
            Some(Token::Word(word)) => Ok(word),
            _ => Err(ShellError::Missing(operator.clone())),
        };
        let when = match operator.as_str() {
            "<<<" => {
                command.input = Some(target()? + "\n");
                continue;
            }
            ">" | ">>" | "&>" | "&>>" => {
                command.output = Some(target()?);
                continue;
            }
            "2>" | "2>>" => {
                target()?;
                continue;
            }
            "2>&1" | ">&2" => continue,
            "&&" => When::Succeeded,
            "||" => When::Failed,
            "|" => When::Piped,
            _ => When::Always,
        };
        if command.is_empty() {
            // Empty lines are none; nothing stands before `&&`.
            if when != When::Always || command.when != When::Always {
                return Err(ShellError::Missing(operator));
            }
            continue;
        }
        owed = (when != When::Always).then_some(operator);
        found.push(std::mem::replace(&mut command, Command::new(when)));
    }
    match (command.is_empty(), owed) {
        (false, _) => found.push(command),
        (true, Some(operator)) => return Err(ShellError::Missing(operator)),
        (true, None) => {}
    }
    if found.is_empty() {
        return Err(ShellError::Empty);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let mut found = commands(line).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0).words
    }

    #[test]
    fn quotes_as_in_the_recordings() {
        assert_eq!(
            words(r#"nft "add chain ip z A { type filter hook forward priority 0; }""#),
            [
                "nft",
                "add chain ip z A { type filter hook forward priority 0; }"
            ]
        );
        assert_eq!(
            words(r#"a 'b "c' "d \" e"f \; g\"h"#),
            ["a", "b \"c", "d \" ef", ";", "g\"h"]
        );
        assert_eq!(words("a '' \"\""), ["a", "", ""]);
        assert_eq!(words("tc u32 match ip dport 9 0xffff # port"), {
            ["tc", "u32", "match", "ip", "dport", "9", "0xffff"]
        });
    }

    #[test]
    fn several_commands_and_what_is_between_them() {
        let all = commands(
            "sysctl -w a=1 >/dev/null 2>&1 && nft -f - <<< 'x y' ; ip r || true\necho 1 | cat",
        );
        let all = all.unwrap();
        let shown: Vec<(When, String)> = all.iter().map(|c| (c.when, c.words.join(" "))).collect();
        let expected = [
            (When::Always, "sysctl -w a=1"),
            (When::Succeeded, "nft -f -"),
            (When::Always, "ip r"),
            (When::Failed, "true"),
            (When::Always, "echo 1"),
            (When::Piped, "cat"),
        ];
        assert_eq!(shown, expected.map(|(when, text)| (when, text.to_owned())));
        assert_eq!(all[0].output.as_deref(), Some("/dev/null"));
        assert_eq!(all[1].input.as_deref(), Some("x y\n"));
        assert_eq!(words("add 2"), ["add", "2"]);
    }

    #[test]
    fn what_needs_a_shell_is_named() {
        assert_eq!(commands("ip 'x"), Err(ShellError::OpenQuote(4)));
        assert_eq!(commands("ip \"x"), Err(ShellError::OpenQuote(4)));
        assert_eq!(commands("  "), Err(ShellError::Empty));
        let missing = |text: &str| Err(ShellError::Missing(text.to_owned()));
        assert_eq!(commands("a >"), missing(">"));
        assert_eq!(commands("a &&"), missing("&&"));
        assert_eq!(commands("| a"), missing("|"));
        for (line, column, character) in
            [("a & b", 3, '&'), ("a \"$b\"", 4, '$'), ("a < b", 3, '<')]
        {
            let expected = ShellError::Shell { column, character };
            assert_eq!(commands(line), Err(expected), "{line}");
        }
    }
}
