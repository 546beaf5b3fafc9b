//! Persons with browsers (headless Chromium): `peers/person.mjs`. Each has cookies of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::http::Call;
use crate::process::{self, Process};
use crate::{peer, place};

const START: Duration = Duration::from_secs(240);

/// One Chromium, which persons share and in which they share nothing.
pub struct Browser {
    process: Arc<Process>,
    port: u16,
}

impl Browser {
    /// Starts it. Each of `hosts`, at port 443, is the port beside it; `trusted` are servers' certificates (`Identity::file`): those of
    /// no other server over TLS are trusted.
    pub async fn start(hosts: &[(&str, u16)], trusted: &[PathBuf]) -> Result<Self> {
        let mut command = peer::node("person.mjs");
        for (host, port) in hosts {
            command.args(["--map", &format!("{host}={port}")]);
        }
        for file in trusted {
            command.arg("--trust").arg(file);
        }
        let _turn = process::turn().await;
        let process = process::spawn(&place::unique("person"), command)?;
        let port = process.ready_port(START).await?;
        Ok(Self { process, port })
    }

    /// Somebody: the same for the same name.
    pub fn person(&self, name: &str) -> Person<'_> {
        Person { browser: self, name: name.to_owned(), tab: "main".to_owned() }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It is not killed: it ends Chromium and removes its profile.
        self.process.stop();
    }
}

/// A person at one of their tabs.
pub struct Person<'a> {
    browser: &'a Browser,
    name: String,
    tab: String,
}

impl Person<'_> {
    /// The same person at another tab.
    pub fn tab(&self, tab: &str) -> Self {
        Self { browser: self.browser, name: self.name.clone(), tab: tab.to_owned() }
    }

    /// Does a step of `peers/person.mjs`: `{"do", …}`. It may fail: [`Page::error`].
    pub async fn attempt(&self, step: &Value) -> Result<Page> {
        let mut step = step.clone();
        step["person"] = json!(self.name);
        step["tab"] = json!(self.tab);
        let reply = Call::post("/", &step).send(self.browser.port).await?;
        Ok(Page(reply.json()))
    }

    /// The same where it must not fail.
    pub async fn step(&self, step: &Value) -> Result<Page> {
        let page = self.attempt(step).await?;
        match page.error() {
            Some(error) => bail!("{} cannot {step}: {error}\n{}", self.name, page.0),
            None => Ok(page),
        }
    }

    /// Goes to `url`.
    pub async fn open(&self, url: &str) -> Result<Page> {
        self.step(&json!({"do": "open", "url": url})).await
    }

    /// The same, but does not go to a page whose URL begins with `prefix`: that URL is the value.
    pub async fn open_until(&self, url: &str, prefix: &str) -> Result<String> {
        self.held(&json!({"do": "open", "url": url, "hold": prefix})).await
    }

    /// Presses the button, or follows the link, with this text.
    pub async fn press(&self, button: &str) -> Result<Page> {
        self.step(&json!({"do": "press", "button": button})).await
    }

    /// The same, but does not go to a page whose URL begins with `prefix`. That URL is the value: with a code that was not used yet.
    pub async fn press_until(&self, button: &str, prefix: &str) -> Result<String> {
        self.held(&json!({"do": "press", "button": button, "hold": prefix})).await
    }

    async fn held(&self, step: &Value) -> Result<String> {
        let page = self.step(step).await?;
        page.held().map(str::to_owned).with_context(|| format!("{step} did not lead there: {}", page.0))
    }

    /// Writes into fields of the page, by their names.
    pub async fn fill(&self, fields: &Value) -> Result<Page> {
        self.step(&json!({"do": "fill", "fields": fields})).await
    }

    /// Signs in at the page of a user server, which must be there.
    pub async fn sign_in(&self, account: &str) -> Result<Page> {
        self.step(&json!({"do": "sign_in", "account": account})).await
    }

    /// Allows what the page of a user server asks for.
    pub async fn allow(&self) -> Result<Page> {
        self.press("Allow").await
    }

    /// Denies it.
    pub async fn deny(&self) -> Result<Page> {
        self.press("Deny").await
    }

    /// What the page says now.
    pub async fn see(&self) -> Result<Page> {
        self.step(&json!({"do": "see"})).await
    }

    /// All cookies of the person.
    pub async fn cookies(&self) -> Result<Vec<Value>> {
        let told = self.step(&json!({"do": "cookies"})).await?;
        told.0["cookies"].as_array().cloned().context("no cookies")
    }

    /// Puts cookies there: `[{name, value, url, …}]`.
    pub async fn plant(&self, cookies: &Value) -> Result<()> {
        self.step(&json!({"do": "plant", "cookies": cookies})).await.map(drop)
    }

    /// What a script of the page gives.
    pub async fn evaluate(&self, script: &str) -> Result<Value> {
        Ok(self.step(&json!({"do": "evaluate", "script": script})).await?.0["value"].clone())
    }

    /// Leaves a picture of the page in `file` (PNG).
    pub async fn screenshot(&self, file: &Path, width: u32, height: u32) -> Result<()> {
        let step = json!({"do": "screenshot", "file": file.to_string_lossy(), "width": width, "height": height});
        self.step(&step).await.map(drop)
    }

    /// Forgets the person, with all cookies.
    pub async fn leave(&self) -> Result<()> {
        self.step(&json!({"do": "leave"})).await.map(drop)
    }
}

/// What a page says after a step: see the head of `peers/person.mjs`.
#[derive(Debug)]
pub struct Page(pub Value);

impl Page {
    fn text_of(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    /// Why the step failed.
    pub fn error(&self) -> Option<&str> {
        self.0["error"].as_str()
    }

    /// Where the browser is.
    pub fn url(&self) -> &str {
        self.text_of("url")
    }

    /// The first heading.
    pub fn heading(&self) -> &str {
        self.text_of("h1")
    }

    /// All text that can be seen.
    pub fn text(&self) -> &str {
        self.text_of("text")
    }

    /// The status of the page that the step led to.
    pub fn status(&self) -> Option<u64> {
        self.0["status"].as_u64()
    }

    /// A header of that page.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0["headers"][name].as_str()
    }

    /// Where the step would have led.
    pub fn held(&self) -> Option<&str> {
        self.0["held"].as_str()
    }

    /// What its buttons say.
    pub fn buttons(&self) -> Vec<&str> {
        self.0["buttons"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Each navigation of the step: `{method, url, status, referer, headers}`.
    pub fn hops(&self) -> &[Value] {
        self.0["hops"].as_array().map_or(&[], Vec::as_slice)
    }

    /// Errs if the browser has found any fault with the page: on its console, of its content security policy, of its requests, of a
    /// certificate.
    pub fn ensure_clean(&self) -> Result<()> {
        let none = |name: &str| self.0[name].as_array().is_none_or(Vec::is_empty);
        ensure!(none("faults") && none("violations"), "{} {}", self.0["faults"], self.0["violations"]);
        Ok(())
    }
}

/// The parameters in the query of a URL.
pub fn parameters(url: &str) -> BTreeMap<String, String> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}
