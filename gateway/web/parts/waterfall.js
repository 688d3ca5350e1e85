// Where the time of one request went: reading, waiting for a key, each attempt with its first token.
import { html, svg } from '../vendor/lit-html.js';
import { ms } from './format.js';

export function waterfall(request) {
  const whole = Math.max(request.ms, ...(request.attempts ?? []).map((each) => each.ended_ms), 0.1);
  const steps = [
    ['Read and admitted', 'rest', 0, request.admitted_ms],
    ...(request.queued_ms ? [['Waited for a key', 'wait', request.admitted_ms, request.admitted_ms + request.queued_ms]] : []),
  ];
  for (const [place, each] of (request.attempts ?? []).entries()) {
    const name = `Attempt ${place + 1}: ${each.key}`;
    const first = each.first_token_ms ?? null;
    if (each.error || first === null) {
      steps.push([name, each.error ? 'bad' : 'asked', each.began_ms, each.ended_ms, each.error?.replaceAll('_', ' ')]);
    } else {
      steps.push([name, 'asked', each.began_ms, first, 'until the first token']);
      steps.push(['Answer', 'answer', first, each.ended_ms]);
    }
  }
  const last = Math.max(...steps.map(([, , , end]) => end));
  if (request.ms - last > whole / 100) steps.push(['Until the end', 'rest', last, request.ms]);
  return html`<ol class="waterfall">${steps.map(([name, kind, from, to, note]) => html`<li>
    <span class="step">${name}</span>
    <svg viewBox="0 0 1000 14" preserveAspectRatio="none" aria-hidden="true">${svg`
      <rect class="rail" width="1000" height="14"></rect>
      <rect class=${kind} x=${((from / whole) * 1000).toFixed(1)} width=${Math.max(2, ((to - from) / whole) * 1000).toFixed(1)} height="14"></rect>`}</svg>
    <span class="num took">${ms(Math.max(0, to - from))}${note ? html` <span class="note">${note}</span>` : ''}</span></li>`)}</ol>`;
}
