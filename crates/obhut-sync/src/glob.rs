//! Patterns of names, as Syncthing's ignore files have them (formats: bep 19): `*`, `**`, `?`, `[…]`, `{…,…}`, an escape.
//!
//! A pattern becomes states that are walked side by side, so no pattern and no name takes longer than their lengths multiplied.

/// A pattern that can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    states: Vec<State>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// This character, then the next state.
    One(char),
    /// Any character but `/`.
    NoSlash,
    /// One of these, or none of these.
    Class {
        not: bool,
        ranges: Vec<(char, char)>,
    },
    /// Any run of characters, of all or of all but `/`.
    Run { slash: bool },
    /// Goes on at each of these.
    Fork(Vec<usize>),
    /// Goes on there.
    Go(usize),
    /// The name has to end here.
    End,
}

impl Glob {
    /// From its text. What is wrong with it, in words.
    pub fn parse(text: &str, escape: char) -> Result<Self, &'static str> {
        let mut parser = Parser {
            rest: text.chars().collect(),
            at: 0,
            escape,
            states: Vec::new(),
        };
        parser.sequence(0)?;
        parser.states.push(State::End);
        Ok(Self {
            states: parser.states,
        })
    }

    /// Whether the whole name is one of the pattern's.
    pub fn matches(&self, name: &str) -> bool {
        let mut now = vec![false; self.states.len()];
        let mut next = now.clone();
        self.enter(0, &mut now);
        for character in name.chars() {
            next.fill(false);
            for (at, state) in self.states.iter().enumerate().filter(|&(at, _)| now[at]) {
                match state {
                    State::One(wanted) if *wanted == character => self.enter(at + 1, &mut next),
                    State::NoSlash if character != '/' => self.enter(at + 1, &mut next),
                    State::Class { not, ranges } => {
                        let among = ranges
                            .iter()
                            .any(|&(low, high)| (low..=high).contains(&character));
                        if among != *not {
                            self.enter(at + 1, &mut next);
                        }
                    }
                    State::Run { slash } if *slash || character != '/' => self.enter(at, &mut next),
                    _ => {}
                }
            }
            std::mem::swap(&mut now, &mut next);
        }
        now.last() == Some(&true)
    }

    /// A state, and all that it leads to without a character.
    fn enter(&self, at: usize, set: &mut [bool]) {
        if std::mem::replace(&mut set[at], true) {
            return;
        }
        match &self.states[at] {
            State::Run { .. } => self.enter(at + 1, set),
            State::Fork(places) => places.iter().for_each(|&place| self.enter(place, set)),
            State::Go(place) => self.enter(*place, set),
            _ => {}
        }
    }
}

/// How deep `{` may stand in `{`.
const DEEPEST: usize = 20;

struct Parser {
    rest: Vec<char>,
    at: usize,
    escape: char,
    states: Vec<State>,
}

impl Parser {
    fn next(&mut self) -> Option<char> {
        let found = self.rest.get(self.at).copied();
        self.at += 1;
        found
    }

    fn peek(&self) -> Option<char> {
        self.rest.get(self.at).copied()
    }

