// Both wires of one request: what was sent here and the Messages request it became, and the events of both sides.
import { html, nothing } from '../vendor/lit-html.js';
import { additions, adjustments, below, moves } from './adjusted.js';
import { money, ms } from './format.js';
import { pill } from './parts.js';
import { shortened } from './snippets.js';

const SHOWN_EVENTS = 300;
const SIGNS = { dropped: ['✕', 'left out'], rewritten: ['≠', 'rewritten'], moved: ['→', 'moved'], added: ['+', 'added'] };

/** The facts of a request: who answered, what it cost. */
export function factsOf({ request, wire }) {
  const call = wire.calls.at(-1);
  const facts = [
    ['Key', call?.key], ['Attempts', request?.attempts?.length || wire.calls.length || '0'], ['Answered by', request?.model], ['Cost', request ? money(request.nano_dollars ?? 0) : null],
    ['First token', request?.first_token_ms ? ms(request.first_token_ms) : null], ['Total', request ? ms(request.ms) : null], ['Upstream’s id', call?.request_id],
  ];
  return html`<dl class="facts">${facts.filter(([, value]) => value).map(([name, value]) => html`<div><dt>${name}</dt><dd class="num">${value}</dd></div>`)}</dl>`;
}

/** What was sent beside what it became, with the differences of meaning before it. */
export function requestsOf({ request, wire }) {
  const sent = jsonOf(wire.request);
  const calls = wire.calls.map((call) => ({ ...call, json: jsonOf(call.body) }));
  const got = calls.at(-1)?.json;
  const notes = [...adjustments(request?.adjusted), ...(sent && got ? [...moves(sent, got), ...additions(sent, got)] : [])];
  return html`
    ${notes.length ? html`<ul class="notes">${notes.map((note) => html`<li class=${note.kind}>${mark(note.kind)}<span><b>${note.field}</b> ${note.what}</span></li>`)}</ul>` : nothing}
    ${wire.is_cut ? html`<p class="note">This request is larger than what is kept of one: its end is missing here.</p>` : nothing}
    <div class="panes">
      ${pane('What you sent', `POST ${request?.endpoint ?? ''}`, sent, wire.request, notes.map((note) => [note.kind, note.from ?? below(note.field)]).filter(([kind]) => kind !== 'added'))}
      ${calls.length ? calls.slice(-1).map((call) => pane('What upstream got', `POST ${call.url}`, call.json, call.body, notes.map((note) => [note.kind, note.to ?? below(note.field)]).filter(([kind]) => kind !== 'dropped'), call.headers))
        : html`<section class="pane"><h3>What upstream got</h3><p class="note">Nothing: the request was refused here.</p></section>`}
    </div>`;
}

function pane(title, line, value, text, patterns, headers = {}) {
  return html`<section class="pane"><h3>${title}</h3>
    <pre tabindex="0" aria-label=${title}><span class="line quiet-line">${line}</span>${Object.entries(headers).map(([name, each]) => html`<span class="line quiet-line">${name}: ${each}</span>`)}${value ? lines(shortened(value)).map(({ path, line: each }) => lineOf(each, path, patterns)) : text}</pre></section>`;
}

function lineOf(text, path, patterns) {
  const [kind] = patterns.find(([, pattern]) => pattern.test(path)) ?? [];
  return html`<span class="line ${kind ?? ''}"><span class="gutter" title=${kind ? SIGNS[kind][1] : nothing}>${kind ? SIGNS[kind][0] : ' '}</span>${text}</span>`;
}

function mark(kind) {
  const [sign, word] = SIGNS[kind];
  return html`<span class="sign"><span aria-hidden="true">${sign}</span> ${word}</span>`;
}

