// A line chart that is drawn by uPlot, which is loaded with the first one.
import { html } from '../vendor/lit-html.js';

const HEIGHT = 150;
let drawing = null;

/**
 * @param {string} name for the element
 * @param {string} title
 * @param {[string, string][]} lines their labels, and the names of their colours
 * @param {(value: number | null) => string} words
 */
export function chart(name, title, lines, words) {
  let plot = null;
  let wanted = null;
  let observer = null;

  const element = () => document.getElementById(`chart-${name}`);

  async function shown() {
    drawing ??= import('../vendor/uplot.js');
    const { default: Plot } = await drawing;
    const place = element();
    if (!place || !wanted) return;
    if (plot?.root.parentElement !== place || plot.theme !== theme()) {
      stop();
      plot = new Plot(options(place.clientWidth), wanted, place);
      plot.theme = theme();
      observer = new ResizeObserver(() => plot?.setSize({ width: place.clientWidth, height: HEIGHT }));
      observer.observe(place);
    } else {
      plot.setData(wanted);
    }
  }

  function stop() {
    observer?.disconnect();
    plot?.destroy();
    plot = null;
  }

  function options(width) {
    const style = getComputedStyle(document.documentElement);
    const colour = (kind) => style.getPropertyValue(`--${kind}`).trim();
    const axis = { stroke: colour('quiet'), grid: { stroke: colour('line'), width: 1 }, ticks: { show: false }, font: '11px system-ui' };
    return {
      width, height: HEIGHT, cursor: { y: false, points: { size: 6 } }, legend: { show: false },
      scales: { y: { range: (_, __, max) => [0, max > 0 ? max * 1.15 : 1] } },
      axes: [
        { ...axis, size: 26, values: (_, at) => at.map((each) => new Date(each * 1000).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' })), space: 60 },
        { ...axis, size: 62, values: (_, values) => values.map(words), space: 32 },
      ],
      series: [{}, ...lines.map(([label, kind], place) => ({
        label, stroke: colour(kind), width: 1.5, dash: place ? [4, 3] : undefined, points: { show: false }, spanGaps: false,
      }))],
      hooks: { setCursor: [(each) => tell(each)] },
    };
  }

  function tell(each) {
    const place = each.cursor.idx;
    const value = element()?.parentElement.querySelectorAll('[data-value]') ?? [];
    value.forEach((one, number) => {
      const values = wanted[number + 1];
      one.textContent = words(place === null || place === undefined ? values[values.length - 1] : values[place]);
    });
  }

  return {
    name,
    view(data) {
      wanted = data;
      return html`<figure class="chart"><figcaption><h2>${title}</h2>
        ${lines.map(([label, kind]) => html`<span class="key"><i class=${kind} aria-hidden="true"></i>${label} <b class="num" data-value></b></span>`)}
        </figcaption><div class="plot" id="chart-${name}" aria-hidden="true"></div></figure>`;
    },
    shown: () => shown().then(() => plot && tell(plot)),
    close: stop,
  };
}

function theme() {
  return document.documentElement.dataset.theme ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
}
