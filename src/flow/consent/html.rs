//! HTML as it is written: markup is a part of this program (`&'static str`), and whatever else goes in is escaped.

use crate::wire::time::UnixTime;

/// The style of all pages. [`STYLE_HASH`] names it in the content security policy.
pub const STYLE: &str = "\
:root{color-scheme:light dark;--back:#f3f4f6;--card:#fff;--ink:#1b2027;--soft:#4f5965;--line:#d3d8de;--go:#0b57a4;--on:#fff;--good:#1a7f4b;--bad:#b45309}
@media(prefers-color-scheme:dark){:root{--back:#13161a;--card:#1d2228;--ink:#e8ebef;--soft:#aab4bf;--line:#3b444e;--go:#93c5fd;--on:#0c1c2e;--good:#4ade80;--bad:#fbbf24}}
*{box-sizing:border-box}
body{margin:0;padding:clamp(.5rem,6vw,4rem) clamp(.5rem,4vw,1.5rem);background:var(--back);color:var(--ink);font:1rem/1.55 system-ui,sans-serif}
main{max-width:35rem;margin:auto;padding:clamp(1rem,5vw,2.25rem);background:var(--card);border:1px solid var(--line);border-top:.25rem solid var(--go);border-radius:.5rem;overflow-wrap:anywhere}
main.good{border-top-color:var(--good)}
main.bad{border-top-color:var(--bad)}
h1{margin:0 0 1rem;font-size:1.6rem;line-height:1.25}
h2{margin:1.75rem 0 .5rem;font-size:1.05rem}
p,ol,ul,dl,form,blockquote{margin:0 0 1rem}
ol,ul{padding-left:1.4rem}
li{margin:.25rem 0}
dl{padding:1rem;border:1px solid var(--line);border-radius:.5rem}
dt{color:var(--soft);font-size:.9rem}
dd{margin:0 0 .75rem}
dd:last-child,dd ul,main>:last-child{margin-bottom:0}
.small{color:var(--soft);font-size:.9rem}
code{font-family:ui-monospace,monospace;font-size:.9rem}
blockquote{padding-left:1rem;border-left:.25rem solid var(--line)}
button,a.go{display:inline-block;padding:.7rem 1.3rem;border:2px solid transparent;border-radius:.5rem;background:var(--go);color:var(--on);font:inherit;font-weight:600;text-decoration:none;cursor:pointer}
:focus-visible{outline:3px solid var(--ink);outline-offset:3px}
";

/// The hash of [`STYLE`] as `style-src` names it.
pub const STYLE_HASH: &str = "sha256-iFDESqYLW8A7667YM97qhwODA4MLV2nt3YrqN0lPiwM=";

/// A page that grows.
#[derive(Debug, Default)]
pub struct Html {
    text: String,
}

impl Html {
    /// The beginning of a page of `host`, to the end of its heading. `tone` is a class of the style, or empty.
    #[must_use]
    pub fn begin(title: &'static str, tone: &'static str, host: &str, refresh: Option<&str>) -> Self {
        let mut page = Self { text: String::with_capacity(6000) };
        page.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        page.raw("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n");
        if let Some(url) = refresh {
            page.raw("<meta http-equiv=\"refresh\" content=\"0;url=").text(url).raw("\">\n");
        }
        page.raw("<title>").raw(title).raw(" · ").text(host).raw("</title>\n<style>").raw(STYLE).raw("</style>\n</head>\n<body>\n");
        page.raw("<main class=\"").raw(tone).raw("\">\n<p class=\"small\">").text(host).raw("</p>\n<h1>").raw(title).raw("</h1>\n");
        page
    }

    /// The whole page.
    #[must_use]
    pub fn end(mut self) -> String {
        self.raw("</main>\n</body>\n</html>\n");
        self.text
    }

    /// Adds markup.
    pub fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.text.push_str(markup);
        self
    }

    /// Adds text, for what stands between elements and in quoted attributes.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bounded(text, usize::MAX)
    }

    /// Adds the first `most` characters of a text. Controls, and what changes the order of letters or cannot be seen, do not come along.
    pub fn bounded(&mut self, text: &str, most: usize) -> &mut Self {
        for (count, letter) in text.chars().filter_map(shown).enumerate() {
            if count >= most {
                self.text.push('…');
                break;
            }
            match letter {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '"' => self.text.push_str("&quot;"),
                '\'' => self.text.push_str("&#39;"),
                other => self.text.push(other),
            }
        }
        self
    }

    /// Adds a name that others chose: it stands out, has an end, and does not change the direction of what is around it.
    pub fn name(&mut self, name: &str) -> &mut Self {
        self.raw("<strong><bdi>").bounded(name, NAME).raw("</bdi></strong>")
    }

    /// Adds a word of a protocol.
    pub fn code(&mut self, word: &str) -> &mut Self {
        self.raw("<code><bdi>").bounded(word, NAME).raw("</bdi></code>")
    }

    /// Adds `markup` with `name` in place of each `{}`.
    pub fn fill(&mut self, markup: &'static str, name: &str) -> &mut Self {
        for (index, part) in markup.split("{}").enumerate() {
            if index > 0 {
                self.name(name);
            }
            self.raw(part);
        }
        self
    }

    /// Adds a time of the day: `03:04 UTC`.
    pub fn time(&mut self, time: UnixTime) -> &mut Self {
        let text = time.rfc3339();
        self.raw("<time datetime=\"").text(&text).raw("\">").text(text.get(11..16).unwrap_or_default()).raw("&nbsp;UTC</time>")
    }

    /// Adds a time with its date: `2026-01-02 03:04 UTC`.
    pub fn time_and_date(&mut self, time: UnixTime) -> &mut Self {
        let text = time.rfc3339();
        self.text(text.get(..10).unwrap_or_default()).raw(" ").time(time)
    }

    /// Adds a number.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.text(&number.to_string())
    }
}

