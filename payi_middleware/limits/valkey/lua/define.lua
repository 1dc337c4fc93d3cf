-- Keep a limit, delete one, or both, unless the application's limits have changed since the asker read them.
-- Asked: the application's version, number to delete (0: none), number to keep (0: a new one; -1: none), what is kept of it, its
-- alerts, and what its accounts go through (false: nothing): begin and end of the window that holds (seconds), whether they are
-- reset.
-- Answered: its number and all turns (`rows.Turn`).

local MOST = 500  -- turns of a limit that are kept

local application, buried, number, kept, turn = asked[4], asked[9], asked[10], asked[11], asked[13]
if tonumber(version) ~= asked[8] then
  return cmsgpack.pack({ 'changed', now, 0, {} })
end
if turn and turn[2] > 0 and (now < turn[1] * SECOND or now >= turn[2] * SECOND) then
  return cmsgpack.pack({ 'turned', now, 0, {} })
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
local turns = {}
if number > 0 then
  local name = base .. ':l:' .. number
  call('HSET', name, 'alerts', cmsgpack.pack(asked[12]), unpack(kept))
  turns = cmsgpack.unpack(call('HGET', name, 'turns') or '\144')
  if turn then
    local last, of = turns[#turns] or { 0, 0 }, call('HMGET', name, 'rolling', 'most')
    turns[#turns + 1] = { last[1] + 1, math.max(now, last[2]) + 1, turn[1], turn[2], tonumber(of[1]), of[2], turn[3] }
    if #turns > MOST then table.remove(turns, 1) end
    call('HSET', name, 'turn', last[1] + 1, 'turns', cmsgpack.pack(turns))
  end
end
call('SADD', base .. ':applications', application)  -- also where none is left: their accounts are to be found
call('INCR', base .. ':v:' .. application)
return answer({ number, turns })