    /// Up to the end, or inside `{…}` up to `,` or `}`, which is left.
    fn sequence(&mut self, depth: usize) -> Result<(), &'static str> {
        while let Some(character) = self.peek() {
            if depth > 0 && matches!(character, ',' | '}') {
                return Ok(());
            }
            self.at += 1;
            match character {
                _ if character == self.escape => {
                    let taken = self.next().ok_or("it ends in an escape")?;
                    self.states.push(State::One(taken));
                }
                '*' => {
                    let mut slash = false;
                    while self.peek() == Some('*') {
                        self.at += 1;
                        slash = true;
                    }
                    self.states.push(State::Run { slash });
                }
                '?' => self.states.push(State::NoSlash),
                '[' => self.class()?,
                '{' => self.alternatives(depth + 1)?,
                other => self.states.push(State::One(other)),
            }
        }
        if depth > 0 {
            Err("a { that is not closed")
        } else {
            Ok(())
        }
    }

    fn class(&mut self) -> Result<(), &'static str> {
        let not = matches!(self.peek(), Some('!' | '^'));
        if not {
            self.at += 1;
        }
        let mut ranges = Vec::new();
        loop {
            let mut low = self.next().ok_or("a [ that is not closed")?;
            if low == ']' && !ranges.is_empty() {
                break;
            }
            if low == self.escape {
                low = self.next().ok_or("a [ that is not closed")?;
            }
            let mut high = low;
            if self.peek() == Some('-')
                && self
                    .rest
                    .get(self.at + 1)
                    .is_some_and(|&after| after != ']')
            {
                self.at += 1;
                high = self.next().ok_or("a [ that is not closed")?;
                if high == self.escape {
                    high = self.next().ok_or("a [ that is not closed")?;
                }
            }
            if low > high {
                return Err("a range of characters that runs backward");
            }
            ranges.push((low, high));
        }
        self.states.push(State::Class { not, ranges });
        Ok(())
    }

    fn alternatives(&mut self, depth: usize) -> Result<(), &'static str> {
        if depth > DEEPEST {
            return Err("too many { in one another");
        }
        let fork = self.states.len();
        self.states.push(State::Fork(Vec::new()));
        let (mut begins, mut ends) = (Vec::new(), Vec::new());
        loop {
            begins.push(self.states.len());
            self.sequence(depth)?;
            ends.push(self.states.len());
            self.states.push(State::Go(0));
            if self.next() == Some('}') {
                break;
            }
        }
        let after = self.states.len();
        for end in ends {
            self.states[end] = State::Go(after);
        }
        self.states[fork] = State::Fork(begins);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is(pattern: &str, name: &str) -> bool {
        Glob::parse(pattern, '\\').unwrap().matches(name)
    }

    #[test]
    fn what_matches() {
        let cases = [
            ("a", "a"),
            ("*", "abc"),
            ("*", ""),
            ("a*c", "abbc"),
            ("**", "a/b/c"),
            ("a/**", "a/b/c"),
            ("**/c", "a/b/c"),
            ("a**c", "a/b/c"),
            ("?", "ä"),
            ("[a-c]x", "bx"),
            ("[!a-c]x", "dx"),
            ("[abc]", "c"),
            ("[a-]", "-"),
            ("{a,b*}c", "bbc"),
            ("{a,{b,c}d}", "cd"),
            ("{a,}b", "b"),
            (r"\*", "*"),
            (r"\{a", "{a"),
            ("a}", "a}"),
            ("a,b", "a,b"),
            ("a]", "a]"),
            ("*.{jpg,png}", "x.png"),
            ("***", "a/b"),
        ];
        for (pattern, name) in cases {
            assert!(is(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_does_not() {
        let cases = [
            ("a", "ab"),
            ("a", "A"),
            ("*", "a/b"),
            ("a*c", "a/c"),
            ("?", "/"),
            ("?", ""),
            ("[a-c]", "d"),
            ("[!a-c]", "b"),
            ("**/c", "c"),
            ("{a,b}", "ab"),
            (r"\*", "a"),
            ("a/**", "a"),
        ];
        for (pattern, name) in cases {
            assert!(!is(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn patterns_that_are_none() {
        for pattern in [
            "[a",
            "[",
            "[]",
            "{a",
            "{a,{b}",
            r"a\",
            "[z-a]",
            &"{".repeat(30),
        ] {
            assert!(Glob::parse(pattern, '\\').is_err(), "{pattern}");
        }
        assert!(Glob::parse("a|*b", '|').unwrap().matches("a*b"));
    }

    #[test]
    fn no_pattern_takes_long() {
        let pattern = "*a".repeat(200);
        assert!(!is(&pattern, &"a".repeat(4000).replace("aaaa", "aaab")));
    }

    /// What the same pattern means, said as a search that tries everything.
    fn tried(pattern: &[char], name: &[char]) -> bool {
        match pattern.first() {
            None => name.is_empty(),
            Some('*') => {
                let slash = pattern.get(1) == Some(&'*');
                let rest = &pattern[1 + usize::from(slash)..];
                (0..=name.len())
                    .take_while(|&count| slash || !name[..count].contains(&'/'))
                    .any(|count| tried(rest, &name[count..]))
            }
            Some('?') => {
                name.first().is_some_and(|&first| first != '/') && tried(&pattern[1..], &name[1..])
            }
            Some(wanted) => name.first() == Some(wanted) && tried(&pattern[1..], &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn as_a_search_that_tries_everything(pattern in "[ab/?*]{0,8}", name in "[ab/]{0,8}") {
            prop_assume!(!pattern.contains("***"));
            let (plain, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
            prop_assert_eq!(is(&pattern, &name), tried(&plain, &text));
        }

        #[test]
        fn any_text_is_a_pattern_or_an_error(pattern: String, name: String) {
            if let Ok(glob) = Glob::parse(&pattern, '\\') {
                let _ = glob.matches(&name);
            }
        }
    }
}
