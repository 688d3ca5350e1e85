// Signing in: with the link of `dragoman console`, whose token never leaves the address bar but for here, or with a key.
import { html, nothing } from '../vendor/lit-html.js';
import { get, send } from './api.js';

/** Who is signed in: `role` is null for nobody. */
export async function enter() {
  const token = new URLSearchParams(location.hash.slice(1)).get('enter');
  if (!token) return get('/admin/session');
  history.replaceState(null, '', location.pathname + location.search);
  const before = await get('/admin/session');
  if (before.open) return before;
  try {
    await send('POST', '/admin/session', { link: token });
  } catch (error) {
    return { ...before, problem: error.message };
  }
  return get('/admin/session');
}

export function leave() {
  return send('DELETE', '/admin/session');
}

/** The page for those who are not signed in. */
export function signIn(session, done, again) {
  const submit = async (event) => {
    event.preventDefault();
    const field = event.target.elements.key;
    try {
      await send('POST', '/admin/session', { key: field.value.trim() });
      field.value = '';
      done();
    } catch (error) {
      again({ ...session, problem: error.message });
    }
  };
  return html`<main class="sign-in"><div class="card">
    <h1>Dragoman</h1>
    ${session.problem ? html`<p class="problem" role="alert">${session.problem}</p>` : nothing}
    ${session.has_keys
      ? html`<p>Run <code>dragoman console</code> where the gateway runs, and open the link that it prints. It works once.</p>
        <form @submit=${submit}>
          <label for="key">Or sign in with the admin key or the viewer key</label>
          <input id="key" name="key" type="password" autocomplete="current-password" required>
          <button class="primary">Sign in</button>
        </form>`
      : html`<p>This gateway has no admin key, so nobody can sign in. Set <code>admin.api_key</code> in its configuration,
          or <code>DRAGOMAN_ADMIN_KEY</code> in its environment, and start it again.</p>`}
  </div></main>`;
}
