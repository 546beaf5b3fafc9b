//! A call of one's own: what the form says, and the request that it means.

use anyhow::{Result, bail, ensure};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{Call, message_0_3, message_0_3_http, message_1_0, rpc};
use crate::mesh::{AGENT, Mesh};
use crate::tour::Door;
use crate::tour_wallet::Proof;

/// Whom it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum To {
    Expense,
    ExpenseTls,
    Partner,
    ExpenseOut,
    UsersOut,
    /// The partner, as the user who calls.
    UserOut,
    UnknownOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Binding {
    Jsonrpc,
    HttpJson,
}

/// The version that the request names, if it names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Version {
    #[serde(rename = "1.0")]
    V1_0,
    #[serde(rename = "0.3")]
    V0_3,
    #[serde(rename = "9.9")]
    V9_9,
    #[serde(rename = "none")]
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Operation {
    SendMessage,
    SendStreamingMessage,
    GetTask,
    ListTasks,
    CancelTask,
    CreateTaskPushNotificationConfig,
    GetExtendedAgentCard,
    Card,
    DropTables,
}

/// What is shown: one of the mesh's own credentials, or what was pasted.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Shows {
    Own(Proof),
    Pasted(String),
}

/// The form.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    to: To,
    binding: Binding,
    version: Version,
    operation: Operation,
    text: String,
    task: String,
    token: Shows,
}

/// What is to be sent.
pub struct Request {
    pub door: Door,
    /// Without the mesh's own credentials.
    pub call: Call,
    pub proof: Proof,
    pub pasted: Option<String>,
    /// What it is, and who sends it, in a few words.
    pub what: String,
    pub who: String,
}

const TEXT: usize = 2000;
const TOKEN: usize = 20_000;

impl Form {
    /// The request.
    ///
    /// # Errors
    /// If a field has what cannot be sent.
    pub fn request(self, mesh: &Mesh) -> Result<Request> {
        ensure!(self.text.chars().count() <= TEXT, "the text has more than {TEXT} letters");
        let is_id = self.task.len() <= 100 && self.task.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        ensure!(is_id, "a task's id has letters, digits, - and _ alone");
        let (door, base, host) = match self.to {
            To::Expense => (Door::Inbound, AGENT, None),
            To::ExpenseTls => (Door::Tls, AGENT, None),
            To::Partner => (Door::Outbound, "", Some(mesh.partner_host())),
            To::ExpenseOut => (Door::Outbound, AGENT, Some(mesh.expense_host())),
            To::UsersOut => (Door::Outbound, AGENT, Some(mesh.users_host())),
            To::UserOut => (Door::Users, "", Some("hr.example.com")),
            To::UnknownOut => (Door::Outbound, "", Some("unknown.example.com")),
        };
        let mut call = self.call(base);
        call = match self.version {
            Version::V1_0 => call.version("1.0"),
            Version::V0_3 => call.version("0.3"),
            Version::V9_9 => call.version("9.9"),
            Version::None => call,
        };
        call = host.into_iter().fold(call, |call, host| call.host(host));
        let (proof, pasted) = match self.token {
            Shows::Own(proof) => (proof, None),
            Shows::Pasted(token) => (Proof::None, Some(pasted(&token)?)),
        };
        if proof == Proof::Certificate && door != Door::Tls {
            bail!("a certificate needs TLS: choose the agent over TLS");
        }
        if let Some(token) = &pasted {
            call = call.header("authorization", format!("Bearer {token}"));
        }
        let who = if pasted.is_some() { "a pasted token" } else { who(proof) };
        Ok(Request { door, call, proof, what: format!("yours: {:?}", self.operation), who: who.to_owned(), pasted })
    }

    /// Without version, host and credential.
    fn call(&self, base: &str) -> Call {
        let root = if base.is_empty() { "/" } else { base };
        if self.operation == Operation::Card {
            return Call::get(format!("{base}/.well-known/agent-card.json"));
        }
        let is_old = matches!(self.version, Version::V0_3 | Version::None);
        let task = if self.task.is_empty() { "1" } else { &self.task };
        match self.binding {
            Binding::Jsonrpc => {
                let (method, params) = self.method(is_old, task);
                Call::post(root, &rpc(json!("page"), method, params))
            }
            Binding::HttpJson => {
                let (verb, route, body) = self.route(is_old, task);
                let path = format!("{base}{}{route}", if is_old { "/v1" } else { "" });
                match body {
                    Some(body) => Call::post(path, &body),
                    None => Call::new(verb, path),
                }
            }
        }
    }

