-- Ends wrk's output with one JSON object. Errors are everything but a 2xx or 3xx answer.
function done(summary)
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout
  io.write(string.format('{"requests":%d,"seconds":%f,"errors":%d}\n', summary.requests, summary.duration / 1e6, errors))
end
