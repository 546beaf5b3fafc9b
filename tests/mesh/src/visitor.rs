//! Somebody without a browser, for thousands of users: keeps cookies, follows redirects, and sends the form of a page. What browsers
//! refuse it does not refuse: for that there is [`crate::person`].

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use http::{HeaderName, Method, header};

use crate::http::{Call, Reply};
use crate::user_server::AUTHORIZATION;

/// More hops than that lead nowhere.
const HOPS: usize = 20;

/// One user who visits.
pub struct Visitor {
    user: String,
    ports: BTreeMap<String, u16>,
    /// By host and name.
    cookies: BTreeMap<(String, String), String>,
}

/// A page at which a visitor has come to a stop.
#[derive(Debug)]
pub struct Stop {
    pub url: String,
    pub reply: Reply,
}

impl Visitor {
    /// `user` signs in and allows everything at once at servers that are [`crate::user_server::Options::quick`]. `hosts` are found, in
    /// the clear, at these ports; others are `127.0.0.1` with the port in their URL.
    pub fn new(user: &str, hosts: &[(&str, u16)]) -> Self {
        let ports = hosts.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect();
        Self { user: user.to_owned(), ports, cookies: BTreeMap::new() }
    }

    /// Opens `url`, and where that leads.
    pub async fn open(&mut self, url: &str) -> Result<Stop> {
        self.follow(Method::GET, url.to_owned(), None).await
    }

    /// Sends the form of a page, as it came, and goes where that leads.
    pub async fn send_form(&mut self, page: &Stop) -> Result<Stop> {
        let text = page.reply.text();
        let form = text.split_once("<form").and_then(|(_, rest)| rest.split_once("</form>")).map(|(form, _)| form);
        let form = form.with_context(|| format!("no form in {text}"))?;
        let action = attribute(form, "action").context("a form without action")?;
        let url = absolute(&page.url, &action)?;
        let mut fields = form_urlencoded::Serializer::new(String::new());
        for input in form.split("<input").skip(1) {
            if let (Some(name), Some(value)) = (attribute(input, "name"), attribute(input, "value")) {
                fields.append_pair(&name, &value);
            }
        }
        self.follow(Method::POST, url, Some(fields.finish())).await
    }

    async fn follow(&mut self, method: Method, url: String, form: Option<String>) -> Result<Stop> {
        let (mut method, mut url, mut form) = (method, url, form);
        for _ in 0..HOPS {
            let reply = self.exchange(&method, &url, form.take()).await?;
            let next = match reply.status {
                300..400 => reply.header("location").map(str::to_owned),
                _ => refresh(&reply.text()),
            };
            let Some(next) = next else { return Ok(Stop { url, reply }) };
            (method, url) = (Method::GET, absolute(&url, &next)?);
        }
        bail!("more than {HOPS} redirects, the last to {url}")
    }

    async fn exchange(&mut self, method: &Method, url: &str, form: Option<String>) -> Result<Reply> {
        let (authority, path) = split(url)?;
        let host = authority.split(':').next().unwrap_or_default().to_owned();
        let stated = authority.split_once(':').and_then(|(_, port)| port.parse().ok());
        let port = self.ports.get(&host).copied().or(stated).with_context(|| format!("no port for {url}"))?;
        let mut path = path.to_owned();
        if path.split('?').next() == Some(AUTHORIZATION) {
            let asked = path.split_once('?').map_or("", |(_, query)| query);
            // A server that is quick asks for nothing, but who wants to be asked is.
            let kept = form_urlencoded::parse(asked.as_bytes()).filter(|(name, _)| name != "prompt");
            let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).append_pair("quick_user", &self.user).finish();
            path = format!("{AUTHORIZATION}?{query}");
        }
        let mut call = Call::new(method.clone(), path).host(authority);
        let of_host = self.cookies.iter().filter(|((at, _), _)| *at == host);
        let cookies: Vec<String> = of_host.map(|((_, name), value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            call = call.header("cookie", cookies.join("; "));
        }
        if let Some(form) = form {
            call = call.header("content-type", "application/x-www-form-urlencoded").header("sec-fetch-site", "same-origin").body(form);
        }
        let reply = call.send(port).await?;
        self.keep(&host, &reply, &header::SET_COOKIE);
        Ok(reply)
    }

    fn keep(&mut self, host: &str, reply: &Reply, name: &HeaderName) {
        for cookie in reply.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()) {
            let pair = cookie.split(';').next().and_then(|pair| pair.split_once('='));
            let Some((name, value)) = pair else { continue };
            let key = (host.to_owned(), name.to_owned());
            if value.is_empty() || cookie.to_ascii_lowercase().contains("max-age=0") {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, value.to_owned());
            }
        }
    }
}

/// Authority and path with query of a URL.
fn split(url: &str) -> Result<(&str, &str)> {
    let (_, rest) = url.split_once("://").with_context(|| format!("no URL: {url}"))?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    Ok((&rest[..end], if end == rest.len() { "/" } else { &rest[end..] }))
}

fn absolute(base: &str, url: &str) -> Result<String> {
    if url.contains("://") {
        return Ok(url.to_owned());
    }
    let (scheme, _) = base.split_once("://").context("no URL")?;
    Ok(format!("{scheme}://{}{url}", split(base)?.0))
}

/// Where a page goes on by itself.
fn refresh(page: &str) -> Option<String> {
    let (_, rest) = page.split_once("http-equiv=\"refresh\"")?;
    attribute(rest.split('>').next()?, "content")?.split_once("url=").map(|(_, url)| url.to_owned())
}

/// An attribute of the first tag of `html` that has it, as it is without HTML's escapes.
fn attribute(html: &str, name: &str) -> Option<String> {
    let (_, rest) = html.split_once(&format!(" {name}=\""))?;
    let value = rest.split('"').next()?;
    let plain = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    Some(plain.iter().fold(value.to_owned(), |text, (escape, letter)| text.replace(escape, letter)))
}
