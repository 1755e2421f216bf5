/**
 * What Redis runs: the four algorithms, for many requests in one call. Every decision of a call happens at one instant of
 * Redis' own clock and with nothing in between, so replicas agree whatever their clocks say, and the limits of one request
 * are all counted or none.
 *
 * KEYS: of all limits of all requests, in their order; a bucket each.
 * ARGV: the time after which nobody waits for the answer any more (0: none), then for each request a word of its number of
 * limits and what is to be done, and for each of them its definition; for `GiveBack` also what is given back.
 * Answer: Redis' time, then `FIELDS` numbers for each limit. The time alone: too late, nothing was done.
 *
 * Times are microseconds, which Lua's doubles hold to the year 2255. A state is pairs of doubles in one string, that of an
 * algorithm with one pair as well: buckets keep what was used and when, windows a count and their end, sliding windows
 * groups of requests, each with the time of its last.
 */

/** What a request wants. */
export const Action = {
  /** How do the limits stand? */
  Peek: 0,
  /** Count the request, if every enforced limit allows it. */
  Count: 1,
  /** A request that was counted did not go on after all. */
  GiveBack: 2,
} as const;
export type Action = (typeof Action)[keyof typeof Action];

/** How many actions there are: the word of a request is its number of limits times this, and its action. */
export const ACTIONS = 3;

/** Numbers of an answer for each limit. */
export const FIELDS = 5;
/** Their places: bits of `ALLOWED` and `TAKEN`, requests left, and times in microseconds. */
export const Field = { Verdict: 0, Remaining: 1, ResetsIn: 2, RetryIn: 3, Waits: 4 } as const;
export const ALLOWED = 1;
export const TAKEN = 2;

/** Requests of a sliding window share times in groups of a share of this, as in the pod: exact up to that many. */
const GROUPS = 28;
/** From here on the oldest two are made one: only new `requests` bring that many. */
const MOST_GROUPS = 64;

/** How long a state is kept beyond the time from which on it says nothing: clocks of a failover differ (ms). */
const SLACK = 2000;

/**
 * @param clock Lua that gives seconds and microseconds; a test has its own
 * @param slack milliseconds, see above
 */
