-- Each request with the next token of .cache/bench/tokens.
local folder = debug.getinfo(1, 'S').source:match('^@(.*)/[^/]*$')
dofile(folder .. '/report.lua')

local requests = {}
local at = 0

function init()
  for token in io.lines(folder .. '/../../.cache/bench/tokens') do
    requests[#requests + 1] = wrk.format('GET', '/', { Host = 'localhost', Authorization = 'Bearer ' .. token })
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end
