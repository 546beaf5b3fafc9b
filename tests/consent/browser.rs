//! A browser: its cookies, and the forms that it sends.

use super::{Answer, Land, field};
use std::collections::BTreeMap;

/// A browser.
#[derive(Clone, Default)]
pub struct Browser {
    cookies: BTreeMap<String, String>,
    headers: Vec<(String, String)>,
}

impl Browser {
    /// From now on it sends this header, too, or in place of its own.
    pub fn header(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    fn ask(&mut self, land: &mut Land, method: &str, path: &str, body: &str) -> Answer {
        let mut headers: Vec<(String, String)> =
            [(":method", method), (":path", path), (":authority", "consent.example")].map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec();
        if !body.is_empty() {
            headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
        }
        if !self.cookies.is_empty() {
            let list: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            headers.push(("cookie".to_owned(), list.join("; ")));
        }
        for (name, value) in &self.headers {
            headers.retain(|(own, _)| own != name);
            headers.push((name.clone(), value.clone()));
        }
        let answer = land.request(&headers, body);
        if let Answer::Reply(reply) = &answer {
            for (_, line) in reply.headers.iter().filter(|(name, _)| *name == "set-cookie") {
                let (pair, rest) = line.split_once(';').unwrap();
                let (name, value) = pair.split_once('=').unwrap();
                match rest.contains("Max-Age=0") {
                    true => drop(self.cookies.remove(name)),
                    false => drop(self.cookies.insert(name.to_owned(), value.to_owned())),
                }
            }
        }
        answer
    }

    /// Opens a URL of the consent host, or a path of it.
    pub fn get(&mut self, land: &mut Land, url: &str) -> Answer {
        let path = url.strip_prefix("https://consent.example").unwrap_or(url);
        self.ask(land, "GET", path, "")
    }

    /// Sends a form.
    pub fn post(&mut self, land: &mut Land, fields: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.ask(land, "POST", "/consent/start", &body)
    }

    /// Presses the button of a page.
    pub fn submit(&mut self, land: &mut Land, page: &Answer) -> Answer {
        let (link, csrf) = (field(page, "link"), field(page, "csrf"));
        self.post(land, &[("link", &link), ("csrf", &csrf)])
    }
}
