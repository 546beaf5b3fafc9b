//! What a user reads where it does not go on: what happened, who can mend it, and what to do. Rows of text, a row for each case.

/// What went wrong at an authorization server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault<'a> {
    /// It said so: `error`, and `error_description` if there is one, of its answer to the browser (RFC 6749 section 4.1.2.1, OpenID Connect Core 3.1.2.6, RFC 8707)
    /// or of its token endpoint (RFC 6749 section 5.2).
    Said {
        /// Its code, as it came.
        error: &'a str,
        /// Its words, as they came: only where the answer is one to this browser, since others could put words in its mouth.
        words: Option<&'a str>,
    },
    /// Its token endpoint cannot be reached.
    Unreachable,
    /// Its token endpoint did not answer in time.
    NoAnswer,
    /// Its answer cannot be understood, or lacks what it must have.
    Unreadable,
    /// Its ID token is none that counts: signature, issuer, audience, time, or nonce.
    IdToken,
    /// Its ID token does not have the claims by which users are compared.
    Unnamed,
}

/// Who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mender {
    /// The user, who begins again.
    You,
    /// The user, who opens the link again.
    Link,
    /// Time.
    Later,
    /// Whoever runs the proxy.
    Operator,
}

/// One case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// What the server calls it, or a word of ours for the operator.
    pub code: &'static str,
    /// Who can mend it.
    pub mender: Mender,
    /// What happened, as markup; `{}` is the host of the server.
    pub what: &'static str,
}

const fn row(code: &'static str, mender: Mender, what: &'static str) -> Told {
    Told { code, mender, what }
}

/// Errors that servers say. The last row is for all others.
pub const ERRORS: [Told; 23] = [
    row("access_denied", Mender::You, "{} did not give access: either you said no there, or its own rules do."),
    row("invalid_request", Mender::Operator, "{} does not understand how it was asked."),
    row("unauthorized_client", Mender::Operator, "{} does not let this service ask for access in this way."),
    row(
        "unsupported_response_type",
        Mender::Operator,
        "{} does not offer the kind of answer that this service needs (an authorization code).",
    ),
    row(
        "invalid_scope",
        Mender::Operator,
        "{} does not know one of the permissions that were asked for, or does not give it to you or to this service.",
    ),
    row("server_error", Mender::Later, "{} had a fault of its own."),
    row("temporarily_unavailable", Mender::Later, "{} is too busy right now, or under maintenance."),
    row("interaction_required", Mender::You, "{} needs to ask you something, and had no opportunity to."),
    row("login_required", Mender::You, "{} needs you to sign in, and had no opportunity to ask."),
    row("account_selection_required", Mender::You, "{} needs you to choose one of your accounts, and had no opportunity to ask."),
    row(
        "consent_required",
        Mender::You,
        "{} needs your consent, and had no opportunity to ask. If this comes again, an administrator has to consent for your organisation.",
    ),
    row("invalid_request_uri", Mender::Operator, "{} could not read the request at the address that it was given for it."),
    row("invalid_request_object", Mender::Operator, "{} does not accept the signed form of the request."),
    row("request_not_supported", Mender::Operator, "{} does not take requests in a signed form."),
    row("request_uri_not_supported", Mender::Operator, "{} does not take requests by reference."),
    row("registration_not_supported", Mender::Operator, "{} does not take registrations within a request."),
    row("invalid_target", Mender::Operator, "{} does not know the agent for which access was asked, or gives no access to it."),
    row("invalid_grant", Mender::You, "{} no longer accepts the answer that it gave your browser: it ran out, or was used before."),
    row("invalid_client", Mender::Operator, "{} does not accept the credential of this service."),
    row("unsupported_grant_type", Mender::Operator, "{} does not give tokens for authorization codes."),
    row("invalid_dpop_proof", Mender::Operator, "{} does not accept how this service proves that it holds its key."),
    row("unmet_authentication_requirements", Mender::Operator, "{} cannot sign you in as strongly as was asked for."),
    row("", Mender::Operator, "{} answered with an error that this service does not know."),
];

impl Fault<'_> {
    /// Its row.
    #[must_use]
    pub fn told(&self) -> Told {
        match self {
            Self::Said { error, .. } => {
                let found = ERRORS.iter().find(|row| row.code == *error).or(ERRORS.last());
                found.copied().unwrap_or(row("", Mender::Operator, ""))
            }
            Self::Unreachable => row("unreachable", Mender::Later, "{} cannot be reached from here."),
            Self::NoAnswer => row("no_answer", Mender::Later, "{} did not answer in time."),
            Self::Unreadable => row("unreadable", Mender::Operator, "{} answered in a way that this service does not understand."),
            Self::IdToken => row("id_token", Mender::Operator, "What {} says about who signed in cannot be relied on."),
            Self::Unnamed => row("claims_missing", Mender::Operator, "{} does not say enough about who signed in to tell you from others."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ERRORS, Fault, Mender};

    #[test]
    fn every_error_has_a_row_of_its_own_and_the_others_have_the_last() {
        for (index, row) in ERRORS.iter().enumerate() {
            assert_eq!(Fault::Said { error: row.code, words: None }.told(), *row);
            assert!(ERRORS.iter().skip(index + 1).all(|other| other.code != row.code && other.what != row.what), "{}", row.code);
            assert!(row.what.matches("{}").count() == 1 && row.what.ends_with('.'), "{}", row.what);
        }
        for odd in ["odd", "ACCESS_DENIED", " access_denied", "<b>"] {
            let told = Fault::Said { error: odd, words: None }.told();
            assert_eq!((told.code, told.mender), ("", Mender::Operator), "{odd}");
        }
    }

    /// RFC 6749 sections 4.1.2.1 and 5.2, OpenID Connect Core 3.1.2.6, RFC 8707 section 2.
    #[test]
    fn every_error_of_the_specifications_is_there() {
        let known = "invalid_request unauthorized_client access_denied unsupported_response_type invalid_scope server_error \
            temporarily_unavailable interaction_required login_required account_selection_required consent_required invalid_request_uri \
            invalid_request_object request_not_supported request_uri_not_supported registration_not_supported invalid_target \
            invalid_client invalid_grant unsupported_grant_type";
        for error in known.split_whitespace() {
            assert_eq!(Fault::Said { error, words: None }.told().code, error);
        }
    }
}