/// The longest name or word that is shown, in characters: longer than any host or usual scope.
const NAME: usize = 256;

/// What is shown of a character that others chose: a blank for each kind of line end, nothing for controls, for what changes the direction of
/// text (the bidi controls of UAX #9), and for what cannot be seen (format characters that no script needs).
fn shown(letter: char) -> Option<char> {
    match letter {
        '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => Some(' '),
        '\0'..='\u{1f}'
        | '\u{7f}'..='\u{9f}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => None,
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::{Html, UnixTime};

    fn written(write: impl FnOnce(&mut Html) -> &mut Html) -> String {
        let mut page = Html::default();
        write(&mut page);
        page.text
    }

    #[test]
    fn text_stays_text_in_elements_and_attributes() {
        for (hostile, harmless) in [
            ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
            ("\"><img src=x onerror=1>", "&quot;&gt;&lt;img src=x onerror=1&gt;"),
            ("' onfocus='x", "&#39; onfocus=&#39;x"),
            ("&lt;b&gt; &amp; &#60;", "&amp;lt;b&amp;gt; &amp;amp; &amp;#60;"),
            ("</title></style><!--", "&lt;/title&gt;&lt;/style&gt;&lt;!--"),
            ("a\r\nb\u{2028}c\u{2029}d\te\u{85}f", "a  b c d e f"),
            ("nul\0 esc\u{1b}[31m c1\u{9b} del\u{7f}", "nul esc[31m c1 del"),
            ("a\u{202a}b\u{202b}c\u{202c}d\u{202d}e\u{202e}f", "abcdef"),
            ("a\u{2066}b\u{2067}c\u{2068}d\u{2069}e\u{200e}f\u{200f}g\u{61c}h", "abcdefgh"),
            ("re\u{200b}a\u{ad}d\u{feff}\u{2060}\u{e0041}\u{fff9}", "read"),
            ("Ünï 日本 العربية 👩\u{200d}💻 \u{fffd}", "Ünï 日本 العربية 👩\u{200d}💻 \u{fffd}"),
        ] {
            assert_eq!(written(|page| page.text(hostile)), harmless, "{hostile:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_no_danger() {
        let odd = String::from_utf8_lossy(b"\xff\xfe<\xc0\xbc>\xed\xa0\x80").into_owned();
        assert_eq!(written(|page| page.text(&odd)), format!("{0}{0}&lt;{0}{0}&gt;{0}{0}{0}", '\u{fffd}'));
    }

    #[test]
    fn long_text_ends() {
        assert_eq!(written(|page| page.bounded("abc", 3)), "abc");
        assert_eq!(written(|page| page.bounded("\u{202e}a\0bcd", 3)), "abc…");
        assert_eq!(written(|page| page.bounded("<<<<", 2)), "&lt;&lt;…");
        assert_eq!(written(|page| page.bounded(&"\0".repeat(1000), 1)), "");
        assert_eq!(written(|page| page.name(&"é".repeat(1000))).chars().filter(|letter| *letter == 'é').count(), 256);
    }

    #[test]
    fn names_are_put_where_they_belong() {
        assert_eq!(written(|page| page.fill("At {}.", "<a>")), "At <strong><bdi>&lt;a&gt;</bdi></strong>.");
        assert_eq!(written(|page| page.fill("None.", "a")), "None.");
        // A name that looks like a place is none.
        assert_eq!(written(|page| page.fill("{} and", "{}")), "<strong><bdi>{}</bdi></strong> and");
    }

    #[test]
    fn times_and_numbers_are_written_for_people() {
        let time = UnixTime::from_secs(68_169_599);
        assert_eq!(written(|page| page.time(time)), "<time datetime=\"1972-02-28T23:59:59.000000Z\">23:59&nbsp;UTC</time>");
        assert!(written(|page| page.time_and_date(time)).starts_with("1972-02-28 <time"));
        assert_eq!(written(|page| page.number(60)), "60");
    }
}
