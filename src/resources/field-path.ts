/** Paths of fields as problems name them: `spec.rules[0].matches[1].path.value`, `metadata.annotations["a.b/c"]`. */

export function fieldPath(path: readonly PropertyKey[]): string {
  let text = '';
  for (let index = 0; index < path.length; index++) {
    const part = isOn(path, index) ? 'on' : (path[index] as PropertyKey);
    if (typeof part === 'number') text += `[${part}]`;
    else if (/^[A-Za-z_][A-Za-z0-9_-]*$/.test(String(part))) text += text === '' ? String(part) : `.${String(part)}`;
    else text += `[${JSON.stringify(String(part))}]`;
  }
  return text;
}

/** The field that its author has called `on`, and YAML 1.1 has made `true` (see resources/recovery.ts). */
function isOn(path: readonly PropertyKey[], index: number): boolean {
  return path[index] === 'true' && (path[index - 1] === 'retry' || path[index - 1] === 'fallback');
}

/** The inverse of `fieldPath`, but that `true` has become `on`; what follows a part that it would not have written is left out. */
export function parseFieldPath(text: string): (string | number)[] {
  const path: (string | number)[] = [];
  const part = /\.?([A-Za-z_][A-Za-z0-9_-]*)|\[([0-9]+)\]|\[("(?:[^"\\]|\\.)*")\]/y;
  for (let match = part.exec(text); match !== null; match = part.exec(text)) {
    if (match[1] !== undefined) path.push(match[1]);
    else if (match[2] !== undefined) path.push(Number(match[2]));
    else path.push(JSON.parse(match[3] as string) as string);
  }
  return path;
}
