import { wireSuite } from './suite.ts';

wireSuite('stream');
wireSuite('handle');
