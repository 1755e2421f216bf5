/** URLs that the gateway itself calls. */
import { quote, text } from '../fields.ts';

/** http or https, absolute, without user, password and fragment. Where it leads is judged when it is called. */
export const fetchedUrl = text(
  (value) => {
    const hint = 'write an absolute URL such as https://id.example.com/keys';
    const url = URL.canParse(value) && /^https?:\/\//i.test(value) ? new URL(value) : undefined;
    if (url === undefined || /[\s\\]/.test(value)) return { message: `${quote(value)} is not a URL of http or https`, hint };
    if (url.username !== '' || url.password !== '') return { message: 'a URL with a user or a password would show them', hint };
    if (url.hash !== '') return { message: `${quote(value)} has a fragment, which is sent nowhere`, hint: 'leave out # and what follows' };
    return undefined;
  },
  { pattern: /^[hH][tT][tT][pP][sS]?:\/\//, minLength: 8, maxLength: 2048 },
);
