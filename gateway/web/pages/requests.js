// The last requests, live, with filters in the address; one that is opened shows where its time went.
import { html, nothing, svg } from '../vendor/lit-html.js';
import { get } from '../parts/api.js';
import { clock, count, money, ms } from '../parts/format.js';
import { empty, heading, pill } from '../parts/parts.js';
import { waterfall } from '../parts/waterfall.js';

const SHOWN = 1000;
// Workers are asked one after another: what ended a little before the latest one may be seen only the next time.
const OVERLAP_SECONDS = 5;
const FILTERS = { status: '', model: '', caller: '', slower_than: '' };

export function open(app, [id]) {
  return id ? one(app, id) : list(app);
}

function list(app) {
  let known = { filters: '', requests: [] };

  /** What is new is asked for, and put before what is known; other filters begin anew. */
  async function load() {
    const given = filters();
    const text = JSON.stringify(given);
    const before = known.filters === text ? known.requests : [];
    const after = before.length ? Math.max(0, endOf(before[0]) - OVERLAP_SECONDS) : null;
    const { requests, missing } = await get('/admin/requests', { ...given, limit: SHOWN, after });
    const fresh = new Set(requests.map((each) => each.id));
    const all = [...requests, ...before.filter((each) => !fresh.has(each.id))];
    all.sort((one, other) => endOf(other) - endOf(one));
    known = { filters: text, requests: all.slice(0, SHOWN) };
    return { requests: known.requests, missing };
  }

  const filters = () => {
    const query = new URLSearchParams(location.search);
    return Object.fromEntries(Object.keys(FILTERS).map((name) => [name, query.get(name) ?? '']));
  };
  const change = (event) => {
    app.query({ [event.target.name]: event.target.value.trim() });
    app.reload();
  };
  return {
    title: 'Requests',
    every: 2000,
    load,
    view({ requests, missing }) {
      const given = filters();
      const isFiltered = Object.values(given).some(Boolean);
      return html`
        ${heading('Requests', `The last ${count(requests.length)}${isFiltered ? ' that match' : ''}, the latest first.`)}
        <form class="filters" @submit=${(event) => event.preventDefault()} aria-label="Filters">
          <label>Status <select name="status" @change=${change}>
            ${[['', 'any'], ['failed', 'failed'], ['2xx', '2xx'], ['4xx', '4xx'], ['429', '429'], ['5xx', '5xx']].map(([value, text]) => html`<option value=${value} ?selected=${given.status === value}>${text}</option>`)}
          </select></label>
          <label>Model <input name="model" .value=${given.model} @change=${change} placeholder="any"></label>
          <label>Caller <input name="caller" .value=${given.caller} @change=${change} placeholder="any"></label>
          <label>Slower than <input name="slower_than" class="short" inputmode="decimal" .value=${given.slower_than} @change=${change} placeholder="seconds"></label>
          ${isFiltered ? html`<button class="small" type="button" @click=${() => app.go('/console/requests')}>Clear</button>` : nothing}
        </form>
        ${missing.length ? html`<p class="away">Without the workers ${missing.join(', ')}, which did not answer in time.</p>` : nothing}
        ${requests.length ? html`${histogram(requests)}${table(requests)}`
          : isFiltered ? empty('No request matches', 'Take a filter away, or wait for one that does.')
          : empty('No requests yet', html`They appear here as they end. The <a href="/console/playground">Playground</a> shows how to send one.`)}`;
    },
  };
}

function endOf(request) {
  return request.at + request.ms / 1000;
}

/** How many requests ended when, failed ones apart. */
function histogram(requests) {
  const bars = 60;
  const ends = requests.map(endOf);
  const from = Math.min(...ends);
  const span = Math.max(60, Math.max(...ends) - from);
  const columns = Array.from({ length: bars }, () => [0, 0]);
  requests.forEach((each, place) => { columns[Math.min(bars - 1, Math.floor(((ends[place] - from) / span) * bars))][each.error ? 1 : 0] += 1; });
  const most = Math.max(...columns.map(([good, bad]) => good + bad));
  return html`<figure class="histogram">
    <svg viewBox="0 0 ${bars * 4} 40" preserveAspectRatio="none" role="img" aria-label="Requests over time, at most ${most} in ${Math.round(span / bars)} seconds">
      ${columns.map(([good, bad], place) => columnOf(place, (good / most) * 38, (bad / most) * 38))}</svg>
    <figcaption class="note num"><span>${clock(from)}</span><span>${clock(from + span)}</span></figcaption></figure>`;
}

function columnOf(place, good, bad) {
  return rects([['good', place * 4, 40 - good, good], ['bad', place * 4, 40 - good - bad, bad]]);
}

