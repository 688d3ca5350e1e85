// Who may call: keys for callers with what they have spent, and the rules. Administrators make, rotate and disable keys.
import { html, nothing } from '../vendor/lit-html.js';
import { get, Refused, send } from '../parts/api.js';
import { count, day, left, money } from '../parts/format.js';
import { bar, code, dialog, empty, heading, pill } from '../parts/parts.js';

const KINDS = { active: 'good', disabled: 'off', expired: 'off', deleted: 'off' };
const DAYS = { '1d': 'one day', '7d': 'seven days', '30d': 'thirty days' };
const WHAT = { requests: 'requests', input_tokens: 'input tokens', output_tokens: 'output tokens', in_flight: 'at once', money: 'dollars' };

/** What is not kept here is null; other failures are failures. */
async function perhaps(promise) {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof Refused && error.status !== 401) return null;
    throw error;
  }
}

export function open(app) {
  const page = { asked: null, made: null, problem: '' };
  const since = () => new URLSearchParams(location.search).get('since') ?? '7d';

  async function change(action) {
    try {
      page.problem = '';
      const made = await action();
      if (made.key) page.made = made;
      page.asked = null;
    } catch (error) {
      page.problem = error.message;
    }
    await app.reload();
  }

  function close() {
    Object.assign(page, { asked: null, made: null, problem: '' });
    app.update();
  }

  function ask(kind, key = null) {
    Object.assign(page, { asked: { kind, key }, problem: '' });
    app.update();
  }

  return {
    title: 'Callers',
    every: 5000,
    async load() {
      const [keys, usage, users, rules, near] = await Promise.all([
        perhaps(get('/admin/keys', { limit: 100 })),
        perhaps(get('/admin/usage', { by: 'key', since: since() })),
        perhaps(get('/admin/usage', { by: 'end_user', since: since() })),
        perhaps(get('/admin/rules')),
        perhaps(get('/admin/rules/standings')),
      ]);
      return { keys, usage, users, rules, near };
    },
    view({ keys, usage, users, rules, near }) {
      const spent = new Map((usage?.data ?? []).map((line) => [line.key, line]));
      const all = [...(keys?.data ?? []), ...(keys?.configured ?? [])];
      return html`
        ${heading('Callers', usage ? `What each has used in ${DAYS[since()] ?? since()}: ${dollars(usage.total.cost_usd)} in all.` : 'Who may call this gateway.', html`
          ${usage ? html`<select aria-label="Time" @change=${(event) => { app.query({ since: event.target.value }); app.reload(); }}>
            ${Object.entries(DAYS).map(([value, text]) => html`<option value=${value} ?selected=${since() === value}>${text}</option>`)}</select>` : nothing}
          ${app.mayWrite && app.session.keeps_keys ? html`<button class="primary" @click=${() => ask('create')}>Create a key</button>` : nothing}`)}
        ${all.length ? table(all, spent) : empty('There are no keys for callers', 'Until there is one, anybody on this machine may call this gateway.', app.mayWrite ? nothing : code('dragoman keys create --name my-app', 'Command'))}
        ${keys?.has_more ? html`<p class="note">These are the latest hundred. <code>dragoman keys list</code> shows all.</p>` : nothing}
        ${rules ? ruleTable(rules.data, near?.standings ?? [], all) : nothing}
        ${users?.data.some((line) => line.end_user) ? userTable(users.data) : nothing}
        ${dialogs()}`;
    },
  };

  function table(all, spent) {
    return html`<section class="card"><h2>Keys</h2><div class="scroller" tabindex="0" role="region" aria-label="Keys of callers"><table>
      <thead><tr><th>Name</th><th>State</th><th>Group</th><th class="right">Requests</th><th class="right">Tokens</th><th class="right">Spent</th><th>Expires</th>${app.mayWrite ? html`<th><span class="hidden">Actions</span></th>` : nothing}</tr></thead>
      <tbody>${all.map((key) => {
        const line = spent.get(key.id ?? key.name);
        return html`<tr><td><b>${key.name}</b>${key.prefix ? html`<span class="note">${key.prefix}…</span>` : html`<span class="note">configuration</span>`}</td>
          <td>${pill(KINDS[key.state] ?? 'off', key.state)}${key.old_secret_until ? html`<span class="note">old secret until ${day(key.old_secret_until)}</span>` : nothing}</td>
          <td>${key.group ?? '–'}</td>
          <td class="num right">${line ? count(line.requests) : '–'}</td>
          <td class="num right">${line ? count(line.input_tokens + line.cache_read_tokens + line.output_tokens) : '–'}</td>
          <td class="num right">${line ? dollars(line.cost_usd) : '–'}</td>
          <td class="num">${key.expires_at ? day(key.expires_at) : 'never'}</td>
          ${app.mayWrite ? html`<td class="actions">${key.id ? html`
            <button class="small" @click=${() => ask('rotate', key)} aria-label="Rotate ${key.name}">Rotate</button>
            ${key.state === 'disabled'
              ? html`<button class="small" @click=${() => change(() => send('POST', `/admin/keys/${key.id}/enable`))} aria-label="Enable ${key.name}">Enable</button>`
              : html`<button class="small" @click=${() => ask('disable', key)} aria-label="Disable ${key.name}">Disable</button>`}` : nothing}</td>` : nothing}</tr>`;
      })}</tbody></table></div></section>`;
  }

  /** The rules that are nearest to their amounts, for whom they count. */
  function standings(near, all) {
    const names = new Map(all.filter((key) => key.id).map((key) => [key.id, key.name]));
    const used = near.filter((each) => each.used).slice(0, 20);
    if (!used.length) return nothing;
    const words = (each, value) => (each.what === 'money' ? money(value) : count(value));
    return html`<h3>Nearest to their amounts</h3>${used.map((each) => {
      const whose = each.subject.split(', ').map((name) => names.get(name) ?? name).join(', ') || 'everybody';
      const until = each.resets_in === null ? '' : `, ${each.window === 'minute' ? 'refilled' : 'new'} in ${left(each.resets_in)}`;
      return bar(`${each.rule}: ${whose}`, each.used, each.limit, `${words(each, each.used)} of ${words(each, each.limit)}${until}`, 'used');
    })}`;
  }

  function ruleTable(rules, near, all) {
    return html`<section class="card"><h2>Rules</h2>${rules.length ? html`<div class="scroller" tabindex="0" role="region" aria-label="Rules"><table>
      <thead><tr><th>Rule</th><th>For</th><th>Models</th><th class="right">At most</th><th>When it is over</th></tr></thead>
      <tbody>${rules.map((rule) => html`<tr><td><b>${rule.id}</b><span class="note">${rule.source}${rule.shadow ? ', only reported' : ''}</span></td>
        <td>${rule.scope === 'all' ? 'everybody' : `${rule.scope.replace('_', ' ')} ${rule.of ?? '*'}`}</td><td>${rule.model ?? '*'}</td>
        <td class="num right">${rule.what === 'money' ? `$${rule.amount}` : `${count(rule.amount)} ${WHAT[rule.what]}`}${rule.what === 'in_flight' ? nothing : html`<span class="note">${rule.window === 'total' ? 'in all' : `a ${rule.window}`}</span>`}</td>
        <td>${rule.over}</td></tr>`)}</tbody></table></div>` : html`<p class="note">None: callers may use as much as the keys of the pool allow.</p>`}${standings(near, all)}</section>`;
  }

  function userTable(lines) {
    return html`<section class="card"><h2>End users</h2><p class="note">Keyed hashes of what callers send: nobody can tell a name from them.</p><div class="scroller" tabindex="0" role="region" aria-label="End users"><table>
      <thead><tr><th>End user</th><th class="right">Requests</th><th class="right">Spent</th></tr></thead>
      <tbody>${lines.filter((line) => line.end_user).slice(0, 50).map((line) => html`<tr><td><code>${line.end_user}</code></td><td class="num right">${count(line.requests)}</td><td class="num right">${dollars(line.cost_usd)}</td></tr>`)}</tbody></table></div></section>`;
  }

  function dialogs() {
    const problem = page.problem ? html`<p class="problem" role="alert">${page.problem}</p>` : nothing;
    if (page.made) {
      return dialog('Copy this key now', html`<p>It is shown this once. The gateway keeps only its hash.</p>${code(page.made.key, 'The new key')}
        <div class="buttons"><button class="primary" @click=${close}>I have copied it</button></div>`, close);
    }
    if (!page.asked) return problem;
    const { kind, key } = page.asked;
    if (kind === 'create') return creating(problem);
    const texts = {
      rotate: ['Rotate', `${key.name} gets a new secret. The old one goes on working for a day.`, () => send('POST', `/admin/keys/${key.id}/rotate`)],
      disable: ['Disable', `Requests with ${key.name} are refused within a second, until it is enabled again.`, () => send('POST', `/admin/keys/${key.id}/disable`)],
    };
    const [verb, text, action] = texts[kind];
    return dialog(`${verb} ${key.name}?`, html`<p>${text}</p>${problem}<div class="buttons"><button @click=${close}>Cancel</button>
      <button class="primary" @click=${() => change(action)}>${verb}</button></div>`, close);
  }

  function creating(problem) {
    const submit = (event) => {
      event.preventDefault();
      const { name, group, models, days } = Object.fromEntries(new FormData(event.target));
      const draft = { name: name.trim() };
      if (group.trim()) draft.group = group.trim();
      if (models.trim()) draft.limits = { models: models.split(',').map((each) => each.trim()).filter(Boolean) };
      if (days) draft.expires_in = Number(days) * 86_400;
      change(() => send('POST', '/admin/keys', draft));
    };
    return dialog('Create a key', html`<form class="form" @submit=${submit}>
      <label>Name <input name="name" required maxlength="100" autofocus autocomplete="off" placeholder="my-app"></label>
      <label>Group <input name="group" maxlength="100" autocomplete="off" placeholder="none"></label>
      <label>Models <input name="models" autocomplete="off" placeholder="all, or claude-haiku-*, …"></label>
      <label>Expires after <select name="days"><option value="">never</option><option value="7">7 days</option><option value="30">30 days</option><option value="90">90 days</option><option value="365">a year</option></select></label>
      ${problem}<div class="buttons"><button type="button" @click=${close}>Cancel</button><button class="primary">Create</button></div></form>`, close);
  }
}

function dollars(text) {
  const value = Number(text);
  return `$${value.toFixed(value === 0 || value >= 1 ? 2 : value >= 0.01 ? 4 : 6)}`;
}
