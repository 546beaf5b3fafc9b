//! Documents for the scanner and for the plain reader of `reference.rs`: made at random and then spoilt, and with
//! something special at every place of a block. Both must find the same before the same fault, in any chunks.

use super::reference::{self, Hit, Questions};
use attache::wire::scan::{Fault, Keep, Limits, Plan, Scanner, Step};
use std::rc::Rc;

/// Few, so that documents reach them.
const LIMITS: Limits = Limits { depth: 9, names: 40, text: 90, values: 0 };

/// Numbers that look random and are the same in every run (xorshift).
pub struct Dice(pub u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % below.max(1) as u64).unwrap()
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.roll(list.len())]
    }
}

fn questions() -> Questions {
    let (a, b, each) = (Step::member(&["alpha", "al_pha"]), Step::member(&["kind"]), Step::Element);
    vec![
        (vec![], Keep::Kind),
        (vec![a.clone()], Keep::Kind),
        (vec![a.clone(), b.clone()], Keep::Text),
        (vec![a.clone(), Step::key("skill")], Keep::Raw),
        (vec![Step::member(&["list"]), each.clone(), b.clone()], Keep::Text),
        (vec![Step::member(&["list"]), each.clone()], Keep::Kind),
        (vec![Step::member(&["deep"]), b.clone(), each, b], Keep::Kind),
        (vec![Step::member(&["id"])], Keep::Raw),
    ]
}

/// The two readers, with the same questions.
pub struct Readers {
    questions: Questions,
    strict: Rc<Plan>,
    skipping: Rc<Plan>,
    /// By the scanner's name for a question.
    asked: Vec<attache::wire::scan::Asked>,
    /// How many documents had no fault, and how many each of the others.
    pub taken: usize,
    pub refused: usize,
}

impl Readers {
    pub fn new() -> Self {
        let questions = questions();
        let mut plan = Plan::default();
        let asked = questions.iter().map(|(path, keep)| plan.ask(path, *keep)).collect();
        let mut skipping = plan.clone();
        skipping.skip_unasked();
        Self { questions, strict: Rc::new(plan), skipping: Rc::new(skipping), asked, taken: 0, refused: 0 }
    }

