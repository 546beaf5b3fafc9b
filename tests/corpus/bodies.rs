//! Bodies and the verdicts on them; those of `jsonrpc.json`, what the reader makes of one, and a generator of others.

use attache::protocol::envelope::{EnvelopeReader, Questions};
use attache::wire::scan::{Asked, Keep, Limits, Step};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;

/// A case as it is written.
pub type Case = Map<String, Value>;

fn path(file: &str) -> PathBuf {
    PathBuf::from("tests/corpus").join(file)
}

pub fn read(file: &str) -> Vec<Case> {
    serde_json::from_str(&fs::read_to_string(path(file)).unwrap()).unwrap()
}

pub fn cases() -> Vec<Case> {
    read("jsonrpc.json")
}

/// Each of at least `least` cases in `file` has its verdict, unless `BLESS` is there to rewrite them. `judge` is given the
/// body in chunks.
pub fn review(file: &str, least: usize, judge: impl Fn(&Case, &[&[u8]]) -> Value) {
    let mut cases = read(file);
    let mut wrong = Vec::new();
    let bless = std::env::var_os("BLESS").is_some();
    for case in &mut cases {
        let verdict = judge(case, &[&body(case)]);
        if bless {
            case.insert("verdict".into(), verdict);
        } else if case.get("verdict") != Some(&verdict) {
            wrong.push(format!("{}: expected {:?}, got {verdict}", case["name"], case.get("verdict")));
        }
    }
    if bless {
        let lines: Vec<String> = cases.iter().map(|case| format!("  {}", serde_json::to_string(case).unwrap())).collect();
        fs::write(path(file), format!("[\n{}\n]\n", lines.join(",\n"))).unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.len() >= least);
}

/// No verdict on a case in `file` depends on the chunks.
pub fn review_chunks(file: &str, judge: impl Fn(&Case, &[&[u8]]) -> Value) {
    for case in read(file) {
        let body = body(&case);
        let whole = judge(&case, &[&body]);
        for size in [1, 2, 3, 8, 9] {
            assert_eq!(judge(&case, &body.chunks(size).collect::<Vec<_>>()), whole, "{} by {size}", case["name"]);
        }
        // Long bodies are long because something repeats.
        for at in (0..=body.len()).step_by(if body.len() > 1500 { 17 } else { 1 }) {
            let (before, behind) = body.split_at(at);
            assert_eq!(judge(&case, &[before, behind]), whole, "{} cut at {at}", case["name"]);
        }
    }
}

/// A case's body: as text, in hexadecimal digits, or as pieces that repeat.
pub fn body(case: &Case) -> Vec<u8> {
    if let Some(text) = case.get("body") {
        text.as_str().unwrap().as_bytes().to_vec()
    } else if let Some(pieces) = case.get("pieces") {
        let pieces: Vec<(String, usize)> = serde_json::from_value(pieces.clone()).unwrap();
        pieces.iter().map(|(text, times)| text.repeat(*times)).collect::<String>().into_bytes()
    } else {
        let digits = case["hex"].as_str().unwrap().as_bytes();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }
}

/// What rules could ask for.
pub struct Rules {
    pub questions: Rc<Questions>,
    pub url: Asked,
    pub part: Asked,
    kind: Asked,
}

impl Default for Rules {
    fn default() -> Self {
        let mut questions = Questions::default();
        let push = ["taskPushNotificationConfig", "task_push_notification_config", "pushNotificationConfig", "push_notification_config"];
        let url = [Step::member(&["configuration"]), Step::member(&push), Step::member(&["url"])];
        let part = [Step::member(&["message"]), Step::member(&["parts"]), Step::Element];
        let url = questions.ask(&url, Keep::Text);
        let kind = questions.ask(&[part.as_slice(), &[Step::member(&["kind"])]].concat(), Keep::Text);
        let part = questions.ask(&part, Keep::Kind);
        questions.ask(&[Step::member(&["metadata"]), Step::key("skill")], Keep::Text);
        Self { questions: Rc::new(questions), url, part, kind }
    }
}

/// What the reader makes of a body that comes in `chunks`.
pub fn verdict<'a>(rules: &Rules, chunks: impl Iterator<Item = &'a [u8]>) -> Value {
    let mut reader = EnvelopeReader::new(Limits::default(), Rc::clone(&rules.questions));
    let mut chunks = chunks;
    match chunks.try_for_each(|chunk| reader.feed(chunk)).and_then(|()| reader.end()) {
        Err(error) => json!({ "refused": error.to_string(), "id": error.id().as_json() }),
        Ok(envelope) => {
            let mut verdict = json!({ "method": envelope.method, "id": envelope.id.as_json() });
            let texts = |asked| reader.findings(asked).values.iter().map(|value| value.text.as_deref()).collect::<Vec<_>>();
            for (name, asked) in [("url", rules.url), ("kind", rules.kind)] {
                if !texts(asked).is_empty() {
                    verdict[name] = json!(texts(asked));
                }
            }
            if reader.findings(rules.part).count > 0 {
                verdict["parts"] = json!(reader.findings(rules.part).count);
            }
            verdict
        }
    }
}

/// Numbers that look random and are the same in every run (xorshift).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below.max(1) as u64).unwrap()
    }

    /// `bytes` in pieces.
    pub fn cut<'a>(&mut self, mut bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let most = 1 + self.roll(40);
        let mut chunks = Vec::new();
        while !bytes.is_empty() {
            let (chunk, rest) = bytes.split_at(self.roll(most + 1).min(bytes.len()));
            chunks.push(chunk);
            bytes = rest;
        }
        chunks
    }

    /// A body that no one wrote: one of `bodies` with a few changes.
    pub fn mutate(&mut self, bodies: &[Vec<u8>]) -> Vec<u8> {
        const TOKENS: [&[u8]; 24] = [
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
            b"\\ude00",
            b"0",
            b"-",
            b".",
            b"e",
            b"null",
            b"\"method\":",
            b"\"id\":1,",
            b",\"method\":\"CancelTask\"",
            b"\xc3",
            b"\xa9",
            b"\xf0\x9f\x98\x80",
            b"\0",
            b" ",
        ];
        let mut body = bodies[self.roll(bodies.len())].clone();
        for _ in 0..=self.roll(3) {
            let (at, to) = (self.roll(body.len() + 1), self.roll(body.len() + 1));
            let (at, to) = (at.min(to), at.max(to));
            match self.roll(6) {
                0 if at < body.len() => body[at] = u8::try_from(self.roll(256)).unwrap(),
                1 => drop(body.drain(at..to.min(at + 8))),
                2 => drop(body.splice(at..at, TOKENS[self.roll(TOKENS.len())].iter().copied())),
                3 => {
                    let copy = body[at..to].to_vec();
                    drop(body.splice(to..to, copy));
                }
                4 => {
                    let other = &bodies[self.roll(bodies.len())];
                    let from = self.roll(other.len() + 1);
                    body.truncate(at);
                    body.extend_from_slice(&other[from..]);
                }
                _ => body.truncate(to.max(body.len().saturating_sub(4))),
            }
        }
        body.truncate(4096);
        body
    }
}
