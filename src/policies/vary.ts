import type { Fields } from '../exchange/fields.ts';

/** Adds a name to the answer's Vary, unless it is there or the answer varies by everything. */
export function addVary(fields: Fields, name: string): void {
  const values = fields.getAll('vary');
  if (values.length === 0) {
    fields.set('Vary', name);
    return;
  }
  const text = values.join(', ');
  const wanted = name.toLowerCase();
  const has = text.split(',').some((part) => {
    const word = part.trim();
    return word === '*' || word.toLowerCase() === wanted;
  });
  if (!has) fields.set('Vary', `${text}, ${name}`);
}
