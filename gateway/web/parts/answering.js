// Asks a model with the session of the console, and reads the stream of either API into one answer.

const FAILED = 'The stream has ended without an end: the connection was cut.';

/** An answer before anything of it has arrived. */
export function emptyAnswer() {
  return { role: 'assistant', state: 'waiting', text: '', reasoning: '', refusal: '', calls: [], sources: [], items: null, usage: null, reason: null, error: null, id: null, adjusted: null };
}

/** Fill an answer; `told` is called after each change. Never raises: what goes wrong is in the answer. */
export async function ask(path, body, answer, signal, told) {
  const headers = { 'content-type': 'application/json', 'x-dragoman-console': '1', 'x-gateway-wire': '1' };
  try {
    const response = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body), signal });
    answer.id = response.headers.get('x-request-id');
    answer.adjusted = response.headers.get('x-gateway-adjusted');
    if (!response.ok) {
      fail(answer, await errorOf(response));
    } else {
      await read(response, answer, told);
    }
  } catch (error) {
    if (signal.aborted) answer.state = 'stopped';
    else fail(answer, { message: answer.id ? FAILED : 'The gateway does not answer.' });
  }
  told();
}

async function errorOf(response) {
  const text = await response.text();
  try {
    return { status: response.status, ...JSON.parse(text).error };
  } catch {
    return { status: response.status, message: text.slice(0, 500) };
  }
}

async function read(response, answer, told) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const take = (event) => ('object' in event ? takeChunk(answer, event) : takeEvent(answer, event));
  let rest = '';
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    const events = (rest + piece.value).split('\n\n');
    rest = events.pop();
    for (const event of events) {
      const line = event.split('\n').find((each) => each.startsWith('data: '))?.slice(6);
      if (line === '[DONE]') end(answer);
      else if (line) take(JSON.parse(line));
    }
    told();
  }
  if (answer.state === 'waiting' || answer.state === 'streaming') fail(answer, { message: FAILED });
}

function end(answer) {
  if (answer.state !== 'failed') answer.state = 'done';
}

function fail(answer, error) {
  answer.state = 'failed';
  answer.error = error;
}

function takeChunk(answer, chunk) {
  const [choice] = chunk.choices;
  if (answer.state === 'waiting' && choice) answer.state = 'streaming';
  if (chunk.usage) answer.usage = { input: chunk.usage.prompt_tokens, output: chunk.usage.completion_tokens, reasoning: chunk.usage.completion_tokens_details?.reasoning_tokens };
  if (!choice) return;
  const { delta } = choice;
  answer.text += delta.content ?? '';
  answer.refusal += delta.refusal ?? '';
  answer.reasoning += delta.reasoning_content ?? '';
  answer.reason = choice.finish_reason ?? answer.reason;
  for (const part of delta.tool_calls ?? []) {
    const call = (answer.calls[part.index] ??= { id: '', name: '', arguments: '', result: '' });
    call.id ||= part.id ?? '';
    call.name ||= part.function?.name ?? '';
    call.arguments += part.function?.arguments ?? '';
  }
  answer.sources.push(...(delta.annotations ?? []).map(source), ...(delta.citations ?? []).map(source));
}

const EVENTS = {
  'response.output_text.delta': (answer, event) => { answer.text += event.delta; },
  'response.refusal.delta': (answer, event) => { answer.refusal += event.delta; },
  'response.reasoning_summary_text.delta': (answer, event) => { answer.reasoning += event.delta; },
  'response.reasoning_text.delta': (answer, event) => { answer.reasoning += event.delta; },
  'response.output_item.added': (answer, { item }) => {
    if (item.type === 'function_call') answer.calls.push({ item: item.id, id: item.call_id, name: item.name, arguments: '', result: '' });
  },
  'response.function_call_arguments.delta': (answer, event) => {
    const call = answer.calls.find((each) => each.item === event.item_id);
    if (call) call.arguments += event.delta;
  },
  'response.output_item.done': (answer, { item }) => {
    for (const part of item.content ?? []) answer.sources.push(...(part.annotations ?? []).map(source), ...(part.citations ?? []).map(source));
  },
  'response.completed': (answer, { response }) => { complete(answer, response); end(answer); },
  'response.incomplete': (answer, { response }) => {
    complete(answer, response);
    answer.reason = response.incomplete_details?.reason ?? 'incomplete';
    end(answer);
  },
  'response.failed': (answer, { response }) => fail(answer, response.error ?? { message: FAILED }),
  error: (answer, event) => fail(answer, event.error ?? event),
};

function takeEvent(answer, event) {
  if (answer.state === 'waiting') answer.state = 'streaming';
  if (event.error && !event.type) fail(answer, event.error);
  else EVENTS[event.type]?.(answer, event);
}

function complete(answer, response) {
  answer.items = response.output;
  answer.reason = response.status;
  const { usage } = response;
  if (usage) answer.usage = { input: usage.input_tokens, output: usage.output_tokens, reasoning: usage.output_tokens_details?.reasoning_tokens };
}

function source(found) {
  const link = found.url_citation ?? found;
  return { title: link.title ?? link.document_title ?? link.url ?? 'Source', url: /^https?:\/\//.test(link.url ?? '') ? link.url : null, quote: link.cited_text ?? '' };
}