/** The lines of a value as JSON, each with its path, as `messages.0.role`. */
function lines(value, path = '', indent = '', before = '', after = '') {
  const isList = Array.isArray(value);
  const entries = value && typeof value === 'object' ? Object.entries(value) : [];
  if (!entries.length) return [{ path, line: `${indent}${before}${JSON.stringify(value)}${after}` }];
  const inner = entries.flatMap(([name, each], place) => lines(each, path ? `${path}.${name}` : name, `${indent}  `, isList ? '' : `${JSON.stringify(name)}: `, place < entries.length - 1 ? ',' : ''));
  return [{ path, line: `${indent}${before}${isList ? '[' : '{'}` }, ...inner, { path, line: `${indent}${isList ? ']' : '}'}${after}` }];
}

/** The events of both sides in the order of time: upstream's, and what became of them. */
export function eventsOf({ wire }, showsAll, showAll) {
  const rows = [
    ...wire.calls.flatMap((call, place) => [
      { at: call.began_ms, side: 'there', name: `Attempt ${place + 1} with ${call.key}`, data: call.url },
      ...(call.head_ms === null ? [] : [{ at: call.head_ms, side: 'there', name: `Status ${call.status}`, data: call.request_id ?? '' }]),
      ...split(call.events).map((event) => ({ ...event, side: 'there' })),
      ...(call.error ? [{ at: call.ended_ms ?? call.began_ms, side: 'there', name: `Failed: ${call.error.replaceAll('_', ' ')}`, data: '' }] : []),
    ]),
    ...split(wire.events).map((event) => ({ ...event, side: 'here' })),
  ].sort((one, other) => one.at - other.at);
  const shown = showsAll ? rows : rows.slice(0, SHOWN_EVENTS);
  return html`<div class="events scroller" tabindex="0" role="region" aria-label="Events of both sides">
    <div class="event head"><span>Time</span><span>From upstream</span><span>To you</span></div>
    ${shown.map((row) => html`<div class="event ${row.side}"><span class="num">${row.at.toFixed(1)} ms</span>${one(row)}</div>`)}</div>
    ${rows.length > shown.length ? html`<p><button class="small" @click=${showAll}>Show all ${rows.length} events</button></p>` : nothing}`;
}

function one({ name, data }) {
  if (!data) return html`<div class="what"><b>${name}</b></div>`;
  return html`<details class="what"><summary><b>${name}</b> <span class="gist">${gist(data)}</span></summary><pre tabindex="0">${pretty(data)}</pre></details>`;
}

/** What an event says, where that is short. */
function gist(data) {
  const value = jsonOf(data);
  const delta = value?.choices?.[0]?.delta ?? value?.delta;
  const said = typeof delta === 'string' ? delta : delta?.text ?? delta?.content ?? delta?.thinking ?? delta?.reasoning_content ?? delta?.partial_json ?? delta?.tool_calls?.[0]?.function?.arguments;
  return typeof said === 'string' && said ? JSON.stringify(said) : data.slice(0, 120);
}

function pretty(data) {
  const value = jsonOf(data);
  return value ? JSON.stringify(shortened(value), null, 2) : data;
}

/** The events in pieces of a body; each has the time of the piece that completes it. */
function split(pieces) {
  const events = [];
  let rest = '';
  let last = 0;
  for (const [at, text] of pieces) {
    last = at;
    const parts = (rest + text).split('\n\n');
    rest = parts.pop();
    events.push(...parts.filter((part) => part.trim()).map((part) => event(at, part)));
  }
  return rest.trim() ? [...events, event(last, rest)] : events;
}

function event(at, text) {
  const name = /^event: (.*)$/m.exec(text)?.[1];
  const data = /^data: (.*)$/m.exec(text)?.[1] ?? text;
  const value = name ? null : jsonOf(data);
  return { at, name: name ?? (data === '[DONE]' ? '[DONE]' : value?.object ?? (value?.error ? 'error' : value?.type ?? 'body')), data: data === '[DONE]' ? '' : data };
}

function jsonOf(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** A request's standing, as a word. */
export function standing(request) {
  return request?.error ? pill(request.status < 500 ? 'warn' : 'bad', `${request.status} ${request.error.replaceAll('_', ' ')}`) : pill('good', request?.status ?? 200);
}
