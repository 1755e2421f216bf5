/** Objects by the thousand. */

/** Calls at once; an API server takes a hundred, and leaves nothing of two cores to others then. */
const AT_ONCE = 12;

/** Calls for each item, a few at a time. @throws what the first that fails throws */
export async function inParallel<T>(items: readonly T[], call: (item: T) => Promise<unknown>): Promise<void> {
  let next = 0;
  const one = async (): Promise<void> => {
    while (next < items.length) await call(items[next++] as T);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}
