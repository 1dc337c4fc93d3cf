-- What is held, a page of it, lease or not.
-- Asked: whether those whose lease ended, where the page begins, about how many calls.

local page = call('ZSCAN', base .. (asked[8] and ':lapsed' or ':leases'), asked[9], 'COUNT', asked[10])
local found, members = {}, page[2]
for i = 1, #members, 2 do
  local record = record_of(members[i])
  if is_held(record) then
    local places = {}
    for n, place in ipairs(record.places) do
      places[n] = { call('HGET', base .. ':l:' .. place[1], 'limit_id') or '', place[2] }
    end
    local lease = tonumber(members[i + 1]) - (asked[8] and asked[KEPT] or 0)
    found[#found + 1] = { record.event, record.application, places, record.hold, lease }
  end
end
return answer({ found, page[1] })
