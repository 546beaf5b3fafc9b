//! Whose grants are asked for: those of the user who calls, or of another, whom an operator names in the query. For anyone else that query
//! is not there.

use super::form::{Parameters, ParametersError};
use crate::credential::user::User;
use crate::flow::callers::authorize::subject;
use crate::flow::event::Effect;
use crate::flow::event::note::Note;
use crate::flow::event::reason::Reason;
use crate::flow::refusal::denial::Denial;
use crate::flow::setup::runtime::Context;
use crate::flow::supply::obtain::acting_user;
use crate::identity::{Caller, Kind, Origin};
use crate::policy::access::meets_any;
use serde_json::{Map, Value};
use std::rc::Rc;

/// A query, as far as there is one.
pub(super) type Query = Option<Result<Parameters, ParametersError>>;

/// A user whose grants are served.
pub(super) struct Whose {
    pub user: User,
    /// What operators read of whom they named.
    pub named: Option<Map<String, Value>>,
}

/// Whose grants `caller` asks for by `query`.
///
/// # Errors
/// The refusal.
pub(super) fn whose(caller: &Caller, query: &Query, context: &Context<'_>, effects: &mut Vec<Effect>) -> Result<Whose, Denial> {
    let config = context.runtime.config();
    let operators = config.consent.as_ref().and_then(|consent| consent.operators.as_ref());
    let is_operator = operators.is_some_and(|operators| meets_any(&operators.require, &subject(caller, config)).is_ok());
    if let Some(query) = query.as_ref().filter(|_| is_operator) {
        return named(query, context, effects);
    }
    let user = acting_user(caller, config).ok_or_else(|| Denial::new(Reason::UserRequired))?;
    Ok(Whose { user, named: None })
}

/// The user whom `query` names: `issuer`, by its name in the configuration, `user`, and `tenant` if the issuer has several.
fn named(query: &Result<Parameters, ParametersError>, context: &Context<'_>, effects: &mut Vec<Effect>) -> Result<Whose, Denial> {
    let wrong = |what: &str| Denial::new(Reason::ParamsMalformed).advise(format!("Name a user by ?issuer=…&user=…: {what}."));
    let query = query.as_ref().map_err(|error| wrong(&error.to_string()))?;
    // What is no UTF-8 is nobody's name, whatever it is made to.
    let text = |name: &str| query.get(name).filter(|text| !text.contains(char::REPLACEMENT_CHARACTER));
    let issuers = context.runtime.config().issuers.iter().enumerate();
    let issuer = text("issuer").and_then(|name| issuers.into_iter().find(|(_, issuer)| issuer.name == name));
    let (index, issuer) = issuer.ok_or_else(|| wrong("issuer is the name of one in the configuration"))?;
    let subject = text("user").ok_or_else(|| wrong("user is the subject of their tokens"))?.to_owned();
    let tenant = text("tenant").map(str::to_owned);
    if query.get("tenant").is_some() != tenant.is_some() {
        return Err(wrong("tenant is no UTF-8"));
    }
    let about = Caller { subject: Some(subject.clone()), tenant: tenant.clone(), kind: Kind::User, ..Caller::of(Origin::Issuer(index)) };
    effects.push(Effect::Note(Note::About(Rc::new(about))));
    let members = [("issuer", Some(&issuer.name)), ("tenant", tenant.as_ref()), ("subject", Some(&subject))];
    let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?.as_str()))));
    let members = members.collect();
    let user = User { issuer: issuer.issuer.clone(), tenant, subject, client: None };
    Ok(Whose { user, named: Some(members) })
}
