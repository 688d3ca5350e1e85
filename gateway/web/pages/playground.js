// Ask a model, and look at both sides of the wire.
import { html, nothing } from '../vendor/lit-html.js';
import { get } from '../parts/api.js';
import { ask, emptyAnswer } from '../parts/answering.js';
import { bodyOf, PATHS, Unreadable } from '../parts/asking.js';
import { conversation } from '../parts/conversation.js';
import { code, heading } from '../parts/parts.js';
import { SAMPLES } from '../parts/samples.js';
import { snippets } from '../parts/snippets.js';
import { waterfall } from '../parts/waterfall.js';
import { eventsOf, factsOf, requestsOf, standing } from '../parts/wires.js';

const BLANK = { system: '', draft: '', files: [], tools: '', format: 'text', schema: '', effort: '', max: '', more: '' };
const EFFORTS = ['', 'none', 'minimal', 'low', 'medium', 'high', 'xhigh'];
const VIEWS = { requests: 'Requests', events: 'Events', times: 'Times', code: 'Code' };
const WIRE_WAITS_MS = [80, 300, 800, 2000];
// What somebody has begun stays while they look at another page of the console.
const state = { api: 'chat', model: '', ...BLANK, turns: [], problem: '', wire: null, wireProblem: '', view: 'requests', showsAll: false, body: null };
let running = null;
// Whether the end of the conversation is to be seen, after the next rendering as well.
let follows = false;

