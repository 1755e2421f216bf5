-- Requests spread evenly over 1,000 hosts with 10 paths each, in an order that jumps about.
local folder = debug.getinfo(1, 'S').source:match('^@(.*)/[^/]*$')
dofile(folder .. '/report.lua')

local requests = {}
local count = 10000
local at = 0

function init()
  for host = 0, 999 do
    for path = 0, 9 do
      requests[#requests + 1] = wrk.format('GET', '/p' .. path .. '/item', { Host = 'h' .. host .. '.example.com' })
    end
  end
end

function request()
  -- 7,919 is prime to 10,000, so that every request comes up once before any comes again.
  at = (at + 7919) % count
  return requests[at + 1]
end