    fn scan(&self, chunks: &[&[u8]], skips: bool) -> (Vec<Hit>, Result<(), Fault>) {
        let mut scanner = Scanner::new(LIMITS, Rc::clone(if skips { &self.skipping } else { &self.strict }));
        let mut hits = Vec::new();
        let mut result = Ok(());
        let mut hear = |found: attache::wire::scan::Found<'_>| {
            let question = self.asked.iter().position(|asked| *asked == found.asked).unwrap();
            hits.push((question, found.kind, found.text.map(str::to_owned)));
        };
        'chunks: for chunk in chunks {
            let mut rest = *chunk;
            loop {
                match scanner.next(&mut rest) {
                    Ok(Some(found)) => hear(found),
                    Ok(None) => break,
                    Err(fault) => {
                        result = Err(fault);
                        break 'chunks;
                    }
                }
            }
            assert!(rest.is_empty());
        }
        let end = scanner.end().map(|found| found.into_iter().for_each(&mut hear));
        (hits, result.and(end))
    }

    /// Both say the same of `body`, which comes whole and cut at each of `cuts`.
    fn compare(&mut self, body: &[u8], skips: bool, cuts: &[usize]) {
        let expected = reference::read(body, &self.questions, LIMITS, skips);
        *if expected.1.is_ok() { &mut self.taken } else { &mut self.refused } += 1;
        let show = || format!("{} (skips: {skips})", String::from_utf8_lossy(body));
        assert_eq!(self.scan(&[body], skips), expected, "{}", show());
        for cut in cuts {
            let (before, behind) = body.split_at((*cut).min(body.len()));
            assert_eq!(self.scan(&[before, behind], skips), expected, "cut at {cut}: {}", show());
        }
    }

    /// `count` documents that were made by `dice`.
    pub fn compare_random(&mut self, count: usize, dice: &mut Dice) {
        for _ in 0..count {
            let mut body = Vec::new();
            value(dice, 0, &mut body);
            for _ in 0..dice.roll(3) {
                spoil(dice, &mut body);
            }
            let skips = dice.roll(2) == 0;
            let expected = reference::read(&body, &self.questions, LIMITS, skips);
            *if expected.1.is_ok() { &mut self.taken } else { &mut self.refused } += 1;
            let most = dice.of(&[2, 9, 80, 200, 1000]);
            let mut chunks = Vec::new();
            let mut rest = body.as_slice();
            while !rest.is_empty() {
                let (chunk, behind) = rest.split_at(dice.roll(most).min(rest.len()));
                chunks.push(chunk);
                rest = behind;
            }
            assert_eq!(self.scan(&chunks, skips), expected, "{} (skips: {skips}; {chunks:?})", String::from_utf8_lossy(&body));
        }
    }

    /// Everything that ends or breaks a string, and everything between strings, behind so many other bytes that it stands
    /// at each place of a block, and is cut at each of its own.
    pub fn compare_edges(&mut self, step: usize) {
        for before in (0..=130).step_by(step) {
            for piece in STRING_PIECES {
                let text = [b"x".repeat(before).as_slice(), piece, b"y", &b"z".repeat(70), b"\"]"].concat();
                for (start, end) in [(&b"[\""[..], &b""[..]), (b"{\"alpha\":{\"kind\":[\"", b"}}")] {
                    let body = [start, &text, end].concat();
                    let at = start.len() + before;
                    let cuts: Vec<usize> = (at.saturating_sub(1)..=at + piece.len() + 1).collect();
                    self.compare(&body, false, &cuts);
                    self.compare(&body, true, &cuts);
                }
            }
            for piece in PIECES {
                let body = [b"{\"x\":[[", b" ".repeat(before).as_slice(), piece, b"]", &b" ".repeat(70), b",{\"kind\":1}]}"].concat();
                let cuts: Vec<usize> = (before + 6..=before + piece.len() + 8).collect();
                self.compare(&body, false, &cuts);
                self.compare(&body, true, &cuts);
            }
        }
    }
}

const STRING_PIECES: [&[u8]; 37] = [
    b"",
    b"\"",
    b"\"x",
    b"\\\"",
    b"\\\\",
    b"\\\\\\\"",
    b"\\/",
    b"\\n\\t\\b\\f\\r",
    b"\\u00e9",
    b"\\ud83d\\ude00",
    b"\\uD83D",
    b"\\ude00",
    b"\\ud83dx",
    b"\\ud83d\\n",
    b"\\u00",
    b"\\u00gg",
    b"\\x",
    b"\\",
    b"\\u0000",
    b"\xc3\xa9",
    b"\xe2\x82\xac",
    b"\xf0\x9f\x98\x80",
    b"\xef\xbb\xbf",
    b"\xc3",
    b"\xe2\x82",
    b"\xf0\x9f\x98",
    b"\xa9",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xff",
    b"\0",
    b"\x1f",
    b"\x7f",
    b"\n",
    b"\t",
    b"{}[]:,'/",
];

const PIECES: [&[u8]; 40] = [
    b"",
    b"1",
    b"-1.5e+3",
    b"01",
    b"1.",
    b"1.x",
    b"-",
    b"1e",
    b"+1",
    b"12345678901234567890",
    b"true",
    b"false",
    b"null",
    b"nul",
    b"nulll",
    b"True",
    b"{}",
    b"[]",
    b"[[]]",
    b"{\"a\":1}",
    b"{\"a\":1,\"a\":2}",
    b"{\"a\" :\n1 , \"b\":2}",
    b"{\"alpha\":{\"kind\":[]}}",
    b"{",
    b"}",
    b"]",
    b"[",
    b"[[[[[[[",
    b"[[[[[[[]]]]]]]",
    b"\"\",\"\"",
    b"\"]\"",
    b"\"\\\"]\"",
    b",",
    b":",
    b"'",
    b"/",
    b"\x0b",
    b"\x80",
    b"\xef\xbb\xbf",
    b"\0",
];

