import { wireSuite } from './suite.ts';

wireSuite('handle');
