//! `conntrack -L` and `conntrack -E` as text, line by line.

use std::net::IpAddr;

use super::difference::Difference;
use super::frame::{ICMP, ICMPV6};
use super::rename::Renaming;

/// Seconds between the last frame and `conntrack -L` in a recording, at most: programs wait for answers before they end.
const LISTED_LATER: u64 = 20;

/// A line in comparable form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    /// Without timeout, `use=`, the connection's number and time.
    text: String,
    timeout: Option<u64>,
}

/// Splits a line; ports are those that hold here.
fn line(words: &[&str], renaming: &Renaming) -> Line {
    let tuples = words
        .iter()
        .position(|w| w.starts_with("src="))
        .unwrap_or(words.len());
    // NAME NUMBER TIMEOUT [STATE] before the first tuple; the family or the event's kind in front of that.
    let head: Vec<&str> = words[..tuples].to_vec();
    let numbers: Vec<usize> = (0..head.len())
        .filter(|&i| head[i].bytes().all(|b| b.is_ascii_digit()))
        .collect();
    // The timeout is the last number: the protocol's comes before it.
    let timeout_at = numbers.last().copied().filter(|_| numbers.len() >= 2);
    let timeout = timeout_at.and_then(|i| head[i].parse().ok());
    let protocol: u8 = timeout_at
        .and_then(|i| head.get(i.checked_sub(1)?)?.parse().ok())
        .unwrap_or(0);
    let mut text: Vec<String> = head
        .iter()
        .enumerate()
        .filter(|(i, _)| Some(*i) != timeout_at)
        .map(|(_, w)| (*w).to_owned())
        .collect();
    let (mut src, mut dst) = (None::<IpAddr>, None::<IpAddr>);
    let mut request = false;
    for word in &words[tuples..] {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let port = |address: Option<IpAddr>, protocol| {
            let (Some(address), Ok(port)) = (address, value.parse()) else {
                return (*word).to_owned();
            };
            format!("{key}={}", renaming.port(protocol, address, port))
        };
        text.push(match key {
            "use" => continue,
            "src" => {
                src = value.parse().ok();
                (*word).to_owned()
            }
            "dst" => {
                dst = value.parse().ok();
                (*word).to_owned()
            }
            "sport" => port(src, protocol),
            "dport" => port(dst, protocol),
            "type" => {
                request = value == "8" || value == "128";
                (*word).to_owned()
            }
            "id" if matches!(protocol, ICMP | ICMPV6) => {
                port(if request { src } else { dst }, protocol)
            }
            _ => (*word).to_owned(),
        });
    }
    Line {
        text: text.join(" "),
        timeout,
    }
}

/// A line of the kernel's tools: the connection's number stands last, an event's time first.
fn kernel_line(text: &str, renaming: &Renaming) -> Line {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    if words.last().is_some_and(|w| w.starts_with("id=")) {
        words.pop();
    }
    if words
        .first()
        .is_some_and(|w| w.starts_with('[') && w.contains('.'))
    {
        words.remove(0);
    }
    line(&words, renaming)
}

fn here_line(text: &str) -> Line {
    let words: Vec<&str> = text.split_whitespace().collect();
    line(&words, &Renaming::default())
}

/// Compares the tables: the same connections, in any order (a kernel lists them by hash), with timeouts that are not later than here and
/// at most [`LISTED_LATER`] seconds earlier.
pub fn compare_list(kernel: &[String], here: &str, renaming: &Renaming) -> Vec<Difference> {
    let mut theirs: Vec<Line> = kernel.iter().map(|l| kernel_line(l, renaming)).collect();
    let mut ours: Vec<Line> = here.lines().map(here_line).collect();
    theirs.sort();
    ours.sort();
    let place = "conntrack -L";
    let mut found = Vec::new();
    let mut rest = ours.clone();
    // What no frame showed: ports that NAT drew, there and here.
    let same = |theirs: &Line, ours: &Line| theirs.text == ours.text;
    let drawn =
        |theirs: &Line, ours: &Line| without_drawn(&theirs.text) == without_drawn(&ours.text);
    for line in &theirs {
        let equal = rest.iter().position(|l| same(line, l));
        let exact = |l: &Line| theirs.iter().any(|t| same(t, l));
        match equal.or_else(|| rest.iter().position(|l| drawn(line, l) && !exact(l))) {
            Some(at) => {
                let same = rest.remove(at);
                let (k, h) = (line.timeout.unwrap_or(0), same.timeout.unwrap_or(0));
                if k > h + 1 || k + LISTED_LATER < h {
                    let what = format!("timeout of {}", line.text);
                    found.push(Difference::new(place, what, k.to_string(), h.to_string()));
                }
            }
            None => found.push(Difference::new(
                place,
                "only in the kernel",
                &line.text,
                "nothing like it",
            )),
        }
    }
    for line in rest {
        found.push(Difference::new(
            place,
            "only here",
            "nothing like it",
            line.text,
        ));
    }
    found
}

