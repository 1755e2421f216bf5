import assert from 'node:assert/strict';
import { it } from 'node:test';
import { problemBody, statusText } from './problem.ts';

it('writes a problem document', () => {
  assert.deepEqual(JSON.parse(problemBody(404, 'No route takes this request.', 'abc')), {
    type: 'about:blank',
    title: 'Not Found',
    status: 404,
    detail: 'No route takes this request.',
    requestId: 'abc',
  });
});

it('stays within ASCII whatever the detail is', () => {
  const body = problemBody(400, 'a "quoted" \\ ä \u{1f600} \x7f \n', 'id');
  assert.match(body, /^[\x20-\x7e]*\n$/);
  assert.equal(JSON.parse(body).detail, 'a "quoted" \\ ä \u{1f600} \x7f \n');
});

it('knows the usual reason phrases', () => {
  assert.equal(statusText(431), 'Request Header Fields Too Large');
  assert.equal(statusText(413), 'Content Too Large');
  assert.equal(statusText(799), '');
});
