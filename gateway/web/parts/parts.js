// What all pages are made of: states, icons, pills, bars, code to copy, dialogs.
import { html, svg, nothing } from '../vendor/lit-html.js';

const PATHS = {
  playground: 'M4 5h16v11H9l-5 4z',
  overview: 'M4 19V9m5 10V5m5 14v-7m5 7V8',
  keys: 'M15 14a5 5 0 1 0-4.6-3L3 18.4V21h4v-2h2v-2h2l2-2.4A5 5 0 0 0 15 14zM16.5 8h.01',
  callers: 'M12 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8zm-8 9c1-4 4-6 8-6s7 2 8 6',
  requests: 'M4 6h16M4 12h10M4 18h13',
  models: 'M12 3l8 4.5v9L12 21l-8-4.5v-9zM12 12l8-4.5M12 12v9M12 12L4 7.5',
  settings: 'M4 7h9m4 0h3M4 17h3m4 0h9M15 5v4M9 15v4',
  light: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2m0 16v2M2 12h2m16 0h2M5 5l1.5 1.5m11 11L19 19M5 19l1.5-1.5m11-11L19 5',
  out: 'M14 4h5v16h-5M4 12h10m-3-4 4 4-4 4',
};

export function icon(name) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">${svg`<path d=${PATHS[name]}></path>`}</svg>`;
}

/** A state as a word with a mark: never told by its colour alone. */
export function pill(kind, text) {
  const marks = { good: '●', warn: '◐', bad: '✕', off: '○' };
  return html`<span class="pill ${kind}"><span aria-hidden="true">${marks[kind]}</span> ${text}</span>`;
}

/** A bar with its words: of what is left, or of what is used. */
export function bar(label, value, most, words, of = 'left') {
  const part = most > 0 ? Math.min(1, Math.max(0, value / most)) : 0;
  const rest = of === 'left' ? part : 1 - part;
  const kind = rest < 0.1 ? 'low' : rest < 0.3 ? 'middle' : 'high';
  return html`<div class="bar ${of}">
    <span class="bar-label" title=${label}>${label}</span>
    <svg class="track ${kind}" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label="${label}: ${words}">
      <rect width="100" height="6" class="rail"></rect><rect width=${(part * 100).toFixed(1)} height="6" class="fill"></rect>
    </svg>
    <span class="bar-words num">${words}</span>
  </div>`;
}

export function empty(title, text, more = nothing) {
  return html`<div class="state"><h2>${title}</h2><p>${text}</p>${more}</div>`;
}

export function loading() {
  return html`<div class="skeleton" role="status" aria-label="Loading"><i></i><i></i><i></i><i></i></div>`;
}

export function failure(message, retry) {
  return html`<div class="state bad" role="alert"><h2>This could not be loaded</h2><p>${message}</p>
    <button @click=${retry}>Try again</button></div>`;
}

/** Code with a button that copies it, or what it stands for. */
export function code(text, label = 'Code', whole = text) {
  return html`<div class="code"><pre tabindex="0" aria-label=${label}>${text}</pre>
    <button class="small" @click=${(event) => copy(event.currentTarget, whole)}>Copy</button></div>`;
}

async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = 'Copied';
  } catch {
    const range = document.createRange();
    range.selectNodeContents(button.parentElement.querySelector('pre'));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    button.textContent = 'Press Ctrl-C';
  }
  setTimeout(() => { button.textContent = 'Copy'; }, 1500);
}

/** A heading with what can be done on the page to its right. */
export function heading(title, note, actions = nothing) {
  return html`<header class="page-head"><div><h1>${title}</h1><p class="note">${note}</p></div><div class="actions">${actions}</div></header>`;
}

/** Opens the dialog that `content` renders into; it closes with Escape, or by `close`. */
export function dialog(title, content, close) {
  return html`<dialog class="dialog" aria-label=${title} @cancel=${(event) => { event.preventDefault(); close(); }}>
    <h2>${title}</h2>${content}</dialog>`;
}

/** Shows a dialog that was just rendered. */
export function openDialogs() {
  for (const found of document.querySelectorAll('dialog:not([open])')) found.showModal();
}
