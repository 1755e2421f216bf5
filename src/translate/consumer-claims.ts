/** Whose each key, name, claim and subject of a namespace is, of ApiConsumers that want it: the oldest one's. */
import type { ApiConsumer } from '../resources/api-consumer.ts';
import type { Entry } from '../resources/resource-set.ts';
import { compareAge } from './order.ts';

export type WantType = 'key' | 'jwt' | 'user' | 'subject';

/** What a consumer would be known by. */
export interface Want {
  readonly type: WantType;
  readonly value: string;
}

type Consumer = Entry<ApiConsumer>;
/** Most places have one who wants them: then it stands there by itself. Several are in order of age. */
type Wanting = Consumer | Consumer[];

export class ConsumerClaims {
  /** By namespace and type, then by value. */
  readonly #places = new Map<string, Map<string, Wanting>>();

  /** Who has it; undefined: nobody wants it. */
  owner(namespace: string, { type, value }: Want): Consumer | undefined {
    const wanting = this.#places.get(`${type} ${namespace}`)?.get(value);
    return Array.isArray(wanting) ? wanting[0] : wanting;
  }

  /** @returns the others who want it */
  add(consumer: Consumer, { type, value }: Want): readonly Consumer[] {
    const place = `${type} ${consumer.namespace}`;
    let values = this.#places.get(place);
    if (values === undefined) {
      values = new Map();
      this.#places.set(place, values);
    }
    const wanting = values.get(value);
    if (wanting === undefined || wanting === consumer) {
      values.set(value, consumer);
      return NOBODY;
    }
    const others = (Array.isArray(wanting) ? wanting : [wanting]).filter((one) => one !== consumer);
    values.set(value, [...others, consumer].sort(compareAge));
    return others;
  }

  /** @returns the others who want it, whose it may be now */
  remove(consumer: Consumer, { type, value }: Want): readonly Consumer[] {
    const values = this.#places.get(`${type} ${consumer.namespace}`);
    const wanting = values?.get(value);
    if (values === undefined || wanting === undefined) return NOBODY;
    const others = (Array.isArray(wanting) ? wanting : [wanting]).filter((one) => one !== consumer);
    if (others.length === 0) values.delete(value);
    else values.set(value, others.length === 1 ? (others[0] as Consumer) : others);
    return others;
  }
}

const NOBODY: readonly Consumer[] = [];
