/**
 * Header fields of one message. Names are compared without case; order and spelling are kept. Made from the text of a
 * head's field lines without splitting it into objects: runs of unchanged fields are written out as one slice.
 */
export class Fields {
  /** The value of the first field of that name. @param name lower-case */
  get(_name: string): string | undefined {
    throw new Error('to be written');
  }
  /** Every value of that name, in order. @param name lower-case */
  getAll(_name: string): string[] {
    throw new Error('to be written');
  }
  has(_name: string): boolean {
    throw new Error('to be written');
  }
  /** Removes every field of that name and adds one at the end. @param name as to be written on the wire */
  set(_name: string, _value: string): void {
    throw new Error('to be written');
  }
  /** Adds one more at the end. */
  append(_name: string, _value: string): void {
    throw new Error('to be written');
  }
  remove(_name: string): void {
    throw new Error('to be written');
  }
  forEach(_visit: (name: string, value: string) => void): void {
    throw new Error('to be written');
  }
  /** `Name: value\r\n` for each. */
  serialize(): string {
    throw new Error('to be written');
  }
}
