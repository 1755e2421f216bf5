import { wireSuite } from './suite.ts';

wireSuite('stream');
