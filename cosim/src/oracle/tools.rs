//! The programs that a `prep` line may name, carried out on a stack.

use stack::Stack;

use super::shell::{Command, When, commands};

/// How deep `sh -c` may nest.
const MAX_DEPTH: usize = 4;

/// Runs a command line as a shell would, and returns what it prints. A pipe hands on what was printed; the line fails with its last command.
///
/// # Errors
/// The line as a shell, or its last command as its program would refuse it.
pub fn run(stack: &mut Stack, line: &str) -> Result<String, String> {
    nested(stack, line, MAX_DEPTH)
}

fn nested(stack: &mut Stack, line: &str, depth: usize) -> Result<String, String> {
    let mut printed = String::new();
    let mut last: Result<String, String> = Ok(String::new());
    for command in commands(line).map_err(|e| e.to_string())? {
        let runs = match command.when {
            When::Always | When::Piped => true,
            When::Succeeded => last.is_ok(),
            When::Failed => last.is_err(),
        };
        if !runs {
            continue;
        }
        let before = match (command.when, last) {
            // Nobody types a line to fail, and goes on.
            (When::Always | When::Piped, Err(problem)) => return Err(problem),
            (_, before) => before.unwrap_or_default(),
        };
        let mut input = command.input.as_deref();
        if command.when == When::Piped {
            input = input.or(Some(&before));
        } else {
            printed += &before;
        }
        last = one(stack, &command, input, depth);
    }
    last.map(|text| printed + &text)
}

/// Runs one command.
fn one(
    stack: &mut Stack,
    command: &Command,
    input: Option<&str>,
    depth: usize,
) -> Result<String, String> {
    let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
    let text = program(stack, &words, input, depth)?;
    match command.output.as_deref() {
        None => Ok(text),
        Some("/dev/null") => Ok(String::new()),
        Some(path) => match path.strip_prefix("/proc/sys/") {
            Some(key) => stack
                .sysctl(&format!(
                    "-qw {}",
                    quoted(&format!("{key}={}", text.trim()))
                ))
                .map_err(|e| e.to_string()),
            None => Err(format!("there is no file {path} here")),
        },
    }
}

/// Words in a line of which the stack makes the same words: those with blanks in quotes.
fn joined(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let plain = !word.is_empty() && !word.contains(char::is_whitespace);
    match (plain, word.contains('\'')) {
        (true, _) => word.to_owned(),
        (false, false) => format!("'{word}'"),
        (false, true) => format!("\"{word}\""),
    }
}

/// `argv[0]` without its directory.
fn name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

fn program(
    stack: &mut Stack,
    words: &[&str],
    input: Option<&str>,
    depth: usize,
) -> Result<String, String> {
    let (program_name, arguments) = words.split_first().map_or(("", words), |(p, a)| (*p, a));
    let (rest, line) = (arguments.join(" "), joined(arguments));
    match (name(program_name), arguments) {
        // A namespace of the topology: it is this one, or the line would stand elsewhere.
        ("ip", ["netns", "exec", _, command @ ..]) => program(stack, command, input, depth),
        ("ip", ["-b" | "-batch", "-"]) => {
            let lines = input.unwrap_or("").lines();
            let mut lines = lines.filter(|l| !l.trim().is_empty() && !l.starts_with('#'));
            lines.try_fold(String::new(), |printed, line| {
                let text = stack.ip(line).map_err(|e| e.to_string())?;
                Ok(printed + &text)
            })
        }
        ("ip", _) => stack.ip(&line).map_err(|e| e.to_string()),
        ("tc", _) => stack.tc(&line).map_err(|e| e.to_string()),
        ("sysctl", _) => stack.sysctl(&line).map_err(|e| e.to_string()),
        ("nft", _) => nft(stack, arguments, input),
        ("conntrack", _) => conntrack(stack, arguments),
        ("echo", ["-n" | "-e" | "-ne", text @ ..]) => Ok(text.join(" ")),
        ("echo", _) => Ok(rest + "\n"),
        ("printf", [text]) => Ok(text.replace("\\n", "\n")),
        ("cat", [] | ["-"]) => Ok(input.unwrap_or("").to_owned()),
        ("sh" | "bash" | "dash", ["-c" | "-ec" | "-xc", line]) if depth > 0 => {
            nested(stack, line, depth - 1)
        }
        ("env" | "exec" | "nice" | "sudo", command) if !command.is_empty() => {
            program(stack, command, input, depth)
        }
        // Nothing is a module here, and a device's offloads are what its driver says.
        ("modprobe" | "ethtool" | "sleep" | "true" | ":" | "", _) => Ok(String::new()),
        ("false", _) => Err("false".to_owned()),
        (other, _) => {
            let known = "nft, ip, tc, sysctl, conntrack, echo, sh -c, modprobe, ethtool";
            Err(format!("`{other}` is not known here ({known} are)"))
        }
    }
}

