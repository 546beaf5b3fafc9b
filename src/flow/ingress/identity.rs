//! What the agent is told of a request: who sends it, who vouches for that, and what it asks for. Only these headers say so, for
//! what a client sends under their names is gone already. No two callers make the same lines.

use super::Inbound;
use crate::flow::authorize::Admitted;
use crate::flow::event::{Effect, Value};
use crate::flow::runtime::Context;
use crate::wire::header::safe_value;

impl Inbound {
    /// Sends the head on, with what is known by now.
    pub(super) fn send_on(&mut self, context: &Context<'_>, effects: &mut Vec<Effect>) {
        effects.append(&mut self.headers);
        let config = context.runtime.config();
        let mut set = |name: &'static str, value: &str| {
            effects.push(Effect::SetHeader(name.into(), Value::Text(safe_value(value))));
        };
        set("x-attache-agent", config.agents.get(self.agent).map(|agent| agent.name.as_str()).unwrap_or_default());
        if let Some(operation) = self.operation {
            set("x-attache-operation", operation.name());
        }
        let Some(Admitted { caller, .. }) = self.identity.admitted() else { return };
        let voucher = caller.origin.voucher(config).map(|voucher| voucher.name());
        let named = [
            ("x-attache-issuer", voucher),
            ("x-attache-tenant", caller.tenant.as_deref()),
            ("x-attache-subject", caller.subject.as_deref()),
            ("x-attache-client", caller.client.as_deref()),
            ("x-attache-kind", Some(caller.kind.as_str())),
            ("x-attache-actor", caller.actors.first().map(String::as_str)),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                set(name, value);
            }
        }
        // Scopes have no blanks in them (RFC 6749 section 3.3).
        set("x-attache-scopes", &caller.scopes.join(" "));
    }
}
