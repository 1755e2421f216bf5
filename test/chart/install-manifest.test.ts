import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { loadAll } from 'js-yaml';
import { FILE, NAMESPACE, renderInstallManifest } from '../../scripts/install-manifest.ts';
import { helm, type Manifest } from './render.ts';

const text = readFileSync(FILE, 'utf8');

describe('manifests/install.yaml', () => {
  test('is what the chart renders: run "make install-manifest"', { skip: helm.skip }, () => {
    assert.equal(text, renderInstallManifest(helm.path ?? ''), 'it has drifted from charts/tidegate');
  });

  test('brings its namespace first, and says nothing of Helm', () => {
    const objects = loadAll(text) as Manifest[];
    assert.deepEqual([objects[0]?.kind, objects[0]?.metadata.name], ['Namespace', NAMESPACE]);
    for (const { metadata } of objects) assert.ok(metadata.namespace === undefined || metadata.namespace === NAMESPACE);
    assert.doesNotMatch(text, /helm/i);
  });
});
