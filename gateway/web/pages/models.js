// What names mean, what the models can do and cost, and what upstream has taught about them.
import { html, nothing } from '../vendor/lit-html.js';
import { get } from '../parts/api.js';
import { count } from '../parts/format.js';
import { heading, pill } from '../parts/parts.js';

export function open(app) {
  const wanted = () => (new URLSearchParams(location.search).get('find') ?? '').toLowerCase();
  return {
    title: 'Models',
    every: 30_000,
    load: () => get('/admin/models'),
    view({ models, aliases, lessons }) {
      const fits = (...texts) => texts.some((text) => String(text ?? '').toLowerCase().includes(wanted()));
      return html`
        ${heading('Models', 'Prices are dollars for a million tokens.', html`<input type="search" aria-label="Find a model or an alias" placeholder="Find" .value=${wanted()}
          @input=${(event) => { app.query({ find: event.target.value }); app.update(); }}>`)}
        ${lessons.length ? html`<section class="card"><h2>Learned from upstream</h2><p class="note">Kept for a day, and applied to every request.</p>
          <ul>${lessons.map(([host, model, what]) => html`<li><b>${model}</b> at ${host}: ${what}</li>`)}</ul></section>` : nothing}
        <section class="card"><h2>Models</h2><div class="scroller" tabindex="0" role="region" aria-label="Models"><table>
          <thead><tr><th>Model</th><th class="right">Context</th><th class="right">Output</th><th>Thinking</th><th>Effort</th><th class="right">Input $</th><th class="right">Output $</th><th class="right">Cached $</th><th>As of</th></tr></thead>
          <tbody>${models.filter((each) => fits(each.id, each.name, ...(each.also ?? []))).map(row)}</tbody></table></div></section>
        <section class="card"><h2>Aliases</h2><p class="note">The most precise name wins; those of the configuration come first.</p><div class="scroller" tabindex="0" role="region" aria-label="Aliases"><table>
          <thead><tr><th>Asked for</th><th>Answers</th></tr></thead>
          <tbody>${aliases.filter((each) => fits(each.name, each.model)).map((each) => html`<tr><td><code>${each.name}</code></td><td>${each.model}</td></tr>`)}</tbody></table></div></section>`;
    },
  };
}

function row(each) {
  const price = each.prices[0];
  const source = price?.source ?? each.source;
  return html`<tr><td><b>${each.name || each.id}</b><span class="note">${[each.id, ...(each.also ?? [])].join(', ')}</span>
      ${each.retires ? pill('warn', `retires ${each.retires}`) : nothing}</td>
    <td class="num right">${count(each.context)}</td><td class="num right">${count(each.max_output)}</td>
    <td>${(each.thinking ?? []).join(', ').replaceAll('_', ' ') || '–'}</td><td>${(each.efforts ?? []).join(', ') || '–'}</td>
    <td class="num right">${price ? price.input : '–'}</td><td class="num right">${price ? price.output : '–'}</td><td class="num right">${price ? price.cache_read : '–'}</td>
    <td>${each.is_price_assumed ? pill('warn', 'assumed') : nothing}<span class="note num" title=${source ?? ''}>${price?.date ?? each.date ?? ''}</span>
      ${each.prices.length > 1 ? html`<span class="note">more above ${count(price.up_to)} tokens</span>` : nothing}</td></tr>`;
}
