import type { BadObject } from './bad-routes.ts';
import { filters } from './objects.ts';

const AT = 'spec.rules[0].filters';

function cors(change: object): object {
  return filters({ cors: { allowOrigins: ['https://a.example'], ...change } });
}

function page(change: object): object {
  return filters({ errorPages: { pages: [{ statuses: ['404'], body: 'x', ...change }] } });
}

/** Filters of bodies and of CORS, each wrong in one place. */
export const BAD_BODY_FILTERS: readonly BadObject[] = [
  [
    'a coding that there is not',
    filters({ compression: { algorithms: ['deflate'] } }),
    `${AT}.compression.algorithms[0]`,
    /"deflate"/,
    /zstd, br or gzip|zstd, br, gzip/,
  ],
  ['no coding', filters({ compression: { algorithms: [] } }), `${AT}.compression.algorithms`, /empty/, /at least one/],
  ['a coding twice', filters({ compression: { algorithms: ['br', 'br'] } }), `${AT}.compression.algorithms[1]`, /"br" is listed twice/, /keep one/],
  ['bytes below none', filters({ compression: { minBytes: -1 } }), `${AT}.compression.minBytes`, /-1/, /0/],
  [
    'a type with parameters',
    filters({ compression: { contentTypes: ['text/html; charset=utf-8'] } }),
    `${AT}.compression.contentTypes[0]`,
    /parameters/,
    /text\/html/,
  ],
  ['a type in upper case', filters({ compression: { contentTypes: ['Text/HTML'] } }), `${AT}.compression.contentTypes[0]`, /upper case/, /write text\/html/],
  ['a type that is none', filters({ compression: { contentTypes: ['html'] } }), `${AT}.compression.contentTypes[0]`, /no media type/, /application\/json/],
  ["levels, which are the gateway's", filters({ compression: { level: 9 } }), `${AT}.compression.level`, /unknown field "level"/, /./],
  ['no ratio at all', filters({ decompression: { maxRatio: 0 } }), `${AT}.decompression.maxRatio`, /0/, /1/],
  ['nothing may come of it', filters({ decompression: { maxBytes: 0 } }), `${AT}.decompression.maxBytes`, /0/, /1 or more/],
  ['an answer of no bytes', filters({ limits: { maxResponseBodyBytes: 0 } }), `${AT}.limits.maxResponseBodyBytes`, /0/, /1 or more/],

  ['pages without any', filters({ errorPages: { pages: [] } }), `${AT}.errorPages.pages`, /empty/, /at least one/],
  ['a page for nothing', page({ statuses: [] }), `${AT}.errorPages.pages[0].statuses`, /empty/, /at least one/],
  ['a page for a success', page({ statuses: ['200-599'] }), `${AT}.errorPages.pages[0].statuses[0]`, /200 is no status of an error/, /400 to 599/],
  ['a page for 401', page({ statuses: ['404', '401'] }), `${AT}.errorPages.pages[0].statuses[1]`, /401 keep their own body/, /leave it out/],
  ['a page for 403', page({ statuses: ['403'] }), `${AT}.errorPages.pages[0].statuses[0]`, /403 keep their own body/, /leave it out/],
  ['two pages for one status', page({ statuses: ['404', '404'] }), `${AT}.errorPages.pages[0].statuses[1]`, /a page for 404 before/, /keep one/],
  ['a page of a type on two lines', page({ contentType: 'text/html\r\nx: y' }), `${AT}.errorPages.pages[0].contentType`, /control character/, /one line/],

  ['cors without origins', filters({ cors: {} }), `${AT}.cors.allowOrigins`, /missing/, /list/],
  ['no origins', cors({ allowOrigins: [] }), `${AT}.cors.allowOrigins`, /empty/, /at least one/],
  ['an origin without a scheme', cors({ allowOrigins: ['a.example'] }), `${AT}.cors.allowOrigins[0]`, /no origin/, /https:\/\/shop/],
  ['an origin with a slash', cors({ allowOrigins: ['https://a.example/'] }), `${AT}.cors.allowOrigins[0]`, /ends in a slash/, /write https:\/\/a\.example$/],
  ['an origin with a path', cors({ allowOrigins: ['https://a.example/b'] }), `${AT}.cors.allowOrigins[0]`, /has a path/, /scheme and a host/],
  ['an origin in upper case', cors({ allowOrigins: ['https://A.example'] }), `${AT}.cors.allowOrigins[0]`, /upper case/, /write https:\/\/a\.example/],
  ['a * in the middle', cors({ allowOrigins: ['https://a.*.example'] }), `${AT}.cors.allowOrigins[0]`, /first labels/, /\*\.example\.com/],
  ['a * for a port', cors({ allowOrigins: ['https://a.example:*'] }), `${AT}.cors.allowOrigins[0]`, /first labels/, /scheme and a host/],
  ['a port that is none', cors({ allowOrigins: ['https://a.example:70000'] }), `${AT}.cors.allowOrigins[0]`, /port that is none/, /65535/],
  [
    'credentials for everybody',
    cors({ allowOrigins: ['https://a.example', '*'], allowCredentials: true }),
    `${AT}.cors.allowOrigins[1]`,
    /credentials are never/,
    /name the origins/,
  ],
  [
    'everything exposed with credentials',
    cors({ exposeHeaders: ['*'], allowCredentials: true }),
    `${AT}.cors.exposeHeaders[0]`,
    /exposes nothing/,
    /name the headers/,
  ],
  ['a method in lower case', cors({ allowMethods: ['get'] }), `${AT}.cors.allowMethods[0]`, /not an HTTP method/, /write GET/],
  ['a method that is never served', cors({ allowMethods: ['TRACE'] }), `${AT}.cors.allowMethods[0]`, /never served/, /leave it out/],
  ['a header that is none', cors({ allowHeaders: ['a b'] }), `${AT}.cors.allowHeaders[0]`, /"a b"/, /./],
  ['an age longer than a day', cors({ maxAge: '25h' }), `${AT}.cors.maxAge`, /25h/, /24h|86400/],
];
