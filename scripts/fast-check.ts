/**
 * fast-check, as tests import it: with the same cases in every run, so that a failure is one of the change under test and not
 * of chance. `PROPERTY_SEED=random` looks further, a number brings back what that has found.
 */
import { configureGlobal } from 'fast-check';

const SEED = 20_261_123;

const wish = process.env.PROPERTY_SEED;
if (wish !== 'random') configureGlobal({ seed: wish === undefined ? SEED : Number(wish) });

export { default } from 'fast-check';