export function limitScript(clock = "redis.call('TIME')", slack = SLACK): string {
  return `local clock = ${clock}
local now = clock[1] * 1000000 + clock[2]
local late = tonumber(ARGV[1])
if late > 0 and now > late then return { now } end

local max, min, floor, ceil = math.max, math.min, math.floor, math.ceil
-- Integers of an answer have 63 bits; nobody waits that long.
local function whole(time) return min(9e15, max(0, ceil(time - 0.001))) end

local definitions = {}
local function definitionOf(text)
  local known = definitions[text]
  if known then return known end
  local algorithm, requests, period, capacity, enforced, cost = string.match(text, '^(%a) (%d+) (%d+) (%d+) (%d) (%d+)$')
  local d = { algorithm = algorithm, requests = tonumber(requests), period = tonumber(period), capacity = tonumber(capacity), enforced = enforced == '1', cost = tonumber(cost) }
  d.interval = d.period / d.requests
  -- Falling levels are sums of fractions; their rounding errors are far below this, and this far below one request.
  d.tolerance = 1e-9 * d.capacity
  definitions[text] = d
  return d
end

local states = {}
local function stateOf(key)
  local state = states[key]
  if state then return state end
  local text = redis.call('GET', key)
  state = {}
  if text then
    state = { struct.unpack('<' .. string.rep('d', floor(#text / 8)), text) }
    -- After the values stands where they ended.
    state[#state] = nil
  end
  states[key] = state
  return state
end
-- Until when each changed state says something.
local changed = {}

-- TokenBucket and LeakyBucket: used, at.
local bucket = {}
function bucket.level(state, d)
  return max(0, (state[1] or 0) - max(0, now - (state[2] or 0)) / d.interval)
end
function bucket.look(state, d, look)
  local used = bucket.level(state, d)
  look.used = used
  look.allowed = d.cost == 0 or used + d.cost <= d.capacity + d.tolerance
  look.waits = (d.algorithm == 'L' and look.allowed and d.cost > 0) and used * d.interval or 0
  look.retry = look.allowed and 0 or (used + d.cost - d.capacity) * d.interval
  bucket.show(look, d)
end
function bucket.show(look, d)
  look.remaining = max(0, floor(d.capacity - look.used + d.tolerance))
  look.resets = look.used * d.interval
end
function bucket.take(state, d, look)
  look.used = look.used + d.cost
  state[1], state[2] = look.used, now
  bucket.show(look, d)
  return look.resets
end
-- A place in a queue is given back if it is the last; those behind any other have been told theirs.
function bucket.giveBack(state, d, leavesAt)
  local used = bucket.level(state, d)
  if d.algorithm == 'L' and math.abs(now + (used - d.cost) * d.interval - leavesAt) > d.interval / 2 then return end
  used = max(0, used - d.cost)
  state[1], state[2] = used, now
  return used * d.interval
end

-- FixedWindow: count, end. Of the calendar, the month alone is no number of microseconds (days from civil, and back; all of UTC).
local DAY = 86400000000
local function monthEnd()
  local days = floor(now / DAY) + 719468
  local era = floor(days / 146097)
  local dayOfEra = days - era * 146097
  local yearOfEra = floor((dayOfEra - floor(dayOfEra / 1460) + floor(dayOfEra / 36524) - floor(dayOfEra / 146096)) / 365)
  local dayOfYear = dayOfEra - (365 * yearOfEra + floor(yearOfEra / 4) - floor(yearOfEra / 100))
  -- Months from March on, since leap days then come last.
  local month = floor((5 * dayOfYear + 2) / 153) + 1
  if month == 12 then yearOfEra, month = yearOfEra + 1, 0 end
  return (era * 146097 + yearOfEra * 365 + floor(yearOfEra / 4) - floor(yearOfEra / 100) + floor((153 * month + 2) / 5) - 719468) * DAY
end
local window = {}
function window.look(state, d, look)
  look.ends = d.algorithm == 'M' and monthEnd() or (floor(now / d.period) + 1) * d.period
  -- An end that is further away is from before the clock was set back: what was counted counts, and not for longer than a window.
  look.count = now < (state[2] or 0) and state[1] or 0
  look.allowed = d.cost == 0 or look.count + d.cost <= d.requests
  look.remaining = max(0, d.requests - look.count)
  look.resets = look.ends - now
  look.retry = look.allowed and 0 or look.resets
  look.waits = 0
end
function window.take(state, d, look)
  look.count = look.count + d.cost
  look.remaining = max(0, d.requests - look.count)
  state[1], state[2] = look.count, look.ends
  return look.resets
end
function window.giveBack(state, d)
  if now >= (state[2] or 0) then return end
  state[1] = max(0, state[1] - d.cost)
  return state[2] - now
end

-- SlidingWindow: groups of a time and a count, the oldest first.
local sliding = {}
function sliding.look(state, d, look)
  local expired = 0
  while state[expired + 1] and now - state[expired + 1] >= d.period do expired = expired + 2 end
  if expired > 0 then
    local length = #state
    for index = 1, length do state[index] = state[index + expired] end
  end
  local count, length = 0, #state
  for index = 2, length, 2 do count = count + state[index] end
  look.count = count
  look.allowed = d.cost == 0 or count + d.cost <= d.requests
  look.remaining = max(0, d.requests - count)
  look.resets = length > 0 and state[length - 1] + d.period - now or 0
  look.retry, look.waits = 0, 0
  if look.allowed then return end
  look.retry = look.resets
  local left = count
  for index = 1, length, 2 do
    left = left - state[index + 1]
    if left + d.cost <= d.requests then
      look.retry = state[index] + d.period - now
      break
    end
  end
end
function sliding.take(state, d, look)
  local last = #state
  if last > 0 and (state[last - 1] >= now or state[last] + d.cost <= ceil(d.requests / ${GROUPS})) then
    state[last - 1], state[last] = max(now, state[last - 1]), state[last] + d.cost
  else
    state[last + 1], state[last + 2] = now, d.cost
    if last >= ${MOST_GROUPS * 2} then
      state[4] = state[4] + state[2]
      table.remove(state, 1)
      table.remove(state, 1)
    end
  end
  look.count = look.count + d.cost
  look.remaining = max(0, d.requests - look.count)
  look.resets = d.period
  return d.period
end
function sliding.giveBack(state, d)
  local cost = d.cost
  while cost > 0 and #state > 0 do
    local last = #state
    local given = min(cost, state[last])
    state[last], cost = state[last] - given, cost - given
    if state[last] == 0 then state[last], state[last - 1] = nil, nil end
  end
  return d.period
end

local algorithms = { T = bucket, L = bucket, F = window, M = window, S = sliding }
local answer, length = { now }, 1
local nextKey, nextArg = 1, 2
while ARGV[nextArg] do
  local word = tonumber(ARGV[nextArg])
  local action, limits = word % ${ACTIONS}, floor(word / ${ACTIONS})
  nextArg = nextArg + 1
  local looks, passes = {}, action == ${Action.Count}
  for index = 1, limits do
    local d = definitionOf(ARGV[nextArg])
    local look = { d = d, key = KEYS[nextKey], algorithm = algorithms[d.algorithm] }
    nextKey, nextArg = nextKey + 1, nextArg + 1
    local state = stateOf(look.key)
    if action == ${Action.GiveBack} then
      local kept = look.algorithm.giveBack(state, d, tonumber(ARGV[nextArg]))
      nextArg = nextArg + 1
      if kept then changed[look.key] = kept end
    end
    look.algorithm.look(state, d, look)
    if d.enforced and not look.allowed then passes = false end
    looks[index] = look
  end
  for index = 1, limits do
    local look = looks[index]
    local taken = passes and look.allowed
    if taken and look.d.cost > 0 then changed[look.key] = look.algorithm.take(stateOf(look.key), look.d, look) end
    answer[length + 1] = (look.allowed and ${ALLOWED} or 0) + (taken and ${TAKEN} or 0)
    answer[length + 2] = look.remaining
    answer[length + 3] = whole(look.resets)
    answer[length + 4] = whole(look.retry)
    answer[length + 5] = whole(look.waits)
    length = length + ${FIELDS}
  end
end
for key, kept in pairs(changed) do
  local state = states[key]
  if #state == 0 then
    redis.call('DEL', key)
  else
    redis.call('SET', key, struct.pack('<' .. string.rep('d', #state), unpack(state)), 'PX', min(1e14, ceil(kept / 1000) + ${slack}))
  end
end
return answer`;
}

/** Whether a server takes writes: it does not while it loads, and as a replica. KEYS: one key. */
export const PROBE_SCRIPT = "redis.call('SET', KEYS[1], '1', 'PX', 1000) return 1";
