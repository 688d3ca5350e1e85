// The messages of the playground, with files, calls of tools whose results are written here, and sources.
import { html, nothing } from '../vendor/lit-html.js';
import { count } from './format.js';
import { pill } from './parts.js';

const TYPES = ['image/png', 'image/jpeg', 'image/gif', 'image/webp', 'application/pdf'];
const MOST_BYTES = 10 * 1024 * 1024;

/** @param {object} state the page's fields @param {object} actions `set`, `send`, `stop`, `clear`, `samples`, `isRunning`, `changed` */
export function conversation(state, actions) {
  const last = state.turns.at(-1);
  const waits = last?.role === 'assistant' && last.state === 'done' && last.calls.length > 0;
  return html`<section class="card talk" aria-label="Conversation" @dragover=${(event) => event.preventDefault()} @drop=${(event) => { event.preventDefault(); take(event.dataTransfer.files, state, actions); }}>
    <div class="turns" aria-live="polite" tabindex="0" role="log" aria-label="Messages">${state.turns.length ? state.turns.map((turn) => (turn.role === 'user' ? asked(turn) : answered(turn, actions, waits && turn === last)))
      : html`<div class="welcome"><h2>Try one of these, or write below</h2>${actions.samples()}</div>`}</div>
    ${state.problem ? html`<p class="problem" role="alert">${state.problem}</p>` : nothing}
    <form class="composer" @submit=${(event) => { event.preventDefault(); actions.send(); }}>
      ${state.files.length ? html`<div class="files">${state.files.map((file) => fileOf(file, () => actions.set('files', state.files.filter((each) => each !== file))))}</div>` : nothing}
      <textarea aria-label="Message" rows="3" .value=${state.draft} placeholder="Write a message, or drop an image or a PDF here" @input=${(event) => actions.set('draft', event.target.value)} @keydown=${(event) => {
        if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) { event.preventDefault(); actions.send(); }
      }}></textarea>
      <div class="buttons"><label class="attach small">Attach<input class="hidden" type="file" accept=${TYPES.join(',')} multiple @change=${(event) => { take(event.target.files, state, actions); event.target.value = ''; }}></label>
        ${state.turns.length ? html`<button type="button" @click=${actions.clear}>Clear</button>` : nothing}
        ${actions.isRunning() ? html`<button class="primary" type="button" @click=${actions.stop}>Stop</button>`
          : html`<button class="primary" ?disabled=${!waits && !state.draft.trim() && !state.files.length}>${waits && !state.draft.trim() ? 'Send the results' : 'Send'}</button>`}</div>
    </form></section>`;
}

function asked(turn) {
  return html`<article class="turn user"><h3>You</h3>${turn.files.length ? html`<div class="files">${turn.files.map((file) => fileOf(file))}</div>` : nothing}<p>${turn.text}</p></article>`;
}

function answered(turn, actions, isOpen) {
  const { usage } = turn;
  return html`<article class="turn"><h3>Model ${STATES[turn.state]?.() ?? nothing}</h3>
    ${turn.reasoning ? html`<details class="reasoning" ?open=${!turn.text}><summary>Reasoning</summary><p>${turn.reasoning}</p></details>` : nothing}
    ${turn.text ? html`<p>${turn.text}</p>` : nothing}
    ${turn.refusal ? html`<p class="problem">${turn.refusal}</p>` : nothing}
    ${turn.calls.map((call) => callOf(call, actions, isOpen))}
    ${turn.sources.length ? html`<ol class="sources">${turn.sources.map((each) => html`<li>${each.url ? html`<a href=${each.url} target="_blank" rel="noreferrer noopener">${each.title}</a>` : each.title}${each.quote ? html` <span class="note">${each.quote}</span>` : nothing}</li>`)}</ol>` : nothing}
    ${turn.error ? html`<p class="problem" role="alert">${turn.error.status ? `${turn.error.status} ` : ''}${turn.error.code ?? turn.error.type ?? ''} ${turn.error.message}</p>` : nothing}
    ${usage ? html`<p class="note num">${count(usage.input)} tokens in, ${count(usage.output)} out${usage.reasoning ? `, ${count(usage.reasoning)} of them reasoning` : ''}${turn.reason ? `. Ended with ${turn.reason}` : ''}.</p>` : nothing}</article>`;
}

const STATES = {
  waiting: () => pill('off', 'waits'), streaming: () => pill('warn', 'writes'), stopped: () => pill('warn', 'stopped'), failed: () => pill('bad', 'failed'),
};

function callOf(call, actions, isOpen) {
  return html`<div class="call"><pre tabindex="0" aria-label="Call of ${call.name}"><b>${call.name}</b>(${call.arguments})</pre>
    ${isOpen ? html`<label>Result of ${call.name}<textarea rows="2" .value=${call.result} placeholder="What your program would answer" @input=${(event) => { call.result = event.target.value; actions.changed(); }}></textarea></label>`
      : call.result ? html`<p class="note">Result: ${call.result}</p>` : nothing}</div>`;
}

function fileOf(file, remove) {
  return html`<figure class="file">${file.type.startsWith('image/') ? html`<img src=${file.data} alt="">` : html`<span class="paper" aria-hidden="true">PDF</span>`}<figcaption>${file.name}</figcaption>
    ${remove ? html`<button class="small" type="button" @click=${remove} aria-label="Remove ${file.name}">✕</button>` : nothing}</figure>`;
}

async function take(files, state, actions) {
  const taken = [];
  let problem = '';
  // A copy: the list of an input is emptied with it.
  for (const file of [...files]) {
    if (!TYPES.includes(file.type)) problem = `${file.name}: an image or a PDF is expected.`;
    else if (file.size > MOST_BYTES) problem = `${file.name}: files have up to 10 MB here.`;
    else taken.push({ name: file.name, type: file.type, data: await dataOf(file) });
  }
  actions.set('files', [...state.files, ...taken]);
  state.problem = problem;
  actions.changed();
}

function dataOf(file) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(file);
  });
}
