/** What policies count. A filter gets its counters once, when it is compiled, and counts them up by hand. */

/** Labels never come from requests, but for words that the policies themselves choose. */
export const POLICY_COUNTERS = {
  tidegate_compression_responses_total: 'Answers that were compressed, by coding.',
  tidegate_compression_bytes_total: 'Bytes of answers before (in) and after (out) compression, by coding and direction.',
  tidegate_compression_skipped_total: 'Answers that went out as they are because the worker had as many encoders as it may have.',
  tidegate_decompression_requests_total: 'Requests with an encoded body on routes that decode it, by result: decoded, or why not.',
  tidegate_cors_requests_total: 'Requests with an Origin on routes with cors, by kind (preflight, actual) and decision (allowed, refused).',
  tidegate_error_pages_total: 'Error answers that got a page of their route, by status code.',
  tidegate_filter_results_total:
    'Requests that a filter has answered as its manifest says (answered), and messages of which it could not make what that says (failed), by filter.',
  tidegate_faults_injected_total: 'Requests that a route has held back or failed on purpose, by kind (delay, abort).',
  tidegate_grpc_json_calls_total:
    'Methods of gRPC that were called for JSON requests, by route, method and status of gRPC (NO_ANSWER, MALFORMED: it gave none).',
  tidegate_ip_access_refused_total: 'Requests from addresses that their route lets nobody call from.',
  tidegate_responses_cut_total: 'Answers of backends that were longer than their route allows.',
  tidegate_transforms_total: 'Requests and answers that a transform was to change, by part (request, response) and result (changed, refused).',
} as const;

export interface PolicyCounter {
  value: number;
}

export type CountPolicy = (name: keyof typeof POLICY_COUNTERS, labels: Readonly<Record<string, string>>) => PolicyCounter;
