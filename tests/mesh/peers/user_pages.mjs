// The pages of `user_server.mjs` on which a person signs in and consents, and those of its device flow: plain forms, no script.

const escaped = (text) =>
  String(text).replace(/[&<>"']/g, (letter) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' })[letter]);

function page(title, body) {
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escaped(title)}</title></head>
<body><main><h1>${escaped(title)}</h1>
${body}
</main></body>
</html>
`;
}

/** Where a person says who they are. */
export function login(origin, wrong) {
  return page(
    'Sign in',
    `<p>Sign in at ${escaped(origin)}.</p>
${wrong ? '<p role="alert">There is no such account, or the password is another.</p>' : ''}
<form method="post">
<p><label>Account <input name="account" autocomplete="username" autofocus></label></p>
<p><label>Password <input name="password" type="password" autocomplete="current-password"></label></p>
<p><button name="decision" value="sign-in">Sign in</button></p>
</form>`,
  );
}

/** Where a person allows a client what it asks for, or does not. */
export function consent(account, client, scopes) {
  return page(
    'Allow access',
    `<p>${escaped(client)} asks for access as ${escaped(account)}:</p>
<ul>${scopes.map((scope) => `<li>${escaped(scope)}</li>`).join('')}</ul>
<form method="post">
<p><button name="decision" value="allow">Allow</button> <button name="decision" value="deny">Deny</button></p>
</form>`,
  );
}

/** What a person sees whose browser cannot go on. */
export const failed = ({ error, error_description: description }) =>
  page('Something went wrong', `<p id="error">${escaped(error)}</p><p>${escaped(description ?? '')}</p>`);

/** The pages of the device flow, as oidc-provider asks for them. */
export const devicePages = {
  async userCodeInputSource(ctx, form, _out, error) {
    const told = error ? '<p role="alert">This code is wrong, was used, or the sign-in was stopped.</p>' : '<p>Enter the code of your device.</p>';
    ctx.body = page('Connect a device', `${told}${form}<p><button form="op.deviceInputForm">Continue</button></p>`);
  },
  async userCodeConfirmSource(ctx, form, client, _info, userCode) {
    ctx.body = page(
      'Is this your device?',
      `<p>${escaped(client.clientName ?? client.clientId)} shows <code>${escaped(userCode)}</code></p>${form}
<p><button form="op.deviceConfirmForm">Continue</button>
<button form="op.deviceConfirmForm" name="abort" value="yes">Deny</button></p>`,
    );
  },
  async successSource(ctx) {
    ctx.body = page('Device connected', '<p>You can close this page.</p>');
  },
};