fn name(dice: &mut Dice, out: &mut Vec<u8>) {
    const NAMES: [&str; 18] = [
        "alpha",
        "al_pha",
        "kind",
        "list",
        "skill",
        "deep",
        "id",
        "a",
        "b",
        "c",
        "Kind",
        "\\u006bind",
        "\u{212a}ind",
        "\u{e9}t\u{e9}",
        "",
        "a name of some length, longer than a block",
        "fifteen bytes !",
        "sixteen bytes !!",
    ];
    out.push(b'"');
    match dice.roll(3) {
        0 => out.extend((0..dice.roll(20)).map(|_| b"abc"[dice.roll(3)])),
        _ => out.extend(dice.of(&NAMES).as_bytes()),
    }
    out.push(b'"');
}

fn text(dice: &mut Dice, out: &mut Vec<u8>) {
    out.push(b'"');
    for _ in 0..dice.roll(4) {
        match dice.roll(4) {
            0 => out.extend(
                dice.of(&["\\n", "\\\"", "\\\\", "\\u00e9", "\\ud83d\\ude00", "\u{e9}", "\u{20ac}\u{20ac}", "\u{1f600}", "{", "]", ":"])
                    .as_bytes(),
            ),
            _ => out.extend(b"x".repeat(dice.of(&[1, 3, 15, 16, 40, 100]).min(1 + dice.roll(100)))),
        }
    }
    out.push(b'"');
}

fn space(dice: &mut Dice, out: &mut Vec<u8>) {
    if dice.roll(12) == 0 {
        out.extend(dice.of(&[" ", "\n", "\r\n\t", "                     ", "\n        "]).as_bytes());
    }
}

fn value(dice: &mut Dice, depth: usize, out: &mut Vec<u8>) {
    let kind = if depth == 0 { dice.roll(3) } else { dice.roll(7) };
    space(dice, out);
    match kind {
        0..=2 if depth < 4 => {
            let is_object = kind < 2;
            out.push(if is_object { b'{' } else { b'[' });
            let most = if dice.roll(40) == 0 { 45 } else { 6 };
            for index in 0..dice.roll(most) {
                if index > 0 {
                    out.push(b',');
                }
                if is_object {
                    space(dice, out);
                    name(dice, out);
                    space(dice, out);
                    out.push(b':');
                }
                value(dice, depth + 1, out);
                space(dice, out);
            }
            out.push(if is_object { b'}' } else { b']' });
        }
        0..=4 => text(dice, out),
        5 => out.extend(dice.of(&["0", "-1", "12.5", "1e9", "-0.25E-7", "12345678", "123456789012"]).as_bytes()),
        _ => out.extend(dice.of(&["true", "false", "null"]).as_bytes()),
    }
    space(dice, out);
}

fn spoil(dice: &mut Dice, body: &mut Vec<u8>) {
    const TOKENS: [&[u8]; 30] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"",
        b"\\",
        b"\\u00",
        b"\\ud83d",
        b"0",
        b"-",
        b".",
        b"e",
        b"1.",
        b"null",
        b"tru",
        b"\xc3",
        b"\xa9",
        b"\xff",
        b"\xf0\x9f",
        b"\0",
        b"\n",
        b" ",
        b"\x7f",
        b"'",
        b"/",
        b"\"kind\":1,",
        b",\"a\":1",
        b"[[[[[",
    ];
    let at = dice.roll(body.len() + 1);
    match dice.roll(6) {
        0 if at < body.len() => body[at] = u8::try_from(dice.roll(256)).unwrap(),
        1 => drop(body.drain(at..body.len().min(at + 1 + dice.roll(4)))),
        2 => body.truncate(at),
        3 => {
            let copy = body[at..body.len().min(at + 40)].to_vec();
            drop(body.splice(at..at, copy));
        }
        _ => drop(body.splice(at..at, dice.of(&TOKENS).iter().copied())),
    }
}
