// What became of a request on its way: what `x-gateway-adjusted` names, and what has another place in Messages.

const REASONS = {
  model: 'this model does not take it', host: 'this host does not take it', thinking: 'it does not go with thinking',
  unsupported: 'Messages has no counterpart', range: 'outside the range that Messages takes', limit: 'more than Messages takes',
  schema: 'the schema is outside the subset that Messages keeps to', temperature: 'only one of the two can be sent',
  blank: 'it was empty', max_tokens: 'the limit of tokens leaves no room', 'not-allowed': 'the configuration does not allow it',
  minimum: 'below the least that Messages takes', key: 'the most that this key may ask for', budget: 'what the budget has left',
  account: 'another account has signed it', order: 'longer marks have to come first', single: 'its role has one name only',
  'name-taken': 'a tool has that name already', 'no-tools': 'there are no tools to choose from', tools: 'tools win',
};

/** What is said to have become of fields: `{field, kind, what}`, kind `dropped` or `rewritten`. */
export function adjustments(header) {
  return (header ?? '').split('; ').filter(Boolean).map((text) => {
    const [, field, change, reason] = /^([^=]+?)(?:=(.*?))?(?::([^:]*))?$/.exec(text) ?? [null, text, '', ''];
    if (field === 'unknown') return { field: 'unknown', kind: 'dropped', what: `${reason ?? change} fields that OpenAI’s API does not know` };
    const isDropped = !change || change.endsWith('dropped');
    const [from, to] = (change ?? '').split('->');
    const why = REASONS[reason] ?? (reason ? `because of ${reason}` : '');
    const what = isDropped ? why : [to === undefined ? change : `${from} became ${to}`, why].filter(Boolean).join(': ');
    return { field, kind: isDropped ? 'dropped' : 'rewritten', what };
  });
}

/** Lines of JSON whose path begins with this one; numbers of lists, and the `function` around a tool, may stand between. */
export function below(field) {
  const names = field.split('.').map((name) => name.replace(/[^\w]/g, '\\$&'));
  return new RegExp(`^${names.join('(\\.\\d+)*(\\.function)?\\.')}(\\.|$)`);
}

const content = (sent) => (Array.isArray(sent.input) ? sent.input : sent.messages ?? []).flatMap((each) => (Array.isArray(each.content) ? each.content : []));
const isSystem = ({ role }) => role === 'system' || role === 'developer';

// Whether a field was sent, where it stands on both sides, and what to say.
const MOVES = [
  [(sent) => sent.messages?.some(isSystem), (sent) => new RegExp(`^messages\\.(${sent.messages.flatMap((each, place) => (isSystem(each) ? [place] : [])).join('|')})(\\.|$)`), 'system', 'messages → system', 'the system message is a field of its own'],
  [(sent) => sent.instructions, 'instructions', 'system', 'instructions → system', 'the system prompt'],
  [(sent) => sent.input, () => /^input$/, 'messages', 'input → messages', 'items became messages; reasoning, calls and results are their blocks'],
  [(sent) => sent.tools?.some((each) => each.function || each.parameters), 'tools.parameters', 'tools.input_schema', 'tools.parameters → input_schema', 'another name'],
  [(sent) => sent.messages?.some((each) => each.tool_calls), 'messages.tool_calls', 'messages.content.input', 'tool_calls → content', 'calls and their results are blocks of messages'],
  [(sent) => content(sent).some((part) => part.image_url), (sent) => below(`${sent.input ? 'input' : 'messages'}.content.image_url`), 'messages.content.source', 'image_url → source', 'an image is a block with a source'],
  [(sent) => content(sent).some((part) => part.file || part.file_data), (sent) => below(sent.input ? 'input.content.file_data' : 'messages.content.file'), 'messages.content.source', 'file → source', 'a file is a document with a source'],
  [(sent) => sent.response_format, 'response_format', 'output_config.format', 'response_format → output_config.format', 'the schema of the answer'],
  [(sent) => sent.text, 'text', 'output_config.format', 'text.format → output_config.format', 'the schema of the answer'],
  [(sent) => sent.reasoning_effort, 'reasoning_effort', 'output_config.effort', 'reasoning_effort → output_config.effort', 'how much to think'],
  [(sent) => sent.reasoning, 'reasoning', 'output_config.effort', 'reasoning.effort → output_config.effort', 'how much to think'],
  [(sent) => sent.max_completion_tokens, 'max_completion_tokens', 'max_tokens', 'max_completion_tokens → max_tokens', 'another name'],
  [(sent) => sent.max_output_tokens, 'max_output_tokens', 'max_tokens', 'max_output_tokens → max_tokens', 'another name'],
  [(sent) => sent.stop, 'stop', 'stop_sequences', 'stop → stop_sequences', 'another name'],
  [(sent) => sent.user, 'user', 'metadata', 'user → metadata.user_id', 'the end user'],
];

/** The moves of a request that are seen on both sides. */
export function moves(sent, got) {
  const there = [...paths(got)];
  const found = MOVES.filter(([applies, , to]) => applies(sent) && there.some((path) => below(to).test(path)));
  return found.map(([, from, to, field, what]) => ({ field, kind: 'moved', what, from: typeof from === 'string' ? below(from) : from(sent), to: to === 'messages' ? /^messages$/ : below(to) }));
}

/** What the gateway has added by itself. */
export function additions(sent, got) {
  const found = [];
  if (got.max_tokens && !['max_tokens', 'max_completion_tokens', 'max_output_tokens'].some((name) => sent[name])) found.push({ field: 'max_tokens', kind: 'added', what: 'Messages requires a limit: the most that the model can write' });
  if ([...paths(got)].some((path) => path.endsWith('cache_control'))) found.push({ field: 'cache_control', kind: 'added', what: 'marks what upstream may read from its prompt cache next time', to: /cache_control/ });
  if (got.thinking && !sent.thinking) found.push({ field: 'thinking', kind: 'added', what: sent.reasoning_effort || sent.reasoning ? 'the form in which this model thinks' : 'whether it thinks, which nobody has said' });
  return found;
}

function* paths(value, path = '') {
  if (!value || typeof value !== 'object') return;
  for (const [name, each] of Object.entries(value)) {
    const here = Array.isArray(value) ? path : path ? `${path}.${name}` : name;
    if (!Array.isArray(value)) yield here;
    yield* paths(each, here);
  }
}
