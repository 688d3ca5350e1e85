// Talks to /admin, and the playground to /v1: nothing else is asked by the console, and all of it is documented for everybody.

/** The gateway has answered, and refused. */
export class Refused extends Error {
  constructor(status, message, code) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Nobody has answered. */
export class Disconnected extends Error {}

const PATIENCE_MS = 10_000;

async function call(path, options) {
  let answer;
  try {
    const headers = { 'x-dragoman-console': '1', ...options.headers };
    answer = await fetch(path, { ...options, headers, signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch {
    throw new Disconnected('The gateway does not answer.');
  }
  const text = await answer.text();
  let value = null;
  try {
    value = text ? JSON.parse(text) : null;
  } catch {
    throw new Refused(answer.status, `The answer with status ${answer.status} is not JSON.`, null);
  }
  if (!answer.ok) {
    const error = value?.error ?? {};
    throw new Refused(answer.status, error.message ?? `Status ${answer.status}.`, error.code ?? null);
  }
  return value;
}

/** @param {string} path @param {Record<string, unknown>} [query] what is empty is left out */
export function get(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== '');
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return call(text ? `${path}?${text}` : path, { method: 'GET' });
}

/** @param {string} method @param {string} path @param {unknown} [body] */
export function send(method, path, body) {
  const headers = body === undefined ? {} : { 'content-type': 'application/json' };
  return call(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
}