/// `nft [OPTIONS] COMMAND`, `nft -f -`.
fn nft(stack: &mut Stack, arguments: &[&str], input: Option<&str>) -> Result<String, String> {
    let mut file = None;
    let mut json = false;
    let mut rest = arguments;
    while let [option, behind @ ..] = rest {
        match *option {
            "-f" | "--file" => {
                let Some((path, behind)) = behind.split_first() else {
                    return Err(format!("behind {option} a file is missing"));
                };
                (file, rest) = (Some(*path), behind);
                continue;
            }
            "-j" | "--json" => json = true,
            option if option.starts_with('-') && option.len() > 1 => {}
            _ => break,
        }
        rest = behind;
    }
    let text = match file {
        Some("-" | "/dev/stdin") => input.unwrap_or("").to_owned(),
        Some(path) => return Err(format!("there is no file {path} here")),
        None => rest.join(" "),
    };
    let done = match json && file.is_some() {
        true => stack.nft_json(&text),
        false => stack.nft(&text),
    };
    done.map_err(|e| e.to_string())
}

/// `conntrack -F`, `-L`, `-C`, `-S`: when a recording is prepared the table is empty, and what is listed is not kept.
fn conntrack(stack: &mut Stack, arguments: &[&str]) -> Result<String, String> {
    match arguments {
        ["-F" | "--flush", ..] => {
            stack.conntrack_mut().flush(0);
            Ok(String::new())
        }
        ["-L" | "--dump" | "-S" | "--stats", ..] => Ok(stack.conntrack().list(0)),
        ["-C" | "--count", ..] => Ok(format!("{}\n", stack.conntrack().count())),
        ["-D" | "--delete", ..] => Err("conntrack -D: 0 flow entries have been deleted".to_owned()),
        _ => Err(format!(
            "conntrack {}: only -F, -L, -C and -S are known here",
            arguments.join(" ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use stack::StackConfig;

    use super::*;

    fn stack() -> Stack {
        Stack::new(StackConfig::default())
    }

    #[test]
    fn lines_as_people_type_them() {
        let mut stack = stack();
        for line in [
            "ip netns exec hs_r sysctl -qw net.ipv4.ip_forward=1",
            "bash -c 'sysctl -qw net.ipv4.conf.all.rp_filter=2; nft add table ip z'",
            "sysctl -qw net.ipv4.ip_local_port_range='2000 3000'",
            "echo '4000 5000' > /proc/sys/net/ipv4/ip_local_port_range",
            "nft -f - <<< 'add chain ip z A { type filter hook forward priority 0; }'",
            "echo 'add rule ip z A udp dport 9 drop' | nft -f -",
            "nft -a list ruleset > /dev/null",
            "nft delete table ip none 2>/dev/null || true",
            "sh -c 'echo 1 > /proc/sys/net/ipv4/conf/lo/forwarding'",
            "ip -batch - <<< 'route add blackhole 10.9.0.0/24'",
            "conntrack -F",
            "/sbin/tc qdisc add dev lo clsact",
            "modprobe nf_conntrack_ftp",
        ] {
            run(&mut stack, line).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        let rules = stack.nft("list ruleset").unwrap();
        assert!(rules.contains("udp dport 9 drop"), "{rules}");
        assert_eq!(stack.sysctl("-n net.ipv4.ip_forward").unwrap(), "1\n");
        let ports = stack.sysctl("-n net.ipv4.ip_local_port_range").unwrap();
        assert_eq!(ports, "4000\t5000\n");
        let routes = stack.ip("route show").unwrap();
        assert!(routes.contains("blackhole 10.9.0.0/24"), "{routes}");
    }

    #[test]
    fn what_fails_says_so() {
        let mut stack = stack();
        let mut problem = |line: &str| run(&mut stack, line).unwrap_err();
        assert!(problem("iptables -A x").starts_with("`iptables` is not known here"));
        assert!(problem("nft -f /etc/rules").contains("no file /etc/rules"));
        assert!(problem("nft add rule ip none x drop").contains("1:"));
        assert!(problem("false; true").contains("false"));
        assert!(problem("ip route show | false").contains("false"));
    }
}