/// A connection with `*` for every port of its replies that is none of the original direction's.
fn without_drawn(text: &str) -> String {
    let port = |word: &str| {
        let value = word
            .strip_prefix("sport=")
            .or_else(|| word.strip_prefix("dport="))?;
        Some(value.to_owned())
    };
    let original: Vec<String> = text.split(' ').filter_map(port).take(2).collect();
    let words = text.split(' ').map(|word| match port(word) {
        Some(value) if !original.contains(&value) => "port=*",
        _ => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Compares the events, in their order, with their timeouts; a kernel's are a second less when a tick has passed.
pub fn compare_events(kernel: &[String], here: &[String], renaming: &Renaming) -> Vec<Difference> {
    let theirs: Vec<Line> = kernel.iter().map(|l| kernel_line(l, renaming)).collect();
    let ours: Vec<Line> = here.iter().map(|l| here_line(l)).collect();
    let show = |line: Option<&Line>| match line {
        Some(Line {
            text,
            timeout: Some(t),
        }) => format!("{text} timeout {t}"),
        Some(line) => line.text.clone(),
        None => "no event".to_owned(),
    };
    (0..theirs.len().max(ours.len()))
        .filter(|&i| match (theirs.get(i), ours.get(i)) {
            (Some(k), Some(h)) => {
                let (before, after) = (k.timeout.unwrap_or(0), h.timeout.unwrap_or(0));
                k.text != h.text || before > after || before + 1 < after
            }
            _ => true,
        })
        .map(|i| {
            let (k, h) = (show(theirs.get(i)), show(ours.get(i)));
            Difference::new("conntrack -E", format!("event {}", i + 1), k, h)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "ipv4     2 icmp     1 29 src=10.0.1.2 dst=10.0.2.2 type=8 code=0 id=4268 src=10.0.2.2 dst=10.0.2.1 type=0 code=0 id=4268 mark=0 use=1 id=863590183";

    #[test]
    fn numbers_use_and_a_little_time_do_not_matter() {
        let here = LISTED
            .replace(" use=1 id=863590183", " use=2")
            .replace(" 29 ", " 30 ");
        let none = Renaming::default();
        assert_eq!(compare_list(&[LISTED.into()], &here, &none), []);
        let other = here.replace("id=4268 mark", "id=1 mark");
        assert_eq!(compare_list(&[LISTED.into()], &other, &none).len(), 2);
        let early = here.replace(" 30 ", " 10 ");
        assert_eq!(compare_list(&[LISTED.into()], &early, &none).len(), 1);
        assert_eq!(compare_list(&[], &here, &none)[0].what, "only here");
    }

    #[test]
    fn events_are_compared_in_order_with_their_timeouts() {
        let kernel = ["[1795380644.325286]\t    [NEW] tcp      6 120 SYN_SENT src=1.0.0.1 dst=1.0.0.2 sport=1 dport=2 [UNREPLIED] src=1.0.0.2 dst=1.0.0.1 sport=2 dport=1 id=794370758".to_owned()];
        let here = "    [NEW] tcp      6 120 SYN_SENT src=1.0.0.1 dst=1.0.0.2 sport=1 dport=2 [UNREPLIED] src=1.0.0.2 dst=1.0.0.1 sport=2 dport=1";
        let none = Renaming::default();
        assert_eq!(compare_events(&kernel, &[here.into()], &none), []);
        let other = here.replace(" 120 ", " 60 ");
        let found = compare_events(&kernel, &[other], &none);
        assert!(found[0].kernel.ends_with("timeout 120"), "{found:?}");
        assert_eq!(compare_events(&kernel, &[], &none)[0].here, "no event");
    }
}
