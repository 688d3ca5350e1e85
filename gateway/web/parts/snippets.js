// A request as programs to copy: curl, Python, TypeScript.

const LONG = 400;

/** The programs of a body; files stand in them by their beginnings, unless they are to be copied `whole`. */
export function snippets(api, path, body, isOpen, whole = false) {
  const shown = whole ? body : shortened(body);
  const key = isOpen ? 'any-text' : 'YOUR_KEY';
  return { curl: curl(path, shown, isOpen), Python: python(api, shown, key), TypeScript: typescript(api, shown, key) };
}

/** A value whose long texts are cut. */
export function shortened(value) {
  if (typeof value === 'string') return value.length > LONG ? `${value.slice(0, 80)}… (${value.length.toLocaleString('en-US')} characters)` : value;
  if (Array.isArray(value)) return value.map(shortened);
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, shortened(each)]));
  return value;
}

function curl(path, body, isOpen) {
  const data = JSON.stringify(body, null, 2).replaceAll("'", "'\\''");
  const header = isOpen ? '' : " \\\n  -H 'authorization: Bearer YOUR_KEY'";
  return `curl -N ${location.origin}${path} \\\n  -H 'content-type: application/json'${header} \\\n  -d '${data}'`;
}

function python(api, body, key) {
  const call = api === 'chat' ? 'chat.completions.create' : 'responses.create';
  const loop = api === 'chat'
    ? 'for chunk in stream:\n    if chunk.choices:\n        print(chunk.choices[0].delta.content or "", end="")'
    : 'for event in stream:\n    if event.type == "response.output_text.delta":\n        print(event.delta, end="")';
  const fields = Object.entries(body).map(([name, value]) => `    ${name}=${literal(value, '    ')},\n`).join('');
  return `from openai import OpenAI

client = OpenAI(base_url="${location.origin}/v1", api_key="${key}")
stream = client.${call}(
${fields})
${loop}
`;
}

function literal(value, indent) {
  if (value === null) return 'None';
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (typeof value !== 'object') return JSON.stringify(value);
  const inner = `${indent}    `;
  const parts = Array.isArray(value) ? value.map((each) => literal(each, inner)) : Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${literal(each, inner)}`);
  const [open, close] = Array.isArray(value) ? '[]' : '{}';
  const line = open + parts.join(', ') + close;
  return line.length < 80 && !line.includes('\n') ? line : `${open}\n${parts.map((part) => `${inner}${part},\n`).join('')}${indent}${close}`;
}

function typescript(api, body, key) {
  const call = api === 'chat' ? 'chat.completions.create' : 'responses.create';
  const loop = api === 'chat'
    ? 'for await (const chunk of stream) {\n  process.stdout.write(chunk.choices[0]?.delta.content ?? "");\n}'
    : 'for await (const event of stream) {\n  if (event.type === "response.output_text.delta") process.stdout.write(event.delta);\n}';
  return `import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${location.origin}/v1", apiKey: "${key}" });
const stream = await client.${call}(${JSON.stringify(body, null, 2)});
${loop}
`;
}