function table(requests) {
  return html`<div class="scroller" tabindex="0" role="region" aria-label="Requests"><table class="requests">
    <thead><tr><th>Ended</th><th>Status</th><th>Model</th><th>Caller</th><th class="right">First token</th><th class="right">Total</th><th class="right">Tokens</th><th class="right">Cost</th></tr></thead>
    <tbody>${requests.map((each) => html`<tr class=${each.error ? 'failed' : ''}>
      <td class="num"><a href="/console/requests/${each.id}">${clock(endOf(each))}</a></td>
      <td>${statusOf(each)}</td>
      <td class="cut" title=${each.asked_model}>${each.model ?? each.asked_model}${each.fallback ? html` <span class="note">stands in</span>` : nothing}</td>
      <td class="cut" title=${each.caller}>${each.caller}</td>
      <td class="num right">${ms(each.first_token_ms)}</td><td class="num right">${ms(each.ms)}</td>
      <td class="num right">${tokens(each.usage)}</td><td class="num right">${money(each.nano_dollars ?? 0)}</td></tr>`)}</tbody></table></div>`;
}

function statusOf(each) {
  if (!each.error) return pill('good', each.status);
  return pill(each.status < 500 ? 'warn' : 'bad', `${each.status} ${each.error.replaceAll('_', ' ')}`);
}

function tokens(usage = {}) {
  const input = (usage.input ?? 0) + (usage.cache_read ?? 0) + (usage.cache_write_5m ?? 0) + (usage.cache_write_1h ?? 0);
  return input || usage.output ? `${count(input)} → ${count(usage.output ?? 0)}` : '–';
}

function one(app, id) {
  return {
    title: `Request ${id}`,
    load: () => get(`/admin/requests/${encodeURIComponent(id)}`),
    view({ request, content }) {
      const facts = {
        'Asked for': request.asked_model, Answered: request.model ?? '–', Caller: request.caller, Group: request.group,
        Endpoint: request.endpoint, Streamed: request.is_stream ? 'yes' : 'no', 'Stop reason': request.stop_reason,
        'Waited for a key': request.queued_ms ? ms(request.queued_ms) : null, Adjusted: request.adjusted, Trace: request.trace_id,
        Cost: money(request.nano_dollars ?? 0),
        ...Object.fromEntries(Object.entries(request.usage ?? {}).map(([name, value]) => [`Tokens, ${name.replaceAll('_', ' ')}`, count(value)])),
      };
      return html`
        <p><a href="/console/requests">← All requests</a></p>
        ${heading(html`Request ${statusOf(request)}`, html`<code>${request.id}</code> · ${clock(request.at)} · ${ms(request.ms)}`)}
        <section class="card"><h2>Where its time went</h2>${waterfall(request)}</section>
        ${(request.refusals ?? []).length ? html`<section class="card"><h2>What went wrong</h2><ul>${request.refusals.map((text) => html`<li>${text}</li>`)}</ul></section>` : nothing}
        <section class="card"><h2>What is known of it</h2><dl class="facts">
          ${Object.entries(facts).filter(([, value]) => value).map(([name, value]) => html`<div><dt>${name}</dt><dd class="num">${value}</dd></div>`)}</dl></section>
        ${(request.attempts ?? []).map((each, place) => attempt(each, place))}
        ${content ? html`<section class="card"><h2>What was said</h2><h3>Request</h3><pre tabindex="0">${content.request}</pre><h3>Answer</h3><pre tabindex="0">${content.answer}</pre>
          ${content.said.map((text) => html`<h3>Upstream said</h3><pre tabindex="0">${text}</pre>`)}</section>` : nothing}`;
    },
  };
}

function attempt(each, place) {
  return html`<section class="card"><h2>Attempt ${place + 1} ${each.error ? pill('bad', each.error.replaceAll('_', ' ')) : pill('good', each.stop_reason ?? 'ended')}</h2>
    <dl class="facts">${[['Key', each.key], ['Host', each.host], ['Model', each.model], ['Status', each.status], ['Upstream’s id', each.upstream_request_id],
      ['Head after', each.head_ms === undefined ? null : ms(each.head_ms - each.began_ms)], ['Took', ms(each.ended_ms - each.began_ms)], ['Cost', money(each.nano_dollars ?? 0)]]
      .filter(([, value]) => value).map(([name, value]) => html`<div><dt>${name}</dt><dd class="num">${value}</dd></div>`)}</dl></section>`;
}

function rects(boxes) {
  return boxes.filter(([, , , height]) => height > 0).map(([kind, x, y, height]) => svg`<rect class=${kind} x=${x + 0.5} y=${y.toFixed(1)} width="3" height=${height.toFixed(1)}></rect>`);
}
