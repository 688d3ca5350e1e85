// Is all well? Requests, tokens, money and times of the last fifteen minutes, as they happen.
import { html, nothing } from '../vendor/lit-html.js';
import { get } from '../parts/api.js';
import { chart } from '../parts/chart.js';
import { count, money, ms, percent } from '../parts/format.js';
import { heading } from '../parts/parts.js';

export function open() {
  const charts = [
    chart('requests', 'Requests a second', [['answered', 'good'], ['failed', 'bad']], count),
    chart('times', 'Time to the first token', [['half', 'accent'], ['95 %', 'second']], ms),
    chart('tokens', 'Tokens a second', [['input', 'accent'], ['output', 'second']], count),
    chart('spend', 'Dollars an hour', [['cost', 'accent']], (value) => (value === null ? '–' : `$${value.toFixed(value > 0 && value < 1 ? 4 : 2)}`)),
  ];
  return {
    title: 'Overview',
    every: 2000,
    load: () => get('/admin/overview'),
    view: (data) => html`
      ${heading('Overview', 'The last 15 minutes, all workers together.')}
      ${data.total.requests ? nothing : html`<p class="hint">No request has ended in the last 15 minutes.
        The <a href="/console/playground">Playground</a> shows how to send one.</p>`}
      ${figures(data)}
      <div class="charts">${charts.map((each) => each.view(series(each.name, data)))}</div>
      ${data.missing.length ? html`<p class="away">Without the workers ${data.missing.join(', ')}, which did not answer in time.</p>` : nothing}`,
    shown: () => charts.forEach((each) => each.shown()),
    close: () => charts.forEach((each) => each.close()),
  };
}

/** The sum of the last so many slices, the running one included. */
function lately(values, slices = 12) {
  return values.slice(-slices).reduce((sum, value) => sum + value, 0);
}

function figures({ now, series, total, slice_seconds: seconds }) {
  const minute = 12 * seconds;
  const last = Math.max(1, lately(series.requests));
  const figure = (label, value, note, kind = '') => html`<div class="figure ${kind}"><dt>${label}</dt><dd><b class="num">${value}</b><span>${note}</span></dd></div>`;
  const failed = lately(series.errors);
  return html`<dl class="figures">
    ${figure('Requests', `${count(lately(series.requests) / minute)}/s`, `${count(total.requests)} in 15 min`)}
    ${figure('Failed', percent(failed, last), `${count(total.errors)} in 15 min`, failed ? 'bad' : '')}
    ${figure('First token', ms(total.first_p50_ms), `95 %: ${ms(total.first_p95_ms)} · 99 %: ${ms(total.first_p99_ms)}`)}
    ${figure('Whole answer', ms(total.total_p50_ms), `95 %: ${ms(total.total_p95_ms)} · 99 %: ${ms(total.total_p99_ms)}`)}
    ${figure('Tokens', count(total.input + total.output), `${count(total.input)} in · ${count(total.output)} out`)}
    ${figure('From the cache', percent(total.cached, total.input), 'of the input tokens')}
    ${figure('Spent', money(total.nano_dollars), `${money((lately(series.nano_dollars) / minute) * 3600)} an hour now`)}
    ${figure('Open', count(now.open), `${count(now.streams)} streaming · ${count(now.waiting)} waiting for a key`)}
  </dl>`;
}

/** The columns of a chart: times, and one list of values for each line, in groups of three slices that are over. */
function series(name, { start, series: all, slice_seconds: seconds }) {
  const size = 3;
  const over = all.requests.length - 1;
  const skipped = over % size;
  const places = [...Array(Math.floor(over / size)).keys()];
  const group = (values, place) => values.slice(skipped + place * size, skipped + (place + 1) * size);
  const at = places.map((place) => start + (skipped + (place + 1) * size) * seconds);
  const sums = (values, unit = 1) => places.map((place) => {
    const part = group(values, place);
    return part.reduce((sum, value) => sum + value, 0) / (size * seconds) / unit;
  });
  const most = (values) => places.map((place) => {
    const part = group(values, place).filter((value) => value !== null);
    return part.length ? Math.max(...part) : null;
  });
  const lines = {
    requests: () => [sums(all.requests.map((value, place) => value - all.errors[place])), sums(all.errors)],
    times: () => [most(all.first_p50_ms), most(all.first_p95_ms)],
    tokens: () => [sums(all.input), sums(all.output)],
    spend: () => [sums(all.nano_dollars, 1e9 / 3600)],
  };
  return [at, ...lines[name]()];
}
