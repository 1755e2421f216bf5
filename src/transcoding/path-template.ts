/** Path templates of google.api.http: `/v1/{name=shelves/*}/books/{book.id}:read`. */

/** What stands in the way of a template; its message follows the template itself. */
export class TemplateFlaw extends Error {}

interface Variable {
  /** Field path, as `book.id`. */
  readonly field: string;
  /** Elements that it covers; -1 as end: all that are left. */
  readonly start: number;
  readonly end: number;
}

export class PathTemplate {
  /** By element: what it says, `*`, or `**` as the last one. */
  readonly #elements: readonly string[];
  /** `:` and the verb; empty: there is none. */
  readonly #verb: string;
  readonly variables: readonly Variable[];
  /** Smaller goes first where two templates fit: what is written out before `*`, that before `**`, a verb before none. */
  readonly order: string;

  private constructor(elements: readonly string[], verb: string, variables: readonly Variable[]) {
    this.#elements = elements;
    this.#verb = verb === '' ? '' : `:${verb}`;
    this.variables = variables;
    this.order = elements.map((element) => (element === '**' ? 'c' : element === '*' ? 'b' : 'a')).join('') + (verb === '' ? '~' : '');
  }

  /** @throws TemplateFlaw */
  static parse(text: string): PathTemplate {
    const [, body = '', verb = ''] = /^\/(.*?)(?::([^/{}:]+))?$/s.exec(text) ?? fail('does not begin with /');
    const elements: string[] = [];
    const variables: Variable[] = [];
    for (let at = 0; at < body.length; ) {
      if (body[at] === '{') {
        const close = body.indexOf('}', at);
        const [, field = '', pattern = '*'] = /^([A-Za-z_][\w.]*)(?:=(.+))?$/.exec(body.slice(at + 1, close)) ?? fail('has braces that name no field');
        const start = elements.length;
        elements.push(...pattern.split('/'));
        variables.push({ field, start, end: elements.at(-1) === '**' ? -1 : elements.length });
        at = close + 1;
      } else {
        const slash = body.indexOf('/', at);
        const end = slash < 0 ? body.length : slash;
        elements.push(body.slice(at, end));
        at = end;
      }
      if (at < body.length && body[at] !== '/') fail('has braces that are no whole segment');
      at++;
      if (at === body.length) fail('ends with a slash');
    }
    for (const [index, element] of elements.entries()) {
      if (element === '' || (element !== '*' && element !== '**' && /[{}*]/.test(element))) fail('has a segment that is none');
      if (element === '**' && index < elements.length - 1) fail('has ** before its end');
    }
    return new PathTemplate(elements, verb, variables);
  }

  /**
   * @param path of `elementsOf`: a set may have a thousand templates, which are all asked
   * @returns values of the variables, percent-decoded; undefined where it does not fit
   * @throws URIError for a value that is no UTF-8
   */
  match(path: readonly string[]): ReadonlyMap<string, string> | undefined {
    const wanted = this.#elements;
    const verb = this.#verb;
    const isOpen = wanted.at(-1) === '**';
    // A verb needs an element to stand in.
    const length = verb === '' ? wanted.length : Math.max(1, wanted.length);
    if (isOpen ? path.length < wanted.length - 1 : path.length !== length) return undefined;
    let given = path;
    if (verb !== '') {
      const last = path.at(-1);
      if (last?.endsWith(verb) !== true) return undefined;
      const bare = last.slice(0, -verb.length);
      given = bare === '' && path.length === 1 ? [] : [...path.slice(0, -1), bare];
      if (isOpen ? given.length < wanted.length - 1 : given.length !== wanted.length) return undefined;
    }
    for (const [index, element] of wanted.entries()) {
      if (element === '**') break;
      if (element === '*' ? given[index] === '' : element !== given[index]) return undefined;
    }
    const values = new Map<string, string>();
    for (const { field, start, end } of this.variables) {
      values.set(
        field,
        given
          .slice(start, end < 0 ? undefined : end)
          .map(decodeURIComponent)
          .join('/'),
      );
    }
    return values;
  }
}

/** @param path normalised */
export function elementsOf(path: string): readonly string[] {
  return path === '/' ? [] : path.slice(1).split('/');
}

function fail(flaw: string): never {
  throw new TemplateFlaw(flaw);
}
