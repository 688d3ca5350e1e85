// The keys of the pool under their organization and workspace: which one works, which one rests, and why.
import { html, nothing } from '../vendor/lit-html.js';
import { get, send } from '../parts/api.js';
import { count, left } from '../parts/format.js';
import { bar, empty, heading, pill } from '../parts/parts.js';

const STATES = {
  ready: ['good', 'Ready', 'Takes requests.'],
  on_trial: ['warn', 'On trial', 'A probe was accepted: one request at a time until one succeeds.'],
  paced: ['warn', 'Paced', 'Waits until its limits have refilled.'],
  full: ['warn', 'Full', 'Has as many requests as it may have at once.'],
  cooling: ['warn', 'Cooling', 'Upstream has answered 429.'],
  resting: ['warn', 'Resting', 'Its workspace has reached a limit.'],
  host_down: ['bad', 'Host down', 'Its host does not answer.'],
  out_of_funds: ['bad', 'Out of funds', 'Its organization has no credit left.'],
  rejected: ['bad', 'Rejected', 'Upstream does not accept it; a probe asks again.'],
  taken_out: ['off', 'Taken out', 'An operator has taken it out.'],
};
const LIMITS = { requests: 'Requests', input_tokens: 'Input tokens', output_tokens: 'Output tokens', tokens: 'Tokens' };

export function open(app) {
  const page = { loadedAt: 0, ticking: 0, said: '' };

  async function order(key, name) {
    try {
      await send('POST', `/admin/pool/${encodeURIComponent(key)}/${name}`);
      page.said = { take_out: `${key} is taken out: running requests go on, new ones use other keys.`, put_back: `${key} is back.`, probe: `${key} is being asked for now.` }[name];
    } catch (error) {
      page.said = error.message;
    }
    await app.reload();
  }

  page.ticking = setInterval(() => { if (app.data && !document.hidden) app.update(); }, 1000);
  return {
    title: 'Keys',
    every: 2000,
    async load() {
      const data = await get('/admin/pool');
      page.loadedAt = performance.now();
      return data;
    },
    view({ pool, missing }) {
      const passed = (performance.now() - page.loadedAt) / 1000;
      const waiting = Object.values(pool.waiting).flatMap(Object.values).reduce((sum, value) => sum + value, 0);
      return html`
        ${heading('Keys', `${pool.keys.length} in the pool, strategy ${pool.strategy.replace('_', ' ')}. ${count(pool.in_flight)} requests in flight, ${count(waiting)} of ${count(pool.queue_size)} waiting.`)}
        ${page.said ? html`<p class="hint" role="status">${page.said}</p>` : nothing}
        ${missing.length ? html`<p class="away">Without the workers ${missing.join(', ')}, which did not answer in time.</p>` : nothing}
        ${pool.keys.length ? pool.organisations.map((each) => organization(each, pool, passed)) : empty('The pool has no keys', 'Callers bring Anthropic keys of their own.')}
        ${pool.hosts.filter((host) => host.breaker.state !== 'closed').map((host) => html`<p class="away">${host.url}: ${host.breaker.state.replace('_', ' ')} after ${host.breaker.failures} failures${rest(host.breaker.for_seconds, passed)}.</p>`)}`;
    },
    close: () => clearInterval(page.ticking),
  };

  function organization(each, pool, passed) {
    const keys = pool.keys.filter((key) => each.keys.includes(key.name));
    const workspaces = [...new Set(keys.map((key) => key.workspace))];
    return html`<section class="card"><div class="card-head">
        <h2>${each.is_known ? each.name : html`${each.name} <span class="note">organization not known yet</span>`}</h2>
        ${each.out_of_funds_seconds ? pill('bad', `Out of funds${rest(each.out_of_funds_seconds, passed)}`) : nothing}</div>
      ${each.allowances.map((limits) => allowance(limits, passed))}
      ${workspaces.map((name) => html`<h3>Workspace ${name === each.name ? 'default' : name}</h3>
        <div class="rows">${keys.filter((key) => key.workspace === name).map((key) => row(key, passed))}</div>`)}
    </section>`;
  }

  function row(key, passed) {
    const [kind, word, why] = STATES[key.standing.state] ?? ['warn', key.standing.state, ''];
    const isOut = key.standing.state === 'taken_out';
    const others = Object.entries(key.classes).map(([name, standing]) => `${name}: ${(STATES[standing.state] ?? [0, standing.state])[1].toLowerCase()}${rest(standing.for_seconds, passed)}`);
    return html`<div class="key-row">
      <div class="key-name"><b>${key.name}</b><span class="note">${key.host.replace('https://', '')}</span></div>
      <div>${pill(kind, `${word}${rest(key.standing.for_seconds, passed)}`)}<span class="note">${why}${others.length ? ` ${others.join(', ')}.` : ''}</span>
        ${key.last_error ? html`<span class="note">Last error ${left(key.last_error_seconds_ago + passed)} ago: ${key.last_error}</span>` : nothing}
        ${Object.keys(key.states).length ? html`<span class="note">Workers do not agree: ${Object.entries(key.states).map(([state, number]) => `${number} ${state.replace('_', ' ')}`).join(', ')}</span>` : nothing}</div>
      <div class="num key-flight">${count(key.in_flight)}${key.room === null ? '' : ` of ${count(key.room)}`}<span class="note">in flight</span></div>
      ${app.mayWrite ? html`<div class="actions">
        <button class="small" @click=${() => order(key.name, 'probe')} aria-label="Probe ${key.name} now">Probe now</button>
        <button class="small" @click=${() => order(key.name, isOut ? 'put_back' : 'take_out')} aria-label="${isOut ? 'Put back' : 'Take out'} ${key.name}">${isOut ? 'Put back' : 'Take out'}</button></div>` : nothing}
    </div>`;
  }

  function allowance(limits, passed) {
    const cooling = limits.cooling_seconds ? limits.cooling_seconds - passed : 0;
    return html`<div class="allowance"><h3>${limits.model_class} ${cooling > 0 ? pill('warn', `Cooling, ${left(cooling)}`) : nothing}</h3>
      ${Object.entries(limits.buckets).map(([name, bucket]) => {
        const now = Math.min(bucket.capacity, bucket.remaining + passed * bucket.per_second);
        const until = bucket.per_second > 0 ? (bucket.capacity - now) / bucket.per_second : 0;
        const words = `${count(now)} of ${count(bucket.capacity)} left${until >= 1 ? `, full in ${left(until)}` : ''}`;
        return bar(LIMITS[name] ?? name, now, bucket.capacity, words);
      })}</div>`;
  }
}

function rest(seconds, passed) {
  return seconds === null || seconds === undefined || seconds <= passed ? '' : `, ${left(seconds - passed)}`;
}
