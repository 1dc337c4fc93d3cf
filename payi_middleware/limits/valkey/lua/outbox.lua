-- Alerts that nobody is telling become the asker's for some time; or they are told, and go.
-- Asked: for how long (microseconds), ids of those that are told.

local MOST = 1000

if #asked[9] > 0 then
  for _, id in ipairs(asked[9]) do
    call('ZREM', base .. ':free', id)
    call('HDEL', base .. ':o', id)
  end
  return answer({})
end
local free = call('ZRANGEBYSCORE', base .. ':free', '-inf', now, 'LIMIT', 0, MOST)
table.sort(free)
local found = {}
for _, id in ipairs(free) do
  local packed = call('HGET', base .. ':o', id)
  found[#found + 1] = { id, cmsgpack.unpack(packed) }
  call('ZADD', base .. ':free', now + asked[8], id)
end
return answer(found)
