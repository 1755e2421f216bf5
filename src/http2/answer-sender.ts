import type { Fields } from '../exchange/fields.ts';
import { type SendingStream, StreamSender } from './stream-sender.ts';

export type { SendingStream };

/** The way to one client. */
export class AnswerSender extends StreamSender {
  /** The head of an answer, or of an interim one. @param fields without hop-by-hop ones */
  headers(stream: SendingStream, status: number, fields: Fields, endStream: boolean): void {
    this.sendBlock(stream, this.encoder.response(status, fields), endStream);
  }
}
