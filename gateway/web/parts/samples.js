// What a first visitor can click: each shows something else of the gateway.

const WEATHER = [{
  type: 'function',
  function: {
    name: 'get_weather', description: 'The weather in a city now.',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
}];
const PERSON = {
  type: 'object', additionalProperties: false, required: ['name', 'city', 'languages'],
  properties: { name: { type: 'string' }, city: { type: 'string' }, languages: { type: 'array', items: { type: 'string' } } },
};
const text = (value) => JSON.stringify(value, null, 2);

/** Name, what it shows, and what it fills in; what it does not name becomes empty. */
export const SAMPLES = [
  ['Hello', 'A streamed answer', () => ({ draft: 'Say hello in three languages, and name them.' })],
  ['Tools', 'Calls, whose results you write', () => ({ draft: 'What is the weather in Paris and in New York?', tools: text(WEATHER) })],
  ['JSON', 'An answer that follows a schema', () => ({ draft: 'Invent a person from Lisbon.', format: 'schema', schema: text(PERSON) })],
  ['Image', 'A drawing that it looks at', () => ({ draft: 'What do you see in this image?', files: [drawing()] })],
  ['Reasoning', 'How it thinks before it answers', () => ({ draft: 'Three boxes hold 3, 5 and 8 balls. Move as few as possible so that two hold the same number.', effort: 'high', max: '4000' })],
  ['What is lost', 'Fields that Claude does not take', () => ({ draft: 'Say hello.', system: 'You are brief.', more: text({ temperature: 0.2, seed: 7, stop: ['END'] }) })],
];

function drawing() {
  const canvas = Object.assign(document.createElement('canvas'), { width: 240, height: 150 });
  const context = canvas.getContext('2d');
  const fill = (colour, ...box) => { context.fillStyle = colour; context.fillRect(...box); };
  fill('#f6f7f9', 0, 0, 240, 150);
  [[30, 50, '#3b5bdb'], [85, 80, '#3b5bdb'], [140, 35, '#b4530a'], [195, 110, '#0b7a3e']].forEach(([x, height, colour]) => fill(colour, x - 15, 135 - height, 30, height));
  return { name: 'bars.png', type: 'image/png', data: canvas.toDataURL('image/png') };
}
