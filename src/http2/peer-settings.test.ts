import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode, Setting, settingsFrame } from './frames.ts';
import { PeerSettings } from './peer-settings.ts';

function apply(settings: PeerSettings, ...pairs: number[]): ErrorCode {
  const frame = Buffer.from(settingsFrame(...pairs), 'latin1');
  return settings.apply(frame, 9, frame.length);
}

test('whether there are priorities is said in the first SETTINGS, and for good (RFC 9218 section 2.1)', () => {
  const silent = new PeerSettings();
  assert.equal(apply(silent), ErrorCode.NoError);
  assert.equal(apply(silent, Setting.NoRfc7540Priorities, 0), ErrorCode.NoError);
  assert.equal(apply(silent, Setting.NoRfc7540Priorities, 1), ErrorCode.ProtocolError);
  const without = new PeerSettings();
  assert.equal(apply(without, Setting.NoRfc7540Priorities, 1), ErrorCode.NoError);
  assert.equal(apply(without, Setting.NoRfc7540Priorities, 1), ErrorCode.NoError);
  assert.equal(apply(without, Setting.NoRfc7540Priorities, 0), ErrorCode.ProtocolError);
  assert.equal(apply(new PeerSettings(), Setting.NoRfc7540Priorities, 2), ErrorCode.ProtocolError);
});