export function open(app) {
  const query = new URLSearchParams(location.search);
  const mayAsk = app.mayWrite || app.session.open;
  if (query.get('api') in PATHS) state.api = query.get('api');
  state.model = query.get('model') || state.model;
  let isPending = false;

  function changed() {
    if (isPending) return;
    isPending = true;
    requestAnimationFrame(() => { isPending = false; if (app.name === 'playground') app.update(); });
  }

  function set(name, value) {
    Object.assign(state, { [name]: value, problem: '' });
    if (name === 'model' || name === 'api') app.query({ model: state.model, api: state.api === 'chat' ? '' : state.api });
    changed();
  }

  /** Ask with what is written; nothing is written after a call of tools but their results. */
  async function send() {
    const isAnswering = state.turns.at(-1)?.calls?.length > 0 && state.turns.at(-1).state === 'done';
    if (running || !(isAnswering || state.draft.trim() || state.files.length)) return;
    try {
      state.body = bodyOf(state);
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      state.problem = error.message;
      changed();
      return;
    }
    if (state.draft.trim() || state.files.length) state.turns.push({ role: 'user', text: state.draft, files: state.files });
    const answer = emptyAnswer();
    state.turns.push(answer);
    Object.assign(state, { draft: '', files: [], problem: '', wire: null, wireProblem: '', showsAll: false });
    running = new AbortController();
    follows = true;
    changed();
    await ask(PATHS[state.api], state.body, answer, running.signal, changed);
    running = null;
    // The session has ended: loading again leads to signing in.
    if (answer.error?.status === 401) app.reload();
    else if (answer.id) await fetchWire(answer.id);
    changed();
  }

  async function fetchWire(id) {
    for (const wait of WIRE_WAITS_MS) {
      await new Promise((done) => { setTimeout(done, wait); });
      try {
        state.wire = await get(`/admin/requests/${encodeURIComponent(id)}/wire`);
        return;
      } catch (error) {
        state.wireProblem = /^Unknown request URL/.test(error.message) ? 'The request log is off (request_log.size), so that nothing is kept of requests.' : error.message;
        if (error.status !== 404) return;
      }
    }
  }

  function trySample(make) {
    Object.assign(state, BLANK, make(), { turns: [], problem: '', wire: null, wireProblem: '', body: null });
    send();
  }

  const actions = {
    mayAsk, set, send, changed,
    isRunning: () => running !== null,
    stop: () => running?.abort(),
    clear: () => { running?.abort(); Object.assign(state, { turns: [], wire: null, wireProblem: '', problem: '', body: null }); changed(); },
    samples: () => html`<div class="samples">${SAMPLES.map(([name, what, make]) => html`<button @click=${() => trySample(make)}><b>${name}</b><span class="note">${what}</span></button>`)}</div>`,
  };

  return {
    title: 'Playground',
    async load() {
      if (!mayAsk) return { models: [] };
      const found = await get('/v1/models');
      const models = found.data.map((each) => each.id);
      state.model ||= models.find((name) => /sonnet/.test(name)) ?? models[0] ?? 'gpt-4o';
      return { models };
    },
    shown() {
      const [turns, box] = ['.turns', '.composer textarea'].map((each) => document.querySelector(each));
      if (turns && follows) turns.scrollTop = turns.scrollHeight;
      follows &&= running !== null;
      // What is written and sent within one frame was never rendered, and would not be taken away by rendering.
      if (box && box.value !== state.draft) box.value = state.draft;
    },
    view: ({ models }) => html`
      ${heading('Playground', mayAsk ? 'Ask a model as your applications do, and see what becomes of it. Counted as the caller console.' : 'How to send a request. Viewers may look, but spend nothing: ask with an administrator’s session.')}
      <div class="play"><section class="card form" aria-label="Request">${fields(models)}</section>${mayAsk ? conversation(state, actions) : nothing}</div>
      ${wires()}`,
  };

  function fields(models) {
    const input = (name) => (event) => set(name, event.target.value);
    return html`
      <label>Model <input list="models" .value=${state.model} @change=${input('model')} spellcheck="false" autocomplete="off"></label>
      <datalist id="models">${models.map((name) => html`<option value=${name}></option>`)}</datalist>
      <label>API <select @change=${input('api')}>${Object.entries({ chat: 'Chat completions', responses: 'Responses' }).map(([value, text]) => html`<option value=${value} .selected=${state.api === value}>${text}</option>`)}</select></label>
      <div class="pair"><label>Effort <select @change=${input('effort')}>${EFFORTS.map((value) => html`<option value=${value} .selected=${state.effort === value}>${value || 'not said'}</option>`)}</select></label>
        <label>Max tokens <input inputmode="numeric" .value=${state.max} @input=${(event) => set('max', event.target.value.replace(/\D/g, ''))} placeholder="not said"></label></div>
      <label>Answer <select @change=${input('format')}><option value="text" .selected=${state.format === 'text'}>Text</option><option value="schema" .selected=${state.format === 'schema'}>JSON by a schema</option></select></label>
      ${state.format === 'schema' ? area('schema', 'Schema of the answer', 8, '{"type": "object", "properties": {}}') : nothing}
      ${area('system', 'System', 3, 'How it should answer', false)}
      ${area('tools', 'Tools, as JSON', state.tools ? 9 : 2, '[{"type": "function", …}]')}
      ${area('more', 'Further fields, as JSON', state.more ? 5 : 2, '{"temperature": 0.2}')}`;
  }

  function area(name, title, rows, hint, isCode = true) {
    return html`<label>${title}<textarea class=${isCode ? 'code-area' : ''} rows=${rows} spellcheck=${!isCode} .value=${state[name]} placeholder=${hint} @input=${(event) => set(name, event.target.value)}></textarea></label>`;
  }

  function wires() {
    const { wire, view } = state;
    return html`<section class="card wires" aria-label="Both wires">
      <div class="card-head"><h2>Both wires ${wire ? standing(wire.request) : nothing}</h2>
        <div class="tabs" role="group" aria-label="What of the request">${Object.entries(VIEWS).map(([name, title]) => html`<button class="small" aria-pressed=${view === name} @click=${() => set('view', name)}>${title}</button>`)}</div></div>
      ${view === 'code' ? programs() : wire ? html`${factsOf(wire)}${shown(wire, view)}`
        : html`<p class="note">${running ? 'They are shown when the answer has ended.' : state.wireProblem || 'Here you will see the request as it was sent beside the Messages request that it became, and the events of both sides with their times.'}</p>`}</section>`;
  }

  function shown(wire, view) {
    if (view === 'events') return eventsOf(wire, state.showsAll, () => set('showsAll', true));
    if (view === 'requests' || !wire.request) return requestsOf(wire);
    return html`${waterfall(wire.request)}<p><a href="/console/requests/${wire.request.id}">Everything that is known of this request</a></p>`;
  }

  function programs() {
    let body = state.body;
    try {
      if (!body || state.draft.trim()) body = bodyOf(state.draft.trim() || state.turns.length ? state : { ...state, draft: 'Say hello.' });
    } catch (error) {
      return html`<p class="problem">${error.message}</p>`;
    }
    const given = [state.api, PATHS[state.api], { ...body, model: body.model || 'gpt-4o' }, app.session.open];
    const whole = snippets(...given, true);
    return html`<div class="programs">${Object.entries(snippets(...given)).map(([name, text]) => html`<div><h3>${name}</h3>${code(text, name, whole[name])}</div>`)}</div>`;
  }
}
