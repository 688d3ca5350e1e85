// How to send a request: commands to copy.
import { html } from '../vendor/lit-html.js';
import { get } from '../parts/api.js';
import { code, heading } from '../parts/parts.js';

export function open() {
  const base = `${location.origin}/v1`;
  return {
    title: 'Playground',
    load: () => get('/admin/session'),
    view: (session) => {
      const key = session.open ? 'any-text' : 'YOUR_KEY';
      const header = session.open ? '' : ` \\\n  -H 'authorization: Bearer ${key}'`;
      return html`
        ${heading('Playground', 'Send a request, then look at it under Requests.')}
        <section class="card"><h2>curl</h2>${code(`curl ${base}/chat/completions \\
  -H 'content-type: application/json'${header} \\
  -d '{"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello."}]}'`, 'curl')}</section>
        <section class="card"><h2>Python</h2>${code(`from openai import OpenAI

client = OpenAI(base_url="${base}", api_key="${key}")
answer = client.chat.completions.create(
    model="gpt-4o", messages=[{"role": "user", "content": "Say hello."}]
)
print(answer.choices[0].message.content)`, 'Python')}</section>
        <section class="card"><h2>TypeScript</h2>${code(`import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${base}", apiKey: "${key}" });
const answer = await client.chat.completions.create({
  model: "gpt-4o", messages: [{ role: "user", content: "Say hello." }],
});
console.log(answer.choices[0].message.content);`, 'TypeScript')}</section>`;
    },
  };
}
