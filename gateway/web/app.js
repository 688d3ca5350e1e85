// The frame around all pages: navigation, session, theme, and the loop that keeps a page's data fresh.
import { html, render, nothing } from './vendor/lit-html.js';
import { Disconnected, Refused } from './parts/api.js';
import { failure, icon, loading, openDialogs } from './parts/parts.js';
import { enter, leave, signIn } from './parts/session.js';

const PAGES = {
  playground: 'Playground', overview: 'Overview', keys: 'Keys', callers: 'Callers',
  requests: 'Requests', models: 'Models', settings: 'Settings',
};
const root = document.getElementById('app');

/**
 * A page module exports `open(app, parts)`, which gives: `title`, `load()` (its data), `view(data)`, and perhaps
 * `every` (milliseconds until it is loaded again), `shown()` (after each rendering) and `close()`.
 */
const app = {
  session: null, page: null, name: '', data: null, problem: null, isAway: false, awaySince: 0, timer: 0, turn: 0,

  get mayWrite() { return this.session?.role === 'admin'; },

  /** Go to an address of the console, as a link does. */
  go(path, { replace = false } = {}) {
    history[replace ? 'replaceState' : 'pushState'](null, '', path);
    route();
  },

  /** Change the query of the address without opening the page anew. */
  query(values) {
    const query = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(values)) value ? query.set(name, value) : query.delete(name);
    const text = query.toString();
    history.replaceState(null, '', location.pathname + (text ? `?${text}` : ''));
  },

  update() { draw(); },
  reload() { return refresh(); },
};

async function refresh() {
  clearTimeout(app.timer);
  const { page, turn } = app;
  if (!page) return;
  try {
    const data = await page.load();
    if (turn !== app.turn) return;
    Object.assign(app, { data, problem: null, isAway: false });
  } catch (error) {
    if (turn !== app.turn) return;
    if (error instanceof Disconnected) {
      if (!app.isAway) app.awaySince = Date.now();
      app.isAway = true;
    } else if (error instanceof Refused && error.status === 401) {
      forget();
    } else {
      app.problem = error.message;
      if (!(error instanceof Refused)) console.error(error);
    }
  }
  draw();
  schedule();
}

function schedule() {
  clearTimeout(app.timer);
  const every = app.isAway ? 2000 : app.page?.every;
  if (every && !document.hidden) app.timer = setTimeout(refresh, every);
}

async function route() {
  const [name = '', ...rest] = location.pathname.replace(/^\/console\/?/, '').split('/').filter(Boolean);
  if (!(name in PAGES)) {
    app.go(`/console/overview${location.search}`, { replace: true });
    return;
  }
  app.page?.close?.();
  const turn = ++app.turn;
  const isSame = app.name === name;
  Object.assign(app, { name, page: null, data: null, problem: null });
  if (!isSame) draw();
  const module = await import(`./pages/${name}.js`);
  if (turn !== app.turn) return;
  app.page = module.open(app, rest.map(decoded));
  document.title = `${app.page.title} · Dragoman`;
  draw();
  await refresh();
  if (!isSame) document.getElementById('main')?.focus({ preventScroll: true });
}

function draw() {
  if (!app.session?.role) {
    if (app.session) render(signIn(app.session, start, (session) => { app.session = session; draw(); }), root);
    return;
  }
  render(html`
    <a class="skip" href="#main">Skip to the content</a>
    <nav class="nav" aria-label="Pages">
      <a class="brand" href="/console/overview">${icon('overview')}<span>Dragoman</span></a>
      ${Object.entries(PAGES).map(([name, title]) => html`
        <a href="/console/${name}" aria-current=${name === app.name ? 'page' : nothing}>${icon(name)}<span>${title}</span></a>`)}
      <div class="nav-foot">
        <p class="role">${app.session.open ? 'Open to this machine, read-only but for the playground' : `Signed in as ${app.session.role}`}<br>
          Dragoman ${app.session.version}${app.session.workers > 1 ? `, ${app.session.workers} workers` : ''}</p>
        <button class="quiet" @click=${turnTheme} aria-label="Light or dark">${icon('light')}<span>Light or dark</span></button>
        ${app.session.open ? nothing : html`<button class="quiet" @click=${signOut} aria-label="Sign out">${icon('out')}<span>Sign out</span></button>`}
      </div>
    </nav>
    <main id="main" tabindex="-1">
      ${app.isAway ? html`<p class="away" role="alert">The gateway does not answer. ${app.data ? 'What you see is older.' : ''} Trying again…</p>` : nothing}
      ${content()}
    </main>`, root);
  openDialogs();
  app.page?.shown?.();
}

function content() {
  if (app.data) {
    return html`${app.problem ? html`<p class="away" role="alert">${app.problem}</p>` : nothing}${app.page.view(app.data)}`;
  }
  if (app.problem) return failure(app.problem, refresh);
  return app.isAway ? nothing : loading();
}

async function signOut() {
  await leave();
  forget();
  draw();
}

/** Nobody is signed in any more: the page has nothing to ask for. */
function forget() {
  app.session = { ...app.session, role: null };
  app.page?.close?.();
  Object.assign(app, { page: null, name: '', data: null });
}

/** A part of the address; one that is no text is taken as it is. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

// Light and dark follow the system until somebody chooses.

function turnTheme() {
  const isDark = theme() ? theme() === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  setTheme(isDark ? 'light' : 'dark');
  try { localStorage.setItem('theme', theme()); } catch { /* It is forgotten with the page. */ }
  draw();
}

function theme() { return document.documentElement.dataset.theme; }
function setTheme(name) { if (name) document.documentElement.dataset.theme = name; }

document.addEventListener('click', (event) => {
  const link = event.target.closest?.('a[href^="/console"]');
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  app.go(link.getAttribute('href'));
});
window.addEventListener('popstate', () => { if (app.session?.role) route(); });
// A link of `dragoman console` that is opened where the console is shown already changes nothing but the fragment.
window.addEventListener('hashchange', () => { if (location.hash.startsWith('#enter=')) start(); });
document.addEventListener('visibilitychange', () => { document.hidden ? clearTimeout(app.timer) : refresh(); });

async function start() {
  try { setTheme(localStorage.getItem('theme')); } catch { /* The system's then. */ }
  try {
    app.session = await enter();
  } catch {
    app.session = { role: null, problem: 'The gateway does not answer.', has_keys: true };
  }
  if (app.session.role) route(); else draw();
}

start();
