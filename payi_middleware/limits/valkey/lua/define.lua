-- Keep a limit, delete one, or both, unless the application's limits have changed since the asker read them.
-- Asked: the application's version, number to delete (0: none), number to keep (0: a new one; -1: none), what is kept of it, its
-- alerts.

local application, buried, number, kept = asked[4], asked[9], asked[10], asked[11]
if tonumber(version) ~= asked[8] then
  return cmsgpack.pack({ 'changed', now, 0, {} })
end

if buried > 0 then
  call('HSET', base .. ':l:' .. buried, 'gone', string.format('%.0f', now))
  call('SREM', base .. ':live:' .. application, buried)
end
if number == 0 then
  number = call('HINCRBY', base, 'numbers', 1)
  call('SADD', base .. ':n:' .. application, number)
  call('SADD', base .. ':live:' .. application, number)
end
if number > 0 then call('HSET', base .. ':l:' .. number, 'alerts', cmsgpack.pack(asked[12]), unpack(kept)) end
call('SADD', base .. ':applications', application)  -- also where none is left: their accounts are to be found
call('INCR', base .. ':v:' .. application)
return answer({ number })
