-- Alerts that nobody is telling become the asker's for some time; or they are told, and stay to be sent on; or they go.
-- Asked: for how long (microseconds), ids of those that go, of those that are told, whose (all if empty), due by when (any if -1).

local MOST = 1000

if #asked[9] > 0 then
  for _, id in ipairs(asked[9]) do
    call('ZREM', base .. ':free', id)
    call('HDEL', base .. ':o', id)
  end
  return answer({})
end
if #asked[10] > 0 then
  for _, id in ipairs(asked[10]) do
    local packed = call('HGET', base .. ':o', id)
    if packed then
      local alert = cmsgpack.unpack(packed)
      alert[12] = 1
      call('HSET', base .. ':o', id, cmsgpack.pack(alert))
    end
  end
  return answer({})
end
local free = call('ZRANGEBYSCORE', base .. ':free', '-inf', now, 'LIMIT', 0, MOST)
table.sort(free)
local found = {}
for _, id in ipairs(free) do
  local alert = cmsgpack.unpack(call('HGET', base .. ':o', id))
  if (asked[11] == '' or asked[11] == alert[1]) and (asked[12] < 0 or alert[11] <= asked[12]) then
    found[#found + 1] = { id, alert }
    call('ZADD', base .. ':free', now + asked[8], id)
  end
end
return answer(found)
