// Writes the body of a request from what the playground holds: as a chat completion, or for the Responses API.

export const PATHS = { chat: '/v1/chat/completions', responses: '/v1/responses' };

/** What is not JSON, by the name of its field. */
export class Unreadable extends Error {}

/** @param {object} state the fields of the page, and `turns`; what is in `draft` becomes the last message */
export function bodyOf(state) {
  const turns = [...state.turns];
  if (state.draft.trim() || state.files.length) turns.push({ role: 'user', text: state.draft, files: state.files });
  const body = state.api === 'chat' ? chat(state, turns) : responses(state, turns);
  return { ...body, stream: true, ...parsed(state.more, 'Further fields', 'object') };
}

function chat(state, turns) {
  const tools = parsed(state.tools, 'Tools', 'array');
  const schema = schemaOf(state);
  return {
    model: state.model,
    messages: [...(state.system.trim() ? [{ role: 'system', content: state.system }] : []), ...turns.flatMap(chatMessages)],
    ...(tools?.length ? { tools: tools.map((tool) => (tool.type === 'function' && !tool.function ? nested(tool) : tool)) } : {}),
    ...(schema ? { response_format: { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema } } } : {}),
    ...(state.effort ? { reasoning_effort: state.effort } : {}),
    ...(state.max ? { max_completion_tokens: Number(state.max) } : {}),
    stream_options: { include_usage: true },
  };
}

function chatMessages(turn) {
  if (turn.role === 'user') {
    const files = turn.files.map(({ name, type, data }) => (type.startsWith('image/') ? { type: 'image_url', image_url: { url: data } } : { type: 'file', file: { filename: name, file_data: data } }));
    return [{ role: 'user', content: files.length ? [...files, ...words(turn.text, 'text')] : turn.text }];
  }
  const calls = callsOf(turn);
  if (!turn.text && !calls.length) return [];
  const made = calls.map((call) => ({ id: call.id, type: 'function', function: { name: call.name, arguments: call.arguments } }));
  return [
    { role: 'assistant', content: turn.text || null, ...(made.length ? { tool_calls: made } : {}) },
    ...calls.map((call) => ({ role: 'tool', tool_call_id: call.id, content: call.result })),
  ];
}

function responses(state, turns) {
  const tools = parsed(state.tools, 'Tools', 'array');
  const schema = schemaOf(state);
  return {
    model: state.model,
    ...(state.system.trim() ? { instructions: state.system } : {}),
    input: turns.flatMap(items),
    ...(tools?.length ? { tools: tools.map((tool) => (tool.function ? { type: 'function', ...tool.function } : tool)) } : {}),
    ...(schema ? { text: { format: { type: 'json_schema', name: 'answer', strict: true, schema } } } : {}),
    ...(state.effort ? { reasoning: { effort: state.effort, summary: 'auto' } } : {}),
    ...(state.max ? { max_output_tokens: Number(state.max) } : {}),
    store: false,
    include: ['reasoning.encrypted_content'],
  };
}

function items(turn) {
  if (turn.role === 'user') {
    const files = turn.files.map(({ name, type, data }) => (type.startsWith('image/') ? { type: 'input_image', image_url: data } : { type: 'input_file', filename: name, file_data: data }));
    return [{ role: 'user', content: files.length ? [...files, ...words(turn.text, 'input_text')] : turn.text }];
  }
  const calls = callsOf(turn);
  const said = turn.items ?? [
    ...(turn.text ? [{ role: 'assistant', content: turn.text }] : []),
    ...calls.map((call) => ({ type: 'function_call', call_id: call.id, name: call.name, arguments: call.arguments })),
  ];
  return [...said, ...calls.map((call) => ({ type: 'function_call_output', call_id: call.id, output: call.result }))];
}

/** The calls of an answer that has ended: one that was stopped may have half of them. */
function callsOf(turn) {
  return turn.state === 'done' ? turn.calls : [];
}

function words(text, type) {
  return text.trim() ? [{ type, text }] : [];
}

function nested({ type, ...rest }) {
  return { type, function: rest };
}

function schemaOf(state) {
  if (state.format !== 'schema') return null;
  return parsed(state.schema || '{}', 'The schema', 'object');
}

function parsed(text, name, kind) {
  if (!text.trim()) return null;
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Unreadable(`${name}: not valid JSON. ${error.message}`);
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value) !== (kind === 'array')) {
    throw new Unreadable(`${name}: expected ${kind === 'array' ? 'a list' : 'an object'}.`);
  }
  return value;
}
