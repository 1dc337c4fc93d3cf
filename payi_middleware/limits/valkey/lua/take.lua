-- Alerts that nobody is telling become the asker's for some time.
-- Asked: for how long (microseconds), whose (all if empty), due by when (any if -1), at which stages, how many, how many to pass over.
-- Answered: those, and how many to pass over next; -1 if there are no more. What waited for two weeks is deleted (`rows.OUTBOX_NS`).

local OLD = 14 * 86400 * SECOND
local AT_ONCE = 500  -- that are looked at: the server does nothing else meanwhile

local lease, whose, before, most, passed = asked[8], asked[9], asked[10], asked[12], asked[13]
local stages = {}
for _, stage in ipairs(asked[11]) do stages[stage] = true end

local free = call('ZRANGEBYSCORE', base .. ':free', '-inf', now, 'LIMIT', passed, AT_ONCE)
local is_last = #free < AT_ONCE
table.sort(free)
local found, gone = {}, 0
for _, id in ipairs(free) do
  local alert = cmsgpack.unpack(call('HGET', base .. ':o', id))
  local is_sought = (whose == '' or whose == alert[1]) and (before < 0 or alert[11] <= before) and stages[alert[12] or 0]
  if alert[11] <= now - OLD then
    call('ZREM', base .. ':free', id)
    call('HDEL', base .. ':o', id)
    gone = gone + 1
  elseif is_sought and #found < most then
    found[#found + 1] = { id, alert }
    if lease > 0 then call('ZADD', base .. ':free', now + lease, id) end
  end
end
-- Those that went, and with a lease those that were found, are out of the way.
if is_last then return answer({ found, -1 }) end
return answer({ found, passed + #free - gone - (lease > 0 and #found or 0) })
