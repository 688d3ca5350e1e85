// The running configuration as it is understood, without secrets; and a draft of another, checked as it is typed.
import { html, nothing } from '../vendor/lit-html.js';
import { get, send } from '../parts/api.js';
import { heading, pill } from '../parts/parts.js';

const PAUSE_MS = 500;

export function open(app) {
  const draft = { text: '', mistakes: null, problem: '', timer: 0, number: 0 };

  function typed(event) {
    draft.text = event.target.value;
    clearTimeout(draft.timer);
    draft.timer = setTimeout(check, PAUSE_MS);
  }

  async function check() {
    const number = ++draft.number;
    try {
      const { mistakes } = await send('POST', '/admin/settings/check', { yaml: draft.text });
      if (number === draft.number) Object.assign(draft, { mistakes, problem: '' });
    } catch (error) {
      if (number === draft.number) Object.assign(draft, { mistakes: null, problem: error.message });
    }
    app.update();
  }

  return {
    title: 'Settings',
    load: () => get('/admin/settings'),
    view: ({ sections }) => html`
      ${heading('Settings', 'The running configuration, without its secrets. What differs from the default is marked.', html`<label class="check"><input type="checkbox"
        .checked=${showsAll()} @change=${(event) => { app.query({ all: event.target.checked ? '1' : '' }); app.update(); }}> All settings</label>`)}
      ${app.mayWrite ? drafting() : nothing}
      <div class="sections">${sections.map(section)}</div>`,
    close: () => clearTimeout(draft.timer),
  };

  function drafting() {
    const { mistakes, problem, text } = draft;
    return html`<section class="card"><h2>Check a draft</h2><p class="note">Nothing is changed by it: the same messages as <code>dragoman check</code>. Files and commands of secrets are neither read nor started.</p>
      <textarea aria-label="A draft of a configuration, in YAML" rows="9" spellcheck="false" maxlength="60000" placeholder="server:&#10;  port: 8080" @input=${typed}></textarea>
      <div role="status">${problem ? html`<p class="problem">${problem}</p>`
        : mistakes === null || !text ? nothing
        : mistakes.length ? html`<p>${pill('bad', `${mistakes.length} ${mistakes.length === 1 ? 'mistake' : 'mistakes'}`)}</p><ul class="mistakes">${mistakes.map((each) => html`<li>${each.text}</li>`)}</ul>`
        : html`<p>${pill('good', 'This configuration can be used')}</p>`}</div></section>`;
  }
}

function showsAll() {
  return new URLSearchParams(location.search).get('all') === '1';
}

function section(each) {
  const blocks = each.entries ?? [each.settings];
  const shown = blocks.map((block) => (showsAll() ? block : block.filter((setting) => setting.source !== 'default')));
  const isEmpty = shown.every((block) => !block.length);
  if (isEmpty && each.settings && !showsAll()) return nothing;
  return html`<section class="card"><h2><code>${each.name}</code></h2>
    ${each.entries && !each.entries.length ? html`<p class="note">${each.none}</p>` : nothing}
    ${shown.filter((block) => block.length).map((block) => html`<dl class="settings">${block.map((setting) => html`<div>
      <dt><code>${setting.name}</code>${setting.source === 'default' ? nothing : html` <span class="mark">${setting.source}</span>`}</dt>
      <dd><b class="num">${setting.value}</b><span class="note">${setting.meaning}</span></dd></div>`)}</dl>`)}</section>`;
}
