-- POST with a body of 1 MiB.
local folder = debug.getinfo(1, 'S').source:match('^@(.*)/[^/]*$')
dofile(folder .. '/report.lua')

wrk.method = 'POST'
wrk.body = string.rep('x', 1048576)
wrk.headers['Content-Type'] = 'application/octet-stream'