    fn method(&self, is_old: bool, task: &str) -> (&'static str, Value) {
        let message = || if is_old { message_0_3(&self.text) } else { message_1_0(&self.text) };
        let id = || json!({"id": task});
        let (new, old, params) = match self.operation {
            Operation::SendMessage => ("SendMessage", "message/send", message()),
            Operation::SendStreamingMessage => ("SendStreamingMessage", "message/stream", message()),
            Operation::GetTask => ("GetTask", "tasks/get", id()),
            Operation::ListTasks => ("ListTasks", "tasks/list", json!({})),
            Operation::CancelTask => ("CancelTask", "tasks/cancel", id()),
            Operation::CreateTaskPushNotificationConfig => {
                let params = match is_old {
                    true => json!({"taskId": task, "pushNotificationConfig": {"url": HOOK}}),
                    false => json!({"taskId": task, "id": "c", "url": HOOK}),
                };
                ("CreateTaskPushNotificationConfig", "tasks/pushNotificationConfig/set", params)
            }
            Operation::GetExtendedAgentCard => ("GetExtendedAgentCard", "agent/getAuthenticatedExtendedCard", json!({})),
            Operation::DropTables | Operation::Card => ("DropTables", "DropTables", json!({})),
        };
        (if is_old { old } else { new }, params)
    }

    fn route(&self, is_old: bool, task: &str) -> (Method, String, Option<Value>) {
        let message = || Some(if is_old { message_0_3_http(&self.text) } else { message_1_0(&self.text) });
        match self.operation {
            Operation::SendMessage => (Method::POST, "/message:send".to_owned(), message()),
            Operation::SendStreamingMessage => (Method::POST, "/message:stream".to_owned(), message()),
            Operation::GetTask => (Method::GET, format!("/tasks/{task}"), None),
            Operation::ListTasks => (Method::GET, "/tasks".to_owned(), None),
            Operation::CancelTask => (Method::POST, format!("/tasks/{task}:cancel"), Some(json!({}))),
            Operation::CreateTaskPushNotificationConfig => {
                let body = if is_old { json!({"config": {"pushNotificationConfig": {"url": HOOK}}}) } else { json!({"url": HOOK}) };
                (Method::POST, format!("/tasks/{task}/pushNotificationConfigs"), Some(body))
            }
            Operation::GetExtendedAgentCard => (Method::GET, if is_old { "/card" } else { "/extendedAgentCard" }.to_owned(), None),
            Operation::DropTables | Operation::Card => (Method::POST, "/tables:drop".to_owned(), Some(json!({}))),
        }
    }
}

/// Where notifications would go: the agent of this mesh has no such target.
const HOOK: &str = "https://hooks.example.com/x";

/// What was pasted: visible ASCII, without `Bearer` in front.
fn pasted(text: &str) -> Result<String> {
    let text = text.trim();
    let token = text.strip_prefix("Bearer ").unwrap_or(text).trim();
    ensure!(!token.is_empty(), "paste a token, or choose another");
    ensure!(token.len() <= TOKEN, "the token has more than {TOKEN} letters");
    ensure!(token.bytes().all(|byte| byte.is_ascii_graphic()), "a token has no spaces and no letters beyond ASCII");
    Ok(token.to_owned())
}

fn who(proof: Proof) -> &'static str {
    match proof {
        Proof::None => "no credential",
        Proof::Good => "good token",
        Proof::OtherAgent => "token for another agent",
        Proof::Expired => "token that ran out",
        Proof::NoScope => "token without the scope",
        Proof::Guest => "guest, who may not cancel",
        Proof::ForPartner => "token for the partner",
        Proof::User => "a user's token",
        Proof::Ann => "user ann",
        Proof::Bob => "user bob",
        Proof::ApiKey => "an API key",
        Proof::Certificate => "a client certificate",
        Proof::Own | Proof::OwnToken => "credentials of its own",
    }
}
